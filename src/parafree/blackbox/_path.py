"""Step size by the length of a path, and the learning rates of CMA-ES that go with it."""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp


class Rates(NamedTuple):
    """Learning rates of CMA-ES, scalars; Hansen 2016, table 1."""

    path: jax.Array  # c_sigma, of the path that sets the step size
    damping: jax.Array  # d_sigma
    shape_path: jax.Array  # c_c, of the path that shapes the covariance
    one: jax.Array  # c_1, of the rank-one update
    many: jax.Array  # c_mu, of the rank-mu update


def rates(mass: jax.Array, dimension: int, offset: float = 0.25) -> Rates:
    """Return the rates for weights of this mass (mu_eff) and a dimension d.

    ``offset`` is the 1/4 in c_mu, which the tutorial has since its second version.
    """
    d = dimension
    # Divided together, because every scalar that is divided alone is a program of its own.
    above = [mass + 2, 4 + mass / d, jnp.full_like(mass, 2), 2 * (offset + mass + 1 / mass - 2)]
    below = [mass + d + 5, d + 4 + 2 * mass / d, (d + 1.3) ** 2 + mass, (d + 2) ** 2 + mass]
    path, shape_path, one, many = jnp.stack(above) / jnp.stack(below)
    damping = 1 + 2 * jnp.maximum(0, jnp.sqrt(jnp.maximum(mass - 1, 0) / (d + 1)) - 1) + path
    return Rates(path, damping, shape_path, one, jnp.minimum(1 - one, many))


def expected_length(dimension: int) -> float:
    """Return the usual approximation of the expected length of a standard normal vector.

    Example:
        >>> round(expected_length(10), 4)
        3.0847
    """
    d = dimension
    return float(math.sqrt(d) * (1 - 1 / (4 * d) + 1 / (21 * d**2)))


def follow(path: jax.Array, rate: jax.Array, mass: jax.Array, step: jax.Array) -> jax.Array:
    """Return the path one step on; under random selection it stays standard normal."""
    return (1 - rate) * path + jnp.sqrt(rate * (2 - rate) * mass) * step


def grow(sigma: jax.Array, path: jax.Array, rate: jax.Array, damping: jax.Array) -> jax.Array:
    """Return the step size: larger after a path that is longer than a random one.

    It grows by no more than a factor of e at a time.
    """
    length = jnp.sqrt(jnp.sum(path**2)) / expected_length(path.shape[0])
    return sigma * jnp.exp(jnp.minimum(1, rate / damping * (length - 1)))


def steady(path: jax.Array, rate: jax.Array, generation: jax.Array) -> jax.Array:
    """Return 1, or 0 while the path is so long that the step size cannot keep up (h_sigma)."""
    d = path.shape[0]
    passed = 1 - (1 - rate) ** (2 * (generation.astype(path.dtype) + 1))
    length = jnp.sqrt(jnp.sum(path**2) / passed)
    return (length < (1.4 + 2 / (d + 1)) * expected_length(d)).astype(path.dtype)
