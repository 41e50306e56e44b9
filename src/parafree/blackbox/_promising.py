"""Where a score is largest: random points, points around the best one, and a climb from the top."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from parafree.blackbox._frame import even
from parafree.blackbox._modelled import Record, snap

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

    rows_and_all = jax.value_and_grad(lambda x: _sum_and_parts(score(x)), has_aux=True)

    def step(carry: tuple[jax.Array, jax.Array, jax.Array], _: None) -> tuple:
        x, length, (s, g) = carry
        g = jnp.where(jnp.isfinite(g) & ~((x <= low) & (g < 0)) & ~((x >= high) & (g > 0)), g, 0)
        norm = jnp.sqrt(jnp.sum(g**2, axis=1, keepdims=True))
        new = jnp.clip(x + length * g / jnp.where(norm > 0, norm, 1), low, high)
        (_, new_s), new_g = rows_and_all(new)
        up = (new_s > s)[:, None]
        length = jnp.where(up, 2 * length, length / 4)
        return (
            jnp.where(up, new, x),
            length,
            (jnp.where(up[:, 0], new_s, s), jnp.where(up, new_g, g)),
        ), None

    start = x[rows]
    (_, s), g = rows_and_all(start)
    lengths = jnp.full((start.shape[0], 1), _LENGTH, where.dtype)
    climbed = jax.lax.scan(step, (start, lengths, (s, g)), length=_STEPS)[0][0]
    climbed = snap(where, climbed)
    both, scores = jnp.concatenate([start, climbed]), jnp.concatenate([values, rated(climbed)])
    return both[jnp.argmax(scores)]


def _sum_and_parts(scores: jax.Array) -> tuple[jax.Array, jax.Array]:
    return jnp.sum(scores), scores
