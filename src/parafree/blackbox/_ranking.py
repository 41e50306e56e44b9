"""Values as ranks, and ranks as weights. What is not finite comes last, whatever it is."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

_FEW = 512  # values that are ranked by comparing each with each: half the time of sorting, or less


class Weights(NamedTuple):
    """How much each candidate counts, by its rank."""

    positive: jax.Array  # (n,), of the better half; sum 1, or 0 where no value is finite
    negative: jax.Array  # (n,), at most 0, of the worse half; not normalised
    mass: jax.Array  # (), 1 / sum of squares of the positive ones (mu_eff)
    negative_mass: jax.Array  # (), the same of the negative ones (mu_eff^-)


def clean(values: Any, feasible: jax.Array | None, dtype: Any) -> jax.Array:
    """Return values of which those that are not finite, or not feasible, are +inf.

    Minus infinity is no value to be proud of either: it comes from a logarithm of zero or an
    overflow, and nothing is better than another such point.
    """
    values = jnp.asarray(values).astype(dtype)
    good = jnp.isfinite(values)
    if feasible is not None:
        good &= feasible
    return jnp.where(good, values, jnp.inf)


def ranks(values: jax.Array) -> jax.Array:
    """Return the rank of each value, from 0; equal ones by position.

    Example:
        >>> print(ranks(jnp.array([3.0, 1.0, jnp.inf, 1.0])))
        [2 0 3 1]
    """
    n = values.shape[0]
    if n > _FEW:
        order = jnp.argsort(values, stable=True)
        return jnp.zeros(n, jnp.int32).at[order].set(jnp.arange(n, dtype=jnp.int32))
    place = jnp.arange(n)
    tie = (values[:, None] == values[None, :]) & (place[:, None] < place[None, :])
    # Summed over rows, which a processor does for many columns at once.
    return jnp.sum((values[:, None] < values[None, :]) | tie, axis=0, dtype=jnp.int32)


def weigh(values: jax.Array, count: Any) -> Weights:
    """Return the logarithmic weights of CMA-ES (Hansen 2016, equations (49) to (53)).

    Args:
        values: (n,), cleaned; what stands behind the first ``count`` is +inf and no candidate.
        count: the number of candidates, which may be traced.
    """
    rank = ranks(values)
    size = jnp.asarray(count, values.dtype)
    raw = jnp.log((size + 1) / 2) - jnp.log(rank.astype(values.dtype) + 1)
    raw = jnp.where(rank < count, raw, 0)
    better, rest = jnp.where(jnp.isfinite(values), jnp.maximum(raw, 0), 0), jnp.minimum(raw, 0)
    # One reduction compiles faster than four.
    sums = jnp.sum(jnp.stack([better, better**2, rest, rest**2]), axis=1)
    total, below = sums[0], sums[2]
    positive = better / jnp.where(total > 0, total, 1)
    return Weights(positive, rest, _mass(total, sums[1]), _mass(below, sums[3]))


def utilities(values: jax.Array, count: Any, baseline: bool = True) -> jax.Array:
    """Return the utilities of natural evolution strategies.

    Wierstra et al. 2014, section 3.1; ``values`` and ``count`` as for :func:`weigh`. They sum to
    0, or to 1 without the baseline of one over the population.
    """
    rank = ranks(values)
    size = jnp.asarray(count, values.dtype)
    raw = jnp.log(size / 2 + 1) - jnp.log(rank.astype(values.dtype) + 1)
    better = _normal(jnp.where(jnp.isfinite(values), jnp.maximum(raw, 0), 0))
    return jnp.where(rank < count, better - 1 / size, 0) if baseline else better


def _normal(weights: jax.Array) -> jax.Array:
    total = jnp.sum(weights)
    return weights / jnp.where(total > 0, total, 1)


def _mass(total: jax.Array, squares: jax.Array) -> jax.Array:
    return jnp.where(squares > 0, total**2 / jnp.where(squares > 0, squares, 1), 1)
