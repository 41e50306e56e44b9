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
that it stands still needs values that fall. The functions take NumPy's arrays or JAX's.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

_DAMPING = 5.0  # d_gamma, of the multipliers
_QUARTER = 0.25  # a change of the curvature makes so much of the largest one


class Lagrangian(NamedTuple):
    """Coefficients for k constraints, and the past on which they depend; it says all there is."""

    slope: Any  # (k,), the multipliers, at least 0
    curve: Any  # (k,), how strongly squares are punished; 0 while nothing is known
    settled: Any  # (k,), bool, whether both have got their first values for good
    streak: Any  # (k,), how often in a row the curvature grew (or shrank, where negative)
    kept: Any  # (h, k), bool, whether the best of each of the last h generations kept it
    generations: Any  # (), int32, in this run
    asked: Any  # (), int32, candidates of the generation that is under way
    middle: Any  # (), by which worths are squeezed in this generation
    width: Any  # ()
    hit: Any  # (k,), bool, whether a candidate of this generation kept it
    touched: Any  # (k,), bool, whether a candidate of this generation was within its reach
    top: Any  # (2 + k,), worth, f and g of the best candidate of this generation
    record: Any  # (2,), violation and f of the best candidate of this run
    level: Any  # (), how often the record was improved


def begin(dimension: int, constraints: int, dtype: Any = float, xp: Any = np) -> Lagrangian:
    """Return the state of a run that has seen nothing."""
    k = constraints
    zeros, no = xp.zeros(k, dtype), xp.zeros(k, bool)
    zero, count = xp.zeros((), dtype), xp.zeros((), xp.int32)
    kept = xp.zeros((5 + dimension, k), bool)
    top, record = xp.full(2 + k, xp.inf, dtype), xp.full(2, xp.inf, dtype)
    return Lagrangian(
        zeros, zeros, no, zeros, kept, count, count, zero, zero + 1, no, no, top, record, zero
    )


def judge(
    state: Lagrangian, f: Any, g: Any, population: Any, dimension: int, xp: Any = np
) -> tuple[Any, Lagrangian]:
    """Return what a batch is worth, to be told to a method that ranks, and the next state.

    Args:
        state: what is known.
        f: (n,), the values; infinite where there is none.
        g: (n, k), the constraints; at most 0 is kept, infinite where nothing is known.
        population: candidates in a generation, which may come in several batches.
        dimension: of the search.
        xp: NumPy or JAX's NumPy.

    Returns:
        (n,), smaller is better, infinite where nothing is known; and the state after the batch.
    """
    known = xp.isfinite(f) & xp.all(xp.isfinite(g), axis=1)
    safe_f, safe_g = xp.where(known, f, 0), xp.where(known[:, None], g, 0)
    fresh = state.asked == 0
    state = _where(xp, fresh & xp.any(known), _scaled(state, safe_f, safe_g, known, xp), state)
    worth = _worth(state, safe_f, safe_g, xp)
    x = (worth - state.middle) / state.width
    violation = xp.sum(xp.maximum(g, 0), axis=1)
    beyond = xp.where(xp.isfinite(violation), violation, 0)
    # From the limits alone: behind all others.
    unknown = xp.where(xp.isfinite(violation), 1 + beyond / (1 + beyond), xp.inf)
    told = xp.where(known, x / (1 + abs(x)), unknown)
    state = _noted(state, safe_f, safe_g, worth, known, violation, xp)
    told = told - 2 * state.level
    asked = state.asked + f.shape[0]
    whole = asked >= population
    after = _first(state, safe_f, safe_g, known, dimension, xp)
    after = _where(xp, xp.isfinite(state.top[0]), _followed(after, dimension, xp), after)
    no = xp.zeros_like(state.touched)
    top, generations = xp.full_like(state.top, xp.inf), state.generations + 1
    after = after._replace(top=top, touched=no, hit=no, generations=generations)
    asked = xp.where(whole, xp.zeros_like(asked), asked)
    return told, _where(xp, whole, after, state)._replace(asked=asked)


def _worth(state: Lagrangian, f: Any, g: Any, xp: Any) -> Any:
    """Equation (4) of Dufossé and Hansen 2021."""
    floor = xp.where(state.curve > 0, -state.slope / xp.where(state.curve > 0, state.curve, 1), 0)
    raised = xp.maximum(g, floor)
    return f + xp.sum(state.slope * raised + state.curve / 2 * raised**2, axis=1)


def _scaled(state: Lagrangian, f: Any, g: Any, known: Any, xp: Any) -> Lagrangian:
    """Return the state with the scale of its first batch, which the whole generation keeps."""
    low, middle, high = _quartiles(_worth(state, f, g, xp)[:, None], known, xp)
    width = xp.where(high > low, high - low, 1)[0]
    return state._replace(middle=middle[0], width=width)


