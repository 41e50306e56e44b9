"""Forward differences with the widths and weights of zeroth-order Frank-Wolfe.

Each kind says along which directions values are asked for, how far away, and how much a new
estimate counts in the running mean; t is the number of steps before. Sahu, Zaheer, Kar,
arXiv:1810.03233, equations for KWSA, RDSA and I-RDSA in section 3 and theorems on their rates.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from parafree.blackbox._asked import require_count


class Differences(eqx.Module):
    """A way to estimate a gradient from values ahead of a point."""

    @abstractmethod
    def directions(self, key: jax.Array, dimension: int, dtype: Any) -> jax.Array:
        """Return the directions (n, d)."""

    @abstractmethod
    def width(self, t: jax.Array, dimension: int) -> jax.Array:
        """Return c_t, how far ahead the values are."""

    @abstractmethod
    def share(self, t: jax.Array, dimension: int) -> jax.Array:
        """Return rho_t, how much the estimate counts in the running mean."""

    @abstractmethod
    def parts(self, dimension: int) -> float:
        """Return by what the sum over the directions is divided."""


class KWSA(Differences):
    """Kiefer and Wolfowitz: one difference along every coordinate.

    Example:
        >>> KWSA().directions(jax.random.key(0), 3, jnp.float32).shape
        (3, 3)
    """

    def directions(self, key: jax.Array, dimension: int, dtype: Any) -> jax.Array:
        """Return the coordinates."""
        return jnp.eye(dimension, dtype=dtype)

    def width(self, t: jax.Array, dimension: int) -> jax.Array:
        """Return 2 / (d^(1/2) (t + 8)^(1/3))."""
        return 2 * dimension**-0.5 * (t + 8) ** (-1 / 3)

    def share(self, t: jax.Array, dimension: int) -> jax.Array:
        """Return 4 / (t + 8)^(2/3)."""
        return 4 * (t + 8) ** (-2 / 3)

    def parts(self, dimension: int) -> float:
        """Return 1: every coordinate is a part of the gradient."""
        return 1.0


class RDSA(Differences):
    """One difference along a normally distributed direction.

    Example:
        >>> RDSA().directions(jax.random.key(0), 3, jnp.float32).shape
        (1, 3)
    """

    def directions(self, key: jax.Array, dimension: int, dtype: Any) -> jax.Array:
        """Draw the direction."""
        return jax.random.normal(key, (1, dimension), dtype)

    def width(self, t: jax.Array, dimension: int) -> jax.Array:
        """Return 2 / (d^(3/2) (t + 8)^(1/3))."""
        return 2 * dimension**-1.5 * (t + 8) ** (-1 / 3)

    def share(self, t: jax.Array, dimension: int) -> jax.Array:
        """Return 4 / (d^(1/3) (t + 8)^(2/3))."""
        return 4 * dimension ** (-1 / 3) * (t + 8) ** (-2 / 3)

    def parts(self, dimension: int) -> float:
        """Return 1."""
        return 1.0


class IRDSA(Differences):
    """The mean of differences along several normally distributed directions.

    Args:
        count: directions m, at least 1; static.

    Raises:
        MethodError: ``count`` is no whole number of at least 1.

    Example:
        >>> IRDSA(5).directions(jax.random.key(0), 3, jnp.float32).shape
        (5, 3)
    """

    count: int = eqx.field(default=6, static=True)

    def __check_init__(self) -> None:
        require_count("IRDSA", count=self.count)

    def directions(self, key: jax.Array, dimension: int, dtype: Any) -> jax.Array:
        """Draw the directions."""
        return jax.random.normal(key, (self.count, dimension), dtype)

    def width(self, t: jax.Array, dimension: int) -> jax.Array:
        """Return 2 m^(1/2) / (d^(3/2) (t + 8)^(1/3))."""
        return 2 * self.count**0.5 * dimension**-1.5 * (t + 8) ** (-1 / 3)

    def share(self, t: jax.Array, dimension: int) -> jax.Array:
        """Return 4 / ((1 + d/m)^(1/3) (t + 8)^(2/3))."""
        return 4 * (1 + dimension / self.count) ** (-1 / 3) * (t + 8) ** (-2 / 3)

    def parts(self, dimension: int) -> float:
        """Return m."""
        return float(self.count)
