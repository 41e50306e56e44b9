"""The averaging of Schedule-Free learning, which takes the place of a schedule.

Three sequences: ``z`` takes the steps, ``x`` is the average of ``z`` and the one to evaluate, and
``y``, between them, is where the gradient is taken: these are the parameters that are trained. Two
determine the third, so ``x`` is only kept where the parameters are too coarse to find it from.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from parafree.optim._distance import ratio
from parafree.optim._numbers import Number, Schedule, at
from parafree.optim._tree import copy, dtype_of, wide


class Between(NamedTuple):
    """What determines the average when the parameters are known."""

    p: Any  # z, as the parameters, at least float32
    beta: jax.Array  # (), share of x in y
    x: Any  # the average, at least float32; None where the parameters are at least float32

    def eval_params(self, params: Any) -> Any:
        """Return x for parameters that are at y."""
        if self.x is not None:
            return self.x
        beta = self.beta
        return jax.tree.map(
            lambda y, z: (y - (1 - beta).astype(y.dtype) * z) / beta.astype(y.dtype),
            wide(params),
            self.p,
        )


class Weights(NamedTuple):
    """The weights of the average, which follow the largest learning rate so far."""

    top: jax.Array  # (), at least float32, the largest learning rate
    total: jax.Array  # (), at least float32, sum of squared rates, in units of the largest squared


def begin(params: Any, beta: Number) -> tuple[Between, Weights]:
    """Return the state at the start, where all sequences meet."""
    dtype = dtype_of(params)
    coarse = any(jnp.result_type(x) != dtype for x in jax.tree.leaves(wide_only(params)))
    z = wide(copy(params), dtype)
    x = jax.tree.map(jnp.copy, z) if coarse else None
    zero = jnp.zeros((), dtype)
    return Between(z, jnp.asarray(beta, dtype), x), Weights(zero, zero)


def warm(rate: Number | Schedule, warmup: Number, count: jax.Array, dtype: Any) -> jax.Array:
    """Return the learning rate of a step: it rises linearly over ``warmup`` steps."""
    steps = jnp.maximum(jnp.asarray(warmup, dtype), 1)
    return at(rate, count, dtype) * jnp.minimum((count.astype(dtype) + 1) / steps, 1)


def weigh(weights: Weights, rate: jax.Array) -> tuple[Weights, jax.Array]:
    """Return the new weights, and the share of the newest iterate in the average."""
    top = jnp.maximum(weights.top, rate)
    total = weights.total * jnp.square(ratio(weights.top, top)) + 1
    return Weights(top, total), 1 / total


def move(old: Between, step: Any, share: jax.Array) -> Between:
    """Return the state after a step of z.

    Args:
        old: the state.
        step: what z loses, as the parameters.
        share: of z in the average; where it and the step are zero, nothing changes.
    """
    z = jax.tree.map(_less, old.p, step)
    if old.x is None:
        return Between(z, old.beta, None)
    return Between(z, old.beta, jax.tree.map(lambda x, z: x + share * (z - x), old.x, z))


def updates(new: Between, y: Any, step: Any, share: jax.Array) -> Any:
    """Return the updates of the parameters y that belong to a :func:`move`.

    With x' = x + share (z' - x) they are y' - y = share (z' - y) - (1 - beta) (1 - share) step. So
    what is needed of z is the new one, which may take the old one's memory.
    """
    beta = new.beta
    if new.x is not None:
        # From x and z that are finer than y, y does not gather errors of rounding.
        between = lambda x, z, y: beta * x + (1 - beta) * z - y  # noqa: E731
        return jax.tree.map(between, new.x, new.p, y)
    behind = (1 - beta) * (1 - share)
    return jax.tree.map(lambda z, s, y: share * (z - y) - behind * _bounded(s), new.p, step, y)


def wide_only(params: Any) -> Any:
    """Return the leaves that a method may move, as they are."""
    return jax.tree.map(lambda w, p: p, wide(params), params)


def _less(z: jax.Array, step: jax.Array) -> jax.Array:
    # A rate that is far too large ends in large numbers, not in infinity minus infinity.
    moved = z - _bounded(step)
    # A choice of two arrays is computed once; a clipped one would be computed again where it is
    # read, from the z that it takes the place of.
    return jnp.where(jnp.abs(moved) <= _top(z), moved, z)


def _bounded(x: jax.Array) -> jax.Array:
    return jnp.clip(x, -_top(x), _top(x))


def _top(x: jax.Array) -> jax.Array:
    return jnp.asarray(jnp.finfo(x.dtype).max / 1024, x.dtype)
