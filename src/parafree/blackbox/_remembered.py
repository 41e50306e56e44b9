"""What methods share that remember a few paths of the mean in place of a matrix."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_FADE = 0.3  # c_s, how fast older generations' success is forgotten
_FEW = 512  # values that are compared each with each


def replaced(rows: jax.Array, gone: jax.Array, last: jax.Array) -> jax.Array:
    """Return rows of which one has gone, with another one behind them.

    Example:
        >>> print(replaced(jnp.array([1, 2, 3, 4]), jnp.int32(1), jnp.int32(9)))
        [1 3 4 9]
    """
    moved = jnp.arange(rows.shape[0], dtype=jnp.int32) >= gone
    moved = moved.reshape(-1, *[1] * (rows.ndim - 1))
    return jnp.where(moved, jnp.roll(rows, -1, axis=0), rows).at[-1].set(last)


def logarithmic(count: int, dtype: Any) -> jax.Array:
    """Return the weights (count,) of ranks: log(count + 1/2) - log i, with sum 1."""
    weights = np.log(count + 0.5) - np.log(np.arange(1, count + 1))
    return jnp.asarray(weights / weights.sum(), dtype)


def lowest(values: jax.Array, count: int) -> jax.Array:
    """Return the smallest values, sorted, in less than half the time that sorting all takes.

    Example:
        >>> print(lowest(jnp.array([3.0, jnp.inf, 1.0, 2.0]), 2))
        [1. 2.]
    """
    return -jax.lax.top_k(-values, count)[0]


def improvement(previous: jax.Array, current: jax.Array, weights: jax.Array) -> jax.Array:
    """Return by how many ranks, as a share of all, values (n,) are better than the last ones.

    Both are sorted, from the lowest on. A tie is neither better nor worse, or steps would shrink
    where many candidates share a value, as they do on bounds.

    Example:
        >>> even = jnp.ones(2) / 2
        >>> print(improvement(jnp.array([3.0, 4.0]), jnp.array([1.0, 2.0]), even))
        1.0
        >>> print(improvement(jnp.array([3.0, 4.0]), jnp.array([3.0, 4.0]), even))
        0.0
    """
    n = current.shape[0]
    method = "compare_all" if n <= _FEW else "sort"

    def below(a: jax.Array, b: jax.Array) -> jax.Array:
        """Return how many of a are lower than each of b; half of those that are equal count."""
        left, right = (jnp.searchsorted(a, b, side=s, method=method) for s in ("left", "right"))
        return (left + right).astype(a.dtype) / 2

    return weights @ (below(current, previous) - below(previous, current)) / n


def succeeded(success: jax.Array, gain: jax.Array, target: float, first: jax.Array) -> jax.Array:
    """Return the success of the last generations, by whose exponential the step size grows.

    It is the mean improvement beyond a target; the first generation has nothing to improve on.
    """
    return jnp.where(first, success, (1 - _FADE) * success + _FADE * (gain - target))