def _noted(
    state: Lagrangian, f: Any, g: Any, worth: Any, known: Any, violation: Any, xp: Any
) -> Lagrangian:
    """Return the state that knows the best candidates of a batch, and what was within reach."""
    i = xp.argmin(xp.where(known, worth, xp.inf))
    found = xp.concatenate([worth[i][None], f[i][None], g[i]])
    top = xp.where(known[i] & (found[0] < state.top[0]), found, state.top)
    within = known[:, None] & (state.curve * g > -state.slope)
    broken = xp.where(known, violation, xp.inf)
    least = xp.min(broken)
    lowest = xp.min(xp.where(known & (broken == least), f, xp.inf))
    old_least, old_lowest = state.record[0], state.record[1]
    better = (least < old_least) | ((least == old_least) & (lowest < old_lowest))
    better = better & xp.isfinite(least)
    return state._replace(
        top=top,
        touched=state.touched | xp.any(within, axis=0),
        hit=state.hit | xp.any(known[:, None] & (g <= 0), axis=0),
        record=xp.where(better, xp.stack([least, lowest]), state.record),
        level=xp.where(better, state.level + 1, state.level),
    )


def _first(state: Lagrangian, f: Any, g: Any, known: Any, dimension: int, xp: Any) -> Lagrangian:
    """Return the state with first coefficients, which depend on how much values differ.

    They are set again until a constraint was both kept and broken by a fifth of the candidates.
    """
    k = g.shape[1]
    low, _, high = _quartiles(xp.concatenate([f[:, None], g, g**2], axis=1), known, xp)
    spread = high - low
    df, dg, dg2 = spread[0], spread[1 : k + 1], spread[k + 1 :]
    share = xp.sum(known[:, None] & (g > 0), axis=0) / xp.maximum(xp.sum(known), 1)
    tiny = 1e-11 * (df + 1)
    slope = df / (dimension * dg + tiny)
    curve = 0.4 * df / dimension / (dg + 1e-6 * dg2 + tiny)
    furthest = xp.max(xp.where(known[:, None], abs(g), 0), axis=0)
    curve = xp.clip(slope / (furthest + 1e-22), curve, 20 * curve)
    open_ = (~state.settled | (state.curve == 0)) & (share > 0.1)
    late = state.generations > 2 + dimension
    return state._replace(
        slope=xp.where(open_, slope, state.slope),
        curve=xp.where(open_, curve, state.curve),
        settled=state.settled | (open_ & (late | ((share > 0.1) & (share < 0.9)))),
    )


def _followed(state: Lagrangian, dimension: int, xp: Any) -> Lagrangian:
    """Return the state after a generation whose best candidate is known."""
    g = xp.where(xp.isfinite(state.top[0]), state.top[2:], 0)
    kept = xp.concatenate([state.kept[1:], (g <= 0)[None]])
    seen = xp.minimum(state.generations + 1, kept.shape[0])
    share = xp.sum(kept, axis=0) / seen
    has = state.curve > 0
    within = state.curve * g > -state.slope
    learns = has & (within | state.touched)
    slope = xp.where(learns, state.slope + state.curve * g / _DAMPING, state.slope)
    off = slope < 0
    slope = xp.maximum(slope, 0)
    moves = has & ~off & ~(state.curve * g < -slope)
    up = moves & ((g > 0) | ((state.curve * g > -slope) & (share > 0.95)))
    down = moves & ~up & (g < 0) & (share < 0.9)
    streak = xp.where(up, xp.maximum(state.streak, 0) + 1, state.streak)
    streak = xp.where(down, xp.minimum(streak, 0) - 1, streak)
    wait = 2.0 + dimension
    steep = 1 + 4 / wait * xp.clip(abs(streak) - wait, 0, wait)
    turn = xp.where(up, steep, 0) - xp.where(down, steep, 0)
    curve = state.curve * 2 ** (_QUARTER * turn / (5 * dimension))
    # Not in the papers: where a whole generation breaks a limit, the coefficients are wrong by far.
    curve = xp.where(up & ~state.hit, 2 * state.curve, curve)
    return state._replace(slope=slope, curve=curve, streak=streak, kept=kept)


def _quartiles(columns: Any, known: Any, xp: Any) -> Any:
    """Return the quartiles (3, c) of columns (n, c), of the rows that are known; 0 of none."""
    rows = xp.where(known[:, None] | ~xp.any(known), columns, xp.nan)
    return xp.nanquantile(rows, xp.asarray([0.25, 0.5, 0.75], columns.dtype), axis=0)


def _where(xp: Any, condition: Any, a: Lagrangian, b: Lagrangian) -> Lagrangian:
    return Lagrangian(*(xp.where(condition, x, y) for x, y in zip(a, b, strict=True)))
