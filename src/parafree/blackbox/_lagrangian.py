"""Constraints that only an evaluation shows, as an order of candidates: an augmented Lagrangian.

Atamna, Auger, Hansen, "Linearly convergent evolution strategies via augmented Lagrangian constraint
handling", FOGA 2017; Dufossé, Hansen, "Augmented Lagrangian, penalty techniques and surrogate
modeling for constrained optimization with CMA-ES", GECCO 2021, for how the coefficients begin and
change.

A candidate with value f and constraints g, each to be at most 0, is worth
``f + sum(a * g + b * g**2 / 2)``, with g raised to at least ``-a / b``. At an optimum on a boundary
the multipliers ``a`` make the slopes of both cancel, so that a method that ranks candidates
sees a bowl there, and not the edge of a cliff along which its steps would shrink to nothing.

A method that ranks sees no more than the order within a generation, so the worths are squeezed into
(-1, 1), and lie the lower the more often the run has found something better: how a method judges
that it stands still needs values that fall.

Figures (n, 1 + k) are those of n candidates: a value, and how far each of k others is beyond its
limit; infinite where one is not known.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

_DAMPING = 5.0  # d_gamma, of the multipliers
_QUARTER = 0.25  # a change of the curvature makes so much of the largest one


class Lagrangian(NamedTuple):
    """Coefficients for k constraints, and the past on which they depend; it says all there is."""

    slope: jax.Array  # (k,), the multipliers, at least 0
    curve: jax.Array  # (k,), how strongly squares are punished; 0 while nothing is known
    settled: jax.Array  # (k,), bool, whether both have got their first values for good
    streak: jax.Array  # (k,), how often in a row the curvature grew (or shrank, where negative)
    kept: jax.Array  # (h, k), bool, whether the best of each of the last h generations kept it
    generations: jax.Array  # (), int32, in this run
    middle: jax.Array  # (), by which worths are squeezed in this generation
    width: jax.Array  # ()
    hit: jax.Array  # (k,), bool, whether a candidate of this generation kept it
    touched: jax.Array  # (k,), bool, whether a candidate of this generation was within its reach
    top: jax.Array  # (2 + k,), worth and figures of the best candidate of this generation
    record: jax.Array  # (2,), violation and f of the best candidate of this run
    improved: jax.Array  # (), bool, whether this generation has improved the record
    level: jax.Array  # (), how many generations have done so


def begin(dimension: int, constraints: int, dtype: Any) -> Lagrangian:
    """Return the state of a run that has seen nothing."""
    zeros, no = jnp.zeros(constraints, dtype), jnp.zeros(constraints, bool)
    zero, one = jnp.zeros((), dtype), jnp.ones((), dtype)
    kept = jnp.zeros((5 + dimension, constraints), bool)
    top, record = jnp.full(2 + constraints, jnp.inf, dtype), jnp.full(2, jnp.inf, dtype)
    return Lagrangian(
        slope=zeros, curve=zeros, settled=no, streak=zeros, kept=kept, generations=jnp.int32(0),
        middle=zero, width=one, hit=no, touched=no, top=top, record=record,
        improved=jnp.bool_(False), level=zero,
    )  # fmt: skip


def worth(state: Lagrangian, figures: jax.Array) -> jax.Array:
    """Return what candidates are worth, smaller is better: +inf where a figure is not known.

    Equation (4) of Dufossé and Hansen 2021.
    """
    known, f, g = _known(figures)
    floor = jnp.where(state.curve > 0, -state.slope / jnp.where(state.curve > 0, state.curve, 1), 0)
    raised = jnp.maximum(g, floor)
    paid = jnp.sum(state.slope * raised + state.curve / 2 * raised**2, axis=1)
    return jnp.where(known, f + paid, jnp.inf)


def squeezed(state: Lagrangian, figures: jax.Array) -> jax.Array:
    """Return what a method that ranks is told; those of one generation can be compared."""
    worths = worth(state, figures)
    known = jnp.isfinite(worths)
    x = (jnp.where(known, worths, 0) - state.middle) / state.width
    violation = jnp.sum(jnp.maximum(figures[:, 1:], 0), axis=1)
    beyond = jnp.where(jnp.isfinite(violation), violation, 0)
    # From the limits alone: behind all others.
    unknown = jnp.where(jnp.isfinite(violation), 1 + beyond / (1 + beyond), jnp.inf)
    return jnp.where(known, x / (1 + jnp.abs(x)), unknown) - 2 * state.level


def judge(
    state: Lagrangian, figures: jax.Array, around: jax.Array, begins: jax.Array
) -> tuple[jax.Array, Lagrangian]:
    """Return what the method is told of a batch, (n,), and the state that has seen it.

    Args:
        state: what is known.
        figures: (n, 1 + k), of the batch.
        around: (m, 1 + k), figures that set the scale of a generation.
        begins: (), bool: one begins with this batch.
    """
    state = jax.lax.cond(begins, _scaled, lambda s, _: s, state, around)
    return squeezed(state, figures), _noted(state, figures)


def learn(state: Lagrangian, figures: jax.Array, dimension: int) -> Lagrangian:
    """Return the state after a generation, whose last candidates have these figures."""
    after = _first(state, figures, dimension)
    found = jnp.isfinite(state.top[0])
    after = jax.lax.cond(found, lambda s: _followed(s, dimension), lambda s: s, after)
    no = jnp.zeros_like(state.touched)
    return after._replace(
        top=jnp.full_like(state.top, jnp.inf),
        touched=no,
        hit=no,
        generations=state.generations + 1,
        level=state.level + state.improved.astype(state.level.dtype),
        improved=jnp.bool_(False),
    )


def _known(figures: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return of which candidates all is known, and f and g with zeros for the others."""
    known = jnp.isfinite(figures).all(axis=1)
    safe = jnp.where(known[:, None], figures, 0)
    return known, safe[:, 0], safe[:, 1:]


