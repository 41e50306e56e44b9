"""How far a mean may be beyond the bounds where candidates beyond them move to the nearest point.

So an optimum on a bound is met exactly: where the mean is well beyond, nearly all candidates lie on
the bound, and that coordinate takes no further part in the search. It must be able to come back. A
mean is therefore kept within four deviations of the bounds, and now and then about ten coordinates
that are far beyond are brought close to their bound for one generation, which a quarter of the
candidates then leave. What still wants to be beyond goes back to where it was. Of such a trial only
the mean is learned: near the optimum leaving a bound costs more than all other steps gain. Ten are
what a generation can tell from each other: with half of all coordinates at once, those that belong
on their bound drown those that do not. Where fewer are far beyond all of them are tried.

Means also come closer by chance. Forty coordinates may do so at a time, each in its turn, because
where hundreds did, candidates would differ in little else. Where the lowest value no longer
changes, candidates have nothing left to tell but by trials. These then come as often as they can,
and of three coordinates only, so that even one that matters little is not drowned by the others.

Our own, and so are its numbers, which were chosen on this quadratic, on Rosenbrock's function, on
linear slopes and on spheres. On the quadratic, turned, in 40 dimensions (condition 1000) with its
optimum on the bounds, 600 d evaluations bring CMA-ES, Fast CMA-ES, LM-CMA, Rm-ES and Sep-CMA-ES to
3e-12, 1e-13, 2e-9, 1e-13 and 2e-10 above it, where mirrored candidates came to 0.2, 2, 1.6, 2.5 and
2e-7 (medians of five). MA-ES and LM-MA-ES keep mirroring: they came to rest at wrong points of
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
    low, _ = where.bounds
    sign = jnp.where(mean < low, -1, 1).astype(mean.dtype)
    beyond = _beyond(where, mean)
    out = beyond > _FREE * deviation
    due = turn.still | (turn.generation % _TURN == 0)
    few = jnp.where(turn.still, jnp.float32(_FEWEST), jnp.float32(_FEW))
    trial = due & out & _some(out, turn.generation, few)
    kept = jnp.minimum(beyond, _FAR * deviation)
    fixed = turn.still | ~_some(out, turn.generation // _SPELL, jnp.float32(_LOOSE))
    kept = jnp.where(last | (out & fixed), _FAR * deviation, kept)
    kept = jnp.where(trial, _NEAR * deviation, kept)
    return Trial(jnp.where(beyond > 0, mean - sign * (beyond - kept), mean), trial)


def _some(out: jax.Array, turn: jax.Array, few: jax.Array) -> jax.Array:
    """Say of which coordinates (d,) it is the turn: of about so many of those that are out.

    It is the turn of others each time. A coordinate has its turn where the fractional part of a
    multiple of an irrational number, here in units of 2^-24, is below the share that is wanted.
    """
    place = jnp.arange(out.shape[0], dtype=jnp.uint32) * jnp.uint32(2654435769)
    place = (place + turn.astype(jnp.uint32) * jnp.uint32(3242174889)) >> 8
    share = few / jnp.maximum(jnp.sum(out, dtype=jnp.float32), 1)
    return place.astype(jnp.float32) < share * 2**24


def _beyond(where: Frame, mean: jax.Array) -> jax.Array:
    low, high = where.bounds
    return jnp.maximum(jnp.maximum(low - mean, mean - high), 0)
