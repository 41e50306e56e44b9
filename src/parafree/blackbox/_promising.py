"""Where a score is largest: random points, points around the best one, and a climb from the top."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from parafree.blackbox._frame import even
from parafree.blackbox._modelled import Record, snap
from parafree.core.space import Space

_TOP = 4  # points to climb from
_STEPS = 20  # of a climb
_LENGTH = 0.1  # of the first step, in units of the scale; it doubles on the way up
_SHORTEST = 1e-3  # deviation of the closest points around the best one


def most_promising(
    key: jax.Array,
    score: Callable[[jax.Array], jax.Array],
    record: Record,
    spread: Any,
    tries: int = 256,
) -> jax.Array:
    """Return a point (d,) with a large score that keeps the bounds and the constraints.

    Half of the tries are spread as first points are, half lie around the best point at distances
    of all magnitudes, some in few coordinates. From the best of them it follows the gradient.

    Args:
        key: a JAX key.
        score: maps points (n, d) to scores (n,); larger is better.
        record: what is known.
        spread: as for first points.
        tries: random points, an even number.

    Cost:
        ``tries`` scores, and 4 of them with their gradients in each of 20 steps.
    """
    where, d = record.frame, record.frame.dimension
    unit = jnp.where(where.scale > 0, where.scale, 1)  # bounds may touch
    low, high = ((bound - where.origin) / unit for bound in (where.low, where.high))

    def rated(x: jax.Array) -> jax.Array:
        s, feasible = score(x), where.feasible(x)
        good = ~jnp.isnan(s) if feasible is None else feasible & ~jnp.isnan(s)
        return jnp.where(good, s, -jnp.inf)

    u = even(key, (tries // 2, 3 * d + 2), where.dtype)
    far, z = where.scatter(u[:, :d], spread), jax.scipy.special.ndtri(u[:, d : 2 * d])
    share, size = u[:, -1:], _SHORTEST ** u[:, -2:-1]
    draw = u[:, 2 * d : 3 * d]
    moved = (draw < share) | (draw == draw.min(axis=1, keepdims=True))  # one at least
    near = record.best.x + jnp.where(moved, z * size, 0)
    x = snap(where, where.inside(jnp.concatenate([far, near])))
    values, rows = jax.lax.top_k(rated(x), min(_TOP, tries))

    start = x[rows]
    top = _climb(score, start, low, high)
    if not isinstance(where.form, Space):  # nothing moves them, so their scores are known
        return top.x[jnp.argmax(top.score)]
    climbed = snap(where, top.x)
    both, scores = jnp.concatenate([start, climbed]), jnp.concatenate([values, rated(climbed)])
    return both[jnp.argmax(scores)]


class _Climber(NamedTuple):
    """Points on their way up, n of them."""

    x: jax.Array  # (n, d)
    length: jax.Array  # (n, 1), of the next step
    score: jax.Array  # (n,)
    slope: jax.Array  # (n, d)


def _climb(
    score: Callable[[jax.Array], jax.Array], x: jax.Array, low: jax.Array, high: jax.Array
) -> _Climber:
    """Return points (n, d) that are no lower than x, after steps along the gradient."""

    def look(x: jax.Array, length: jax.Array) -> _Climber:
        scores, back = jax.vjp(score, x)
        return _Climber(x, length, scores, back(jnp.ones_like(scores))[0])

    def step(here: _Climber, _: None) -> tuple[_Climber, None]:
        blocked = ((here.x <= low) & (here.slope < 0)) | ((here.x >= high) & (here.slope > 0))
        way = jnp.where(jnp.isfinite(here.slope) & ~blocked, here.slope, 0)
        norm = jnp.sqrt(jnp.sum(way**2, axis=1, keepdims=True))
        way = way / jnp.where(norm > 0, norm, 1)
        there = look(jnp.clip(here.x + here.length * way, low, high), 2 * here.length)
        stay = here._replace(length=here.length / 4)
        up = there.score > here.score

        def pick(new: jax.Array, old: jax.Array) -> jax.Array:
            return jnp.where(up if new.ndim == 1 else up[:, None], new, old)

        return jax.tree.map(pick, there, stay), None

    # The first step goes nowhere, and finds out where it is: so there is one place that looks.
    blank = jnp.full(x.shape[0], -jnp.inf, x.dtype)
    length = jnp.full((x.shape[0], 1), _LENGTH / 2, x.dtype)
    start = _Climber(x, length, blank, jnp.zeros_like(x))
    return jax.lax.scan(step, start, length=_STEPS + 1)[0]
