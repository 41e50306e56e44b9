"""How a search goes on, and when and why it has ended; inside ``jit``, so as numbers."""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp


class Status(IntEnum):
    """What became of a batch; inside ``jit`` an int32. From SMALL_STEPS on the search has ended.

    A search that has ended keeps its state; it still answers, and still notes a better value.
    """

    OK = 0
    NOT_FINITE = 1  # no value of the batch was finite and feasible, so nothing was learned
    SMALL_STEPS = 2  # steps fell below the limit, or changed no parameter any more
    FLAT = 3  # for many batches the smallest value, and the last batch as a whole, did not change
    STAGNATED = 4  # for very many batches the smallest values did not fall on average
    DIVERGED = 5  # steps grew beyond the limit, or a number of the state was not finite
    ILL_CONDITIONED = 6  # the covariance spans more orders of magnitude than numbers resolve


class Limits(eqx.Module):
    """When a search ends by itself. A limit of 0 (of infinity for ``growth``) never does.

    Args:
        step: ends when the deviations, in units of the first ones, are below this; a leaf.
        value: values that differ by no more than this count as equal; a leaf. Differences that
            are only rounding always do.
        growth: ends when a deviation, in units of the first ones, is above this; a leaf.
        patience: how long a search may stand still, in units of the published waiting times; a
            leaf. Infinity never ends it.
    """

    step: Any = 1e-12
    value: Any = 0.0
    growth: Any = 1e12
    patience: Any = 1.0


class Info(NamedTuple):
    """What a batch told."""

    value: jax.Array  # (), the smallest finite value of the batch; infinite where there is none
    spread: jax.Array  # (), root mean square of the deviations, in units of the scale
    finite: jax.Array  # (), int32, how many values were finite and feasible
    status: jax.Array  # (), int32, a Status


class Progress(NamedTuple):
    """The past of a search, as far as its end depends on it."""

    generation: jax.Array  # (), int32, batches from which something was learned
    reference: jax.Array  # (), a smallest value of a batch, to which later ones are compared
    equal: jax.Array  # (), int32, batches in a row that equalled the reference
    average: jax.Array  # (), moving average of the batches' smallest values
    lowest: jax.Array  # (), the lowest that the average has been
    since: jax.Array  # (), int32, batches since then
    status: jax.Array  # (), int32, a Status


def fresh(dtype: Any) -> Progress:
    """Return the progress of a search that has not begun."""
    zero, top = jnp.zeros((), jnp.int32), jnp.full((), jnp.inf, dtype)
    return Progress(zero, top, zero, top, top, zero, zero)


def ended(progress: Progress) -> jax.Array:
    """Say whether the search has ended."""
    return progress.status >= Status.SMALL_STEPS


def advance(
    progress: Progress, values: jax.Array, count: Any, dimension: int, limits: Limits
) -> Progress:
    """Take in the values of a batch of which at least one is finite.

    Args:
        progress: what was known.
        values: (n,), those that do not count are +inf.
        count: how many candidates the batch had.
        dimension: of the search.
        limits: when to end.
    """
    dtype = values.dtype
    finite = jnp.isfinite(values)
    low = jnp.min(values)
    high = jnp.max(jnp.where(finite, values, low))
    rounding = 8 * jnp.finfo(dtype).eps * jnp.abs(low)
    tolerance = jnp.maximum(jnp.asarray(limits.value, dtype), rounding)
    same = jnp.abs(low - progress.reference) <= tolerance
    equal = jnp.where(same, progress.equal + 1, 0)
    reference = jnp.where(same, progress.reference, low)
    first = jnp.isinf(progress.average)
    average = jnp.where(first, low, progress.average + 0.1 * (low - progress.average))
    lower = average < progress.lowest
    since = jnp.where(lower, 0, progress.since + 1)
    generation = progress.generation + 1

    # Waiting times as in pycma's termination conditions.
    patience = jnp.asarray(limits.patience, dtype)
    turns = dimension / jnp.asarray(count, dtype)
    flat = (equal.astype(dtype) >= patience * (10 + 30 * turns)) & (high - low <= tolerance)
    wait = jnp.maximum(0.2 * generation.astype(dtype), 120 + 5 * dimension + 130 * turns)
    stagnated = since.astype(dtype) >= patience * wait
    status = _first((flat, Status.FLAT), (stagnated, Status.STAGNATED))
    lowest = jnp.minimum(average, progress.lowest)
    return Progress(generation, reference, equal, average, lowest, since, status)


def judge_steps(deviation: jax.Array, first: jax.Array, moves: Any, limits: Limits) -> jax.Array:
    """Return the status that steps of this size give, or OK.

    Args:
        deviation: (d,), standard deviations of the next candidates.
        first: (), the first ones.
        moves: (), bool: a step of this size changes some parameter.
        limits: when to end.
    """
    dtype = deviation.dtype
    widest = jnp.max(deviation)
    small = (widest < jnp.asarray(limits.step, dtype) * first) | ~jnp.asarray(moves)
    large = widest > jnp.asarray(limits.growth, dtype) * first
    return _first((small, Status.SMALL_STEPS), (large, Status.DIVERGED))


def settle(old: Progress, new: Progress, learned: jax.Array) -> Progress:
    """Return the progress after a batch: ``new`` if something was learned, and it goes on.

    Otherwise nothing changes but the status, which is NOT_FINITE unless the search has ended.
    """
    return jax.tree.map(lambda x, y: jnp.where(learned & ~ended(old), x, y), new, unchanged(old))


def unchanged(progress: Progress) -> Progress:
    """Return the progress after a batch that taught nothing: NOT_FINITE unless it has ended."""
    status = jnp.where(ended(progress), progress.status, jnp.int32(Status.NOT_FINITE))
    return progress._replace(status=status)


def report(values: jax.Array, deviation: jax.Array, status: jax.Array) -> Info:
    """Return what a batch told: cleaned values (n,), the next deviations (d,), the status."""
    spread = jnp.sqrt(jnp.mean(deviation**2))
    return Info(jnp.min(values), spread, jnp.sum(jnp.isfinite(values), dtype=jnp.int32), status)


def worse(a: jax.Array, b: jax.Array) -> jax.Array:
    """Return the status that says more: a, unless it is OK."""
    return jnp.where(a > 0, a, b)


def _first(*cases: tuple[jax.Array, Status]) -> jax.Array:
    status = jnp.int32(Status.OK)
    for case, meaning in reversed(cases):
        status = jnp.where(case, jnp.int32(meaning), status)
    return status