def _scaled(state: Lagrangian, figures: jax.Array) -> Lagrangian:
    """Return the state with the scale of a generation that begins."""
    worths = worth(state, figures)
    known = jnp.isfinite(worths)
    low, middle, high = _quartiles(jnp.where(known, worths, 0)[:, None], known)[:, 0]
    width = jnp.where(high > low, high - low, 1)
    some = jnp.any(known)
    return state._replace(
        middle=jnp.where(some, middle, state.middle), width=jnp.where(some, width, state.width)
    )


def _noted(state: Lagrangian, figures: jax.Array) -> Lagrangian:
    """Return the state that knows the best candidates of a batch, and what was within reach."""
    known, f, g = _known(figures)
    worths = worth(state, figures)
    i = jnp.argmin(worths)
    found = jnp.concatenate([worths[i][None], f[i][None], g[i]])
    within = known[:, None] & (state.curve * g > -state.slope)
    violation = jnp.where(known, jnp.sum(jnp.maximum(g, 0), axis=1), jnp.inf)
    least = jnp.min(violation)
    lowest = jnp.min(jnp.where(known & (violation == least), f, jnp.inf))
    better = (least < state.record[0]) | ((least == state.record[0]) & (lowest < state.record[1]))
    better = better & jnp.isfinite(least)
    return state._replace(
        top=jnp.where(worths[i] < state.top[0], found, state.top),
        touched=state.touched | jnp.any(within, axis=0),
        hit=state.hit | jnp.any(known[:, None] & (g <= 0), axis=0),
        record=jnp.where(better, jnp.stack([least, lowest]), state.record),
        improved=state.improved | better,
    )


def _first(state: Lagrangian, figures: jax.Array, dimension: int) -> Lagrangian:
    """Return the state with first coefficients, which depend on how much values differ.

    They are set again until a constraint was both kept and broken by a fifth of the candidates.
    """
    known, f, g = _known(figures)
    k = g.shape[1]
    low, _, high = _quartiles(jnp.concatenate([f[:, None], g, g**2], axis=1), known)
    spread = high - low
    df, dg, dg2 = spread[0], spread[1 : k + 1], spread[k + 1 :]
    share = jnp.sum(known[:, None] & (g > 0), axis=0) / jnp.maximum(jnp.sum(known), 1)
    tiny = 1e-11 * (df + 1)
    slope = df / (dimension * dg + tiny)
    curve = 0.4 * df / dimension / (dg + 1e-6 * dg2 + tiny)
    furthest = jnp.max(jnp.where(known[:, None], jnp.abs(g), 0), axis=0)
    curve = jnp.clip(slope / (furthest + 1e-22), curve, 20 * curve)
    open_ = (~state.settled | (state.curve == 0)) & (share > 0.1)
    late = state.generations > 2 + dimension
    return state._replace(
        slope=jnp.where(open_, slope, state.slope),
        curve=jnp.where(open_, curve, state.curve),
        settled=state.settled | (open_ & (late | ((share > 0.1) & (share < 0.9)))),
    )


def _followed(state: Lagrangian, dimension: int) -> Lagrangian:
    """Return the state after a generation whose best candidate is known."""
    g = state.top[2:]
    kept = jnp.concatenate([state.kept[1:], (g <= 0)[None]])
    seen = jnp.minimum(state.generations + 1, kept.shape[0])
    share = jnp.sum(kept, axis=0) / seen
    has = state.curve > 0
    within = state.curve * g > -state.slope
    learns = has & (within | state.touched)
    slope = jnp.where(learns, state.slope + state.curve * g / _DAMPING, state.slope)
    off = slope < 0
    slope = jnp.maximum(slope, 0)
    moves = has & ~off & ~(state.curve * g < -slope)
    up = moves & ((g > 0) | ((state.curve * g > -slope) & (share > 0.95)))
    down = moves & ~up & (g < 0) & (share < 0.9)
    streak = jnp.where(up, jnp.maximum(state.streak, 0) + 1, state.streak)
    streak = jnp.where(down, jnp.minimum(streak, 0) - 1, streak)
    wait = 2.0 + dimension
    steep = 1 + 4 / wait * jnp.clip(jnp.abs(streak) - wait, 0, wait)
    turn = jnp.where(up, steep, 0) - jnp.where(down, steep, 0)
    curve = state.curve * 2 ** (_QUARTER * turn / (5 * dimension))
    # Not in the papers: where a whole generation breaks a limit, the coefficients are wrong by far.
    curve = jnp.where(up & ~state.hit, 2 * state.curve, curve)
    return state._replace(slope=slope, curve=curve, streak=streak, kept=kept)


def _quartiles(columns: jax.Array, known: jax.Array) -> jax.Array:
    """Return the quartiles (3, c) of columns (n, c), of the rows that are known; 0 of none."""
    rows = jnp.where(known[:, None] | ~jnp.any(known), columns, jnp.nan)
    return jnp.nanquantile(rows, jnp.asarray([0.25, 0.5, 0.75], columns.dtype), axis=0)
