"""A quadratic model of the values at points that were evaluated, and where it is lowest.

It is a ridge regression with a quadratic kernel, in coordinates in which the distribution of the
search is round: with fewer points than a quadratic has coefficients it takes the one that curves
least, with more the one that fits best, and lower points count more, as in Nikolaus Hansen, "A
Global Surrogate Assisted CMA-ES", GECCO 2019.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from parafree.blackbox._frame import Frame

_CONSTANT, _LINEAR, _SQUARE = 1000.0, 10.0, 1.0  # weights of the kernel's parts
_RIDGE = 1e-9  # of a point's own kernel, or what the dtype resolves
_HEAVIEST = 20.0  # weight of the lowest point beside that of the highest
_HALVINGS = 60
_ROUNDS = 4  # in which coordinates are found to be at their bounds


class Quadratic(NamedTuple):
    """What values are expected at x; d coordinates."""

    centre: jax.Array  # (d,), the lowest point known
    inverse: jax.Array  # (d, d), q = inverse (x - centre) are the coordinates of the model
    constant: jax.Array  # ()
    slope: jax.Array  # (d,)
    curvature: jax.Array  # (d, d)
    offset: jax.Array  # (), the lowest value, where the model is 0
    unit: jax.Array  # (), and how far above it half of the values are

    def guess(self, x: jax.Array) -> jax.Array:
        """Return the model (n,) at x (n, d), in its unit above its offset."""
        q = (x - self.centre) @ self.inverse.T
        return self.constant + q @ self.slope + jnp.sum((q @ self.curvature) * q, axis=1) / 2

    def lowest(self, mean: jax.Array, axes: jax.Array, radius: Any) -> jax.Array:
        """Return the point mean + axes z at which the model is lowest, |z| <= radius.

        On the border it is where curvature + l I is positive and |z| = radius, for some l >= 0.
        """
        turn = self.inverse @ axes
        slope = turn.T @ (self.slope + self.curvature @ (self.inverse @ (mean - self.centre)))
        values, vectors = jnp.linalg.eigh(turn.T @ self.curvature @ turn)
        along = vectors.T @ slope
        tiny = jnp.finfo(values.dtype).eps * jnp.max(jnp.abs(values)) + jnp.finfo(values.dtype).tiny
        least = jnp.maximum(-values[0], 0) + tiny

        def halve(_: Any, ends: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            low, high = ends
            middle = (low + high) / 2
            far = jnp.sum((along / (values + middle)) ** 2) > radius**2
            return jnp.where(far, middle, low), jnp.where(far, high, middle)

        most = least + jnp.sqrt(jnp.sum(along**2)) / radius
        _, shift = jax.lax.fori_loop(0, _HALVINGS, halve, (least, most))
        return mean - axes @ (vectors @ (along / (values + shift)))


def aim(model: Quadratic, where: Frame, mean: jax.Array, axes: jax.Array, radius: Any) -> jax.Array:
    """Return about where the model is lowest within the bounds, no further away than the radius.

    Coordinates that a step takes beyond a bound stay there, and the others are found again.
    """
    x = model.lowest(mean, axes, radius)
    first = where.clipped(x)
    covariance, eye = axes @ axes.T, jnp.eye(len(mean), dtype=mean.dtype)

    def again(_: Any, ends: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        x, free = ends
        root = jnp.linalg.cholesky(jnp.where(free[:, None] & free, covariance, eye))
        root = jnp.where(free[:, None], root, jnp.zeros_like(root))
        moved = model.lowest(jnp.where(free, mean, x), root, radius)
        kept = where.clipped(moved)
        return kept, free & (kept == moved)

    def within(inside: jax.Array) -> jax.Array:
        found, _ = jax.lax.fori_loop(0, _ROUNDS, again, (first, inside))
        return jnp.where(jnp.isfinite(found).all(), found, first)

    inside = first == x
    return jax.lax.cond(jnp.all(inside), lambda _: first, within, inside)


def flat(dimension: int, dtype: Any) -> Quadratic:
    """Return a model that knows nothing."""
    zero, row = jnp.zeros((), dtype), jnp.zeros(dimension, dtype)
    square = jnp.zeros((dimension, dimension), dtype)
    return Quadratic(row, square, zero, row, square, zero, zero + 1)


def fit(x: jax.Array, values: jax.Array, axes: jax.Array) -> tuple[Quadratic, jax.Array]:
    """Return the model of points, and what it says of each one when fitted to the others.

    Args:
        x: (n, d), points; at least one counts.
        values: (n,), +inf where a point does not count.
        axes: (d, d), columns that are one deviation of the search long.
    """
    known = jnp.isfinite(values)
    count = jnp.sum(known)
    low, order = jnp.min(values), jnp.argsort(values)
    rank = jnp.zeros_like(values).at[order].set(jnp.arange(len(values), dtype=values.dtype))
    share = rank / jnp.maximum(count - 1, 1).astype(values.dtype)
    weights = _HEAVIEST + (1 - _HEAVIEST) * jnp.minimum(share, 1)
    unit = values[order[count // 2]] - low
    highest = jnp.max(jnp.where(known, values, low))
    unit = jnp.where(jnp.isfinite(unit) & (unit > 0), unit, highest - low)
    unit = jnp.where(unit > 0, unit, jnp.ones_like(unit))
    y = jnp.where(known, (values - low) / unit, 0)

    centre, inverse = x[order[0]], jnp.linalg.inv(axes)
    q = jnp.where(known[:, None], (x - centre) @ inverse.T, 0)
    inner = q @ q.T
    kernel = _CONSTANT + _LINEAR * inner + _SQUARE * inner**2
    ridge = max(_RIDGE, 100 * float(jnp.finfo(values.dtype).eps))
    own = jnp.diagonal(kernel) * ridge / weights
    kernel = jnp.where(known[:, None] & known, kernel, 0)
    whole = kernel + jnp.diag(jnp.where(known, own, 1))
    root = jnp.linalg.cholesky(whole)
    root = jax.lax.linalg.triangular_solve(
        root, jnp.eye(len(y), dtype=y.dtype), lower=True, left_side=True
    )
    dual = root.T @ (root @ y)
    left_out = y - dual / jnp.sum(root**2, axis=0)
    curvature = 2 * _SQUARE * (q.T * dual) @ q
    constant, slope = _CONSTANT * jnp.sum(dual), _LINEAR * dual @ q
    return Quadratic(centre, inverse, constant, slope, curvature, low, unit), left_out


def agreement(a: jax.Array, b: jax.Array, counted: jax.Array) -> jax.Array:
    """Return Kendall's rank correlation of those that count; -1 where they are fewer than three.

    Example:
        >>> a, b = jnp.array([1.0, 2.0, 3.0, 9.0]), jnp.array([1.0, 3.0, 2.0, 0.0])
        >>> print(agreement(a, b, jnp.array([True, True, True, False])).round(3))
        0.333
    """
    pair = counted[:, None] & counted
    signs = jnp.sign(a[:, None] - a) * jnp.sign(b[:, None] - b)
    total = jnp.sum(jnp.where(pair, signs, 0))
    count = jnp.sum(counted).astype(a.dtype)
    return jnp.where(count > 2, total / jnp.maximum(count * (count - 1), 1), -jnp.ones_like(total))
