"""Options drawn from categorical distributions, which learn by the natural gradient.

Youhei Akimoto, Shinichi Shirakawa, Nozomu Yoshinari, Kento Uchida, Shota Saito, Kouhei Nishida,
"Adaptive Stochastic Natural Gradient Method for One-Shot Neural Architecture Search", ICML 2019,
for the step; Hamano and others, "CatCMA", GECCO 2024, arXiv:2405.09962, for the least probability.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

_TINY = 1e-8
_SNR = 1.5  # signal to noise of the natural gradient at which the step neither grows nor shrinks


class Options(NamedTuple):
    """Distributions of m choices, padded to the k options of the largest."""

    share: jax.Array  # (m, k), probabilities; 0 behind a choice's last option
    trend: jax.Array  # (m, k), s, accumulated natural gradients in units of their deviation
    certainty: jax.Array  # (), gamma, how much of the accumulation is there
    slowness: jax.Array  # (), Delta, the inverse of the step


def start(counts: tuple[int, ...], dtype: Any) -> Options:
    """Return even distributions over so many options each."""
    known = _known(counts)
    share = jnp.asarray(known / np.array(counts, float)[:, None], dtype)
    zero = jnp.zeros((), dtype)
    return Options(share, jnp.zeros_like(share), zero, zero + 1)


def pick(options: Options, u: jax.Array) -> jax.Array:
    """Return the options (n, m) that numbers u (n, m), even in (0, 1), stand for."""
    ends = jnp.cumsum(options.share, axis=1)[None, :, :-1]
    return jnp.sum(u[:, :, None] >= ends, axis=2, dtype=jnp.int32)


def middle(options: Options, u: jax.Array, counts: tuple[int, ...]) -> jax.Array:
    """Return numbers (n, m) that :func:`pick` the options whose even share of (0, 1) holds u."""
    number = jnp.asarray(np.array(counts), u.dtype)
    place = jnp.clip(jnp.floor(u * number), 0, number - 1).astype(jnp.int32)
    chosen = jax.nn.one_hot(place, options.share.shape[1], dtype=u.dtype)
    return jnp.sum(chosen * (jnp.cumsum(options.share, axis=1) - options.share / 2), axis=2)


def learn(
    options: Options, picked: jax.Array, weights: jax.Array, counts: tuple[int, ...], least: float
) -> Options:
    """Return the distributions after a generation.

    Args:
        options: before it.
        picked: (n, m), the options of the candidates.
        weights: (n,), at least 0; their sum is 1, or 0 where nothing was learned.
        counts: how many options each choice has.
        least: the least probability of all options but the most likely one together.
    """
    q, k = options.share, options.share.shape[1]
    hot = jax.nn.one_hot(jnp.minimum(picked, k - 1), k, dtype=q.dtype)
    gradient = jnp.einsum("n,nmk->mk", weights, hot) - jnp.sum(weights) * q
    scaled = _scaled(q, gradient, counts)
    length = jnp.sqrt(jnp.sum(scaled**2))
    step = 1 / options.slowness
    size = float(np.sqrt(sum(counts) - len(counts)))
    rate = step / size
    trend = (1 - rate) * options.trend + jnp.sqrt(rate * (2 - rate)) * scaled / (length + _TINY)
    certainty = (1 - rate) ** 2 * options.certainty + rate * (2 - rate)
    slowness = options.slowness * jnp.exp(rate * (certainty - jnp.sum(trend**2) / _SNR))
    share = _with_margin(q + step / (length + _TINY) * gradient, counts, least)
    return Options(share, trend, certainty, jnp.maximum(slowness, 1 / size))


def _scaled(q: jax.Array, gradient: jax.Array, counts: tuple[int, ...]) -> jax.Array:
    """Return the gradient times the root of the Fisher matrix; 0 for each last option."""
    rows, last = np.arange(len(counts)), np.array(counts) - 1
    end = q[rows, last]
    free = jnp.asarray(_known(counts) * (np.arange(q.shape[1]) < last[:, None]), q.dtype)
    root = jnp.sqrt(jnp.where(free > 0, q, 1))
    total = jnp.sum(free * gradient, axis=1)
    return free * (gradient / root + root * (total / (end + jnp.sqrt(end)))[:, None])


def _with_margin(q: jax.Array, counts: tuple[int, ...], least: float) -> jax.Array:
    number = np.array(counts, float)[:, None]
    known = jnp.asarray(_known(counts), q.dtype)
    floor = jnp.asarray(least / (number - 1), q.dtype) * known
    q = jnp.maximum(q, floor) * known
    total = jnp.sum(q, axis=1, keepdims=True)
    room = total - jnp.sum(floor, axis=1, keepdims=True)
    q = q - (total - 1) * (q - floor) / room
    return q / jnp.sum(q, axis=1, keepdims=True)


def _known(counts: tuple[int, ...]) -> np.ndarray:
    """Return 1.0 where a choice has an option, (m, k)."""
    return (np.arange(max(counts)) < np.array(counts)[:, None]).astype(float)
