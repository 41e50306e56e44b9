"""How far a mean may be beyond the bounds where candidates beyond them move to the nearest point.

So an optimum on a bound is met exactly: where the mean is well beyond, nearly all candidates lie on
the bound, and that coordinate takes no further part in the search. It must be able to come back. A
mean is therefore kept within four deviations of the bounds, and now and then about ten coordinates
that are far beyond are brought close to their bound for one generation, which a quarter of the
candidates then leave. What still wants to be beyond goes back to where it was. Of such a trial only
the mean is learned: near the optimum leaving a bound costs more than all other steps gain. Ten are
what a generation can tell from each other: with half of all coordinates at once, those that belong
on their bound drown those that do not.

Means also come closer by chance. Forty coordinates may do so at a time, each in its turn, because
where hundreds did, candidates would differ in little else. Where the lowest value no longer
changes, candidates have nothing left to tell but by trials. These then come as often as they can,
and of three coordinates only, so that even one that matters little is not drowned by the others.

Our own, and so are its numbers, which were chosen on this quadratic, on Rosenbrock's function and
on linear slopes. On the quadratic, turned, in 40 dimensions (condition 1000) with its optimum on
the bounds, 600 d evaluations bring CMA-ES, Fast CMA-ES, LM-CMA, Rm-ES and Sep-CMA-ES to between
3e-13 and 1e-11 above it, where mirrored candidates came to between 0.2 and 2.5 (medians of five,
Sep-CMA-ES mirrored 2e-7). MA-ES and LM-MA-ES keep mirroring: they came to rest at wrong points of
Rosenbrock's function with bounds.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from parafree.blackbox._frame import Frame

_FAR = 4.0  # deviations beyond a bound, from where one candidate in 30,000 comes back
_NEAR = 0.7
_FREE = 2.0  # deviations beyond, less than which a coordinate still takes part
_TURN = 5  # generations from one trial to the next
_FEW = 10  # coordinates tried at a time, of which a generation can tell
_FEWEST = 3  # where nothing else is to tell
_LOOSE = 40  # coordinates whose mean may come closer by itself
_SPELL = 50  # generations after which it is the turn of others


class Trial(NamedTuple):
    """Where a mean is put, and which of its coordinates are brought close to their bound there."""

    mean: jax.Array  # (d,)
    tried: jax.Array  # (d,), bool


class Turn(NamedTuple):
    """What decides whether coordinates are tried."""

    generation: jax.Array  # (), int32, the number of the next one
    still: jax.Array  # (), bool, whether the lowest value is that of the generation before


def held(where: Frame, last: jax.Array, mean: jax.Array, deviation: jax.Array, turn: Turn) -> Trial:
    """Return where the mean of the next generation is put.

    Args:
        where: the bounds.
        last: (d,), bool, the coordinates tried in the last generation.
        mean: (d,), as learned.
        deviation: (d,), of the next candidates.
        turn: when it is.
    """
    d, (low, _) = len(mean), where.bounds
    sign = jnp.where(mean < low, -1, 1).astype(mean.dtype)
    beyond = _beyond(where, mean)
    out = beyond > _FREE * deviation
    due = turn.still | (turn.generation % _TURN == 0)
    few = jnp.where(turn.still, _share(_FEWEST, d), _share(_FEW, d))
    trial = due & out & _some(d, turn.generation, few)
    kept = jnp.minimum(beyond, _FAR * deviation)
    fixed = turn.still | ~_some(d, turn.generation // _SPELL, _share(_LOOSE, d, most=1.0))
    kept = jnp.where(last | (out & fixed), _FAR * deviation, kept)
    kept = jnp.where(trial, _NEAR * deviation, kept)
    return Trial(jnp.where(beyond > 0, mean - sign * (beyond - kept), mean), trial)


def _share(few: int, d: int, most: float = 0.5) -> jax.Array:
    """Return which part so many of d coordinates are, in units of 2^-32; one of one is all."""
    part = 1.0 if d == 1 else min(few / d, most)
    return jnp.uint32(min(int(part * 2**32), 2**32 - 1))


def _some(d: int, turn: jax.Array, share: jax.Array) -> jax.Array:
    """Say of which coordinates (d,) it is the turn: of about this share, and of others each time.

    These are the fractional parts of multiples of irrational numbers, in units of 2^-32.
    """
    place = jnp.arange(d, dtype=jnp.uint32) * jnp.uint32(2654435769)
    place = place + turn.astype(jnp.uint32) * jnp.uint32(3242174889)
    return place <= share


def _beyond(where: Frame, mean: jax.Array) -> jax.Array:
    low, high = where.bounds
    return jnp.maximum(jnp.maximum(low - mean, mean - high), 0)
