"""What methods share that remember a few paths of the mean in place of a matrix."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_FADE = 0.3  # c_s, how fast older generations' success is forgotten
_FEW = 512  # values that are compared each with each
_SIDES = ("left", "right")


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


def improvement(
    previous: jax.Array, current: jax.Array, weights: jax.Array, target: float
) -> jax.Array:
    """Return by how many ranks, as a share of all, values (n,) improve beyond a target.

    Both are sorted, from the lowest on. What is equal to the last ones is neither better nor worse
    and need not meet the target: on bounds all candidates may share a value, where steps would
    shrink without end.

    Example:
        >>> even = jnp.ones(2) / 2
        >>> print(improvement(jnp.array([3.0, 4.0]), jnp.array([1.0, 2.0]), even, 0.25))
        0.75
        >>> print(improvement(jnp.array([3.0, 3.0]), jnp.array([3.0, 3.0]), even, 0.25))
        0.0
    """
    n = current.shape[0]
    better, equal = _below(current, previous)
    worse, _ = _below(previous, current)
    return weights @ (better - worse - target * (n - equal)) / n


def _below(values: jax.Array, others: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return how many of sorted values are lower than each other one, and how many are equal.

    Half of those that are equal count as lower.
    """
    method = "compare_all" if values.shape[0] <= _FEW else "sort"
    left, right = (jnp.searchsorted(values, others, side=s, method=method) for s in _SIDES)
    return (left + right).astype(values.dtype) / 2, (right - left).astype(values.dtype)


def succeeded(success: jax.Array, gain: jax.Array, first: jax.Array) -> jax.Array:
    """Return the success of the last generations, by whose exponential the step size grows.

    It is the mean improvement beyond a target; the first generation has nothing to improve on.
    """
    return jnp.where(first, success, (1 - _FADE) * success + _FADE * gain)
