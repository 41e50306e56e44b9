"""Slopes along random directions: gradients of smoothed functions, from pairs of values.

The ball-smoothed function f_r(x) is the mean of f over the ball of radius r around x. Its gradient
is the mean of d (f(x + r e) - f(x - r e)) / (2 r) e over directions e even on the unit sphere, so a
few pairs of values estimate it without any derivative.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


class Slope(NamedTuple):
    """What pairs of values say about a gradient."""

    gradient: jax.Array  # (d,), the mean over the pairs that are finite; 0 where none is
    length: jax.Array  # (), root mean square length of the gradient along single directions
    pairs: jax.Array  # (), int32, pairs of which both values are finite


def on_sphere(key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
    """Draw directions (..., d), even on the unit sphere.

    Example:
        >>> print(jnp.sum(on_sphere(jax.random.key(0), (2, 5), jnp.float32) ** 2, axis=-1).round(4))
        [1. 1.]
    """
    draws = jax.random.normal(key, shape, dtype)
    size = jnp.sqrt(jnp.sum(draws**2, axis=-1, keepdims=True))
    return draws / jnp.maximum(size, jnp.finfo(dtype).tiny)


def slope(directions: jax.Array, ahead: jax.Array, behind: jax.Array, radius: Any) -> Slope:
    """Return what values ahead and behind say; pairs that are not finite are left out.

    Args:
        directions: (n, d), on the unit sphere.
        ahead: (n,), values at x + radius * direction.
        behind: (n,), values at x - radius * direction.
        radius: of the smoothing, above 0.

    Example:
        >>> e = jnp.eye(3)
        >>> found = slope(e, jnp.array([2.0, jnp.nan, 1.0]), jnp.zeros(3), 0.5)
        >>> print(found.gradient, found.pairs)
        [3.  0.  1.5] 2
    """
    d, dtype = directions.shape[1], directions.dtype
    rises = (ahead - behind) / (2 * jnp.asarray(radius, dtype))
    good = jnp.isfinite(rises)
    rises = jnp.where(good, rises, 0)
    pairs = jnp.sum(good, dtype=jnp.int32)
    count = jnp.maximum(pairs, 1).astype(dtype)
    gradient = d * (rises @ directions) / count
    return Slope(gradient, jnp.sqrt(d * jnp.sum(rises**2) / count), pairs)
