"""Gradients of what can only be asked: estimates from values around the point of every row.

A *queried* function takes points (k, rows, d), k of them for each row, and returns their values
(k, rows). Rows know nothing of each other, so k calls serve all of them.

Zhang, Yao, Jia, Yi, Hong, Chang, Liu, arXiv:2203.14195, equations for RGE and CGE, with the widths
of the authors' code.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from parafree.blackbox._asked import require_count
from parafree.blackbox._sphere import on_sphere, slope

Queried = Callable[[jax.Array], jax.Array]  # (k, rows, d) -> (k, rows)


class Found(NamedTuple):
    """What a queried function is at the points of its rows."""

    value: jax.Array  # (rows,)
    gradient: jax.Array  # (rows, d)


class GradientEstimate(eqx.Module):
    """A way to come by the gradient of a queried function."""

    @abstractmethod
    def calls(self, dimension: int) -> int:
        """Return k, how many points it asks for in each row."""

    @abstractmethod
    def at(self, key: jax.Array, f: Queried, z: jax.Array) -> Found:
        """Return values and gradients at z (rows, d)."""


class CGE(GradientEstimate):
    """Central differences along every coordinate: exact up to the square of the width.

    Args:
        width: mu, how far away values are asked for; above 0, a leaf.

    Example:
        >>> square = lambda z: jnp.sum(z**2, axis=-1)
        >>> found = CGE(0.25).at(jax.random.key(0), square, jnp.array([[1.0, -3.0]]))
        >>> print(found.value, found.gradient, CGE().calls(2))
        [10.] [[ 2. -6.]] 5
    """

    width: Any = 0.005

    def calls(self, dimension: int) -> int:
        """Return 1 + 2 d."""
        return 1 + 2 * dimension

    def at(self, key: jax.Array, f: Queried, z: jax.Array) -> Found:
        """Return values and central differences; those that are not finite count as 0."""
        d, width = z.shape[1], jnp.asarray(self.width, z.dtype)
        steps = width * jnp.eye(d, dtype=z.dtype)[:, None]
        values = f(jnp.concatenate([z[None], z + steps, z - steps]))
        ahead, behind = values[1 : d + 1], values[d + 1 :]
        rises = (ahead - behind) / (2 * width)
        return Found(values[0], jnp.where(jnp.isfinite(rises), rises, 0).T)


class RGE(GradientEstimate):
    """Forward differences along random directions, for each row its own.

    On average it is the gradient of the function's mean over a ball; a single estimate of few
    directions is about sqrt(d / count) times as long as the gradient.

    Args:
        count: q, directions; at least 1, static.
        width: mu, how far away values are asked for; above 0, a leaf.

    Raises:
        MethodError: ``count`` is no whole number of at least 1.

    Example:
        >>> line = lambda z: z @ jnp.array([2.0, -1.0])
        >>> found = RGE(4000).at(jax.random.key(0), line, jnp.zeros((1, 2)))
        >>> print(found.gradient.round(1), RGE(20).calls(2))
        [[ 2. -1.]] 21
    """

    count: int = eqx.field(default=20, static=True)
    width: Any = 0.005

    def __check_init__(self) -> None:
        require_count("RGE", count=self.count)

    def calls(self, dimension: int) -> int:
        """Return 1 + q."""
        return 1 + self.count

    def at(self, key: jax.Array, f: Queried, z: jax.Array) -> Found:
        """Return values and estimates; directions without a finite value are left out."""
        width = jnp.asarray(self.width, z.dtype)
        u = on_sphere(key, (self.count, *z.shape), z.dtype)
        values = f(jnp.concatenate([z[None], z + width * u]))
        here, ahead = values[0], values[1:]
        # A slope is that of a pair whose ends are two radii apart; here one end is the point.
        of_row = jax.vmap(lambda u, ahead, here: slope(u, ahead, here, width / 2), (1, 1, 0))
        return Found(here, of_row(u, ahead, here).gradient)


class TrueGradient(GradientEstimate):
    """The derivative itself, for a function that lets JAX look inside: the white box.

    Example:
        >>> square = lambda z: jnp.sum(z**2, axis=-1)
        >>> print(TrueGradient().at(jax.random.key(0), square, jnp.array([[1.0, -3.0]])).gradient)
        [[ 2. -6.]]
    """

    def calls(self, dimension: int) -> int:
        """Return 1."""
        return 1

    def at(self, key: jax.Array, f: Queried, z: jax.Array) -> Found:
        """Return values and gradients."""
        value, pull = jax.vjp(lambda z: f(z[None])[0], z)
        (gradient,) = pull(jnp.ones_like(value))
        return Found(value, gradient)
