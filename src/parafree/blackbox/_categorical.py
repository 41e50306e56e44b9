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
from jax.scipy.special import ndtri

_TINY = 1e-8
_SNR = 1.5  # signal to noise of the natural gradient at which the step neither grows nor shrinks


class Options(NamedTuple):
    """Distributions of m choices, padded to the k options of the largest.

    An option is picked by a standard normal number, which falls between two edges.
    """

    share: jax.Array  # (m, k), probabilities; 0 behind a choice's last option
    trend: jax.Array  # (m, k), s, accumulated natural gradients in units of their deviation
    certainty: jax.Array  # (), gamma, how much of the accumulation is there
    slowness: jax.Array  # (), Delta, the inverse of the step
    edges: jax.Array  # (m, k), where an option ends; infinite from a choice's last one on
    middles: jax.Array  # (m, k), numbers of which half of an option's probability lies below


def start(counts: tuple[int, ...], dtype: Any) -> Options:
    """Return even distributions over so many options each."""
    known = _known(counts)
    share = jnp.asarray(known / np.array(counts, float)[:, None], dtype)
    zero = jnp.zeros((), dtype)
    return Options(share, jnp.zeros_like(share), zero, zero + 1, *_places(share, counts))


def pick(options: Options, z: jax.Array) -> jax.Array:
    """Return the options (n, m) that standard normal numbers z (n, m) stand for."""
    return jnp.sum(z[:, :, None] >= options.edges, axis=2, dtype=jnp.int32)


def middle(options: Options, u: jax.Array, counts: tuple[int, ...]) -> jax.Array:
    """Return numbers (n, m) that :func:`pick` the options whose even share of (0, 1) holds u."""
    number = jnp.asarray(np.array(counts), u.dtype)
    place = jnp.clip(jnp.floor(u * number), 0, number - 1).astype(jnp.int32)
    here = place[:, :, None] == jnp.arange(options.share.shape[1])
    return jnp.sum(jnp.where(here, options.middles, 0), axis=2)


def chosen(picked: jax.Array, weights: jax.Array, k: int) -> jax.Array:
    """Return the weight (m, k) of the candidates that picked (n, m) each of k options."""
    hot = picked[:, :, None] == jnp.arange(k)
    return jnp.sum(jnp.where(hot, weights[:, None, None], 0), axis=0)


def learn(options: Options, chosen: jax.Array, counts: tuple[int, ...], least: float) -> Options:
    """Return the distributions after a generation.

    Args:
        options: before it.
        chosen: (m, k), the weight of the candidates that picked each option, at least 0; their sum
            over options is 1, or 0 where nothing was learned.
        counts: how many options each choice has.
        least: the least probability of all options but the most likely one together.
    """
    q = options.share
    gradient = chosen - jnp.sum(chosen, axis=1, keepdims=True) * q
    scaled = _scaled(q, gradient, counts)
    length = jnp.sqrt(jnp.sum(scaled**2))
    step = 1 / options.slowness
    size = float(np.sqrt(sum(counts) - len(counts)))
    rate = step / size
    trend = (1 - rate) * options.trend + jnp.sqrt(rate * (2 - rate)) * scaled / (length + _TINY)
    certainty = (1 - rate) ** 2 * options.certainty + rate * (2 - rate)
    slowness = options.slowness * jnp.exp(rate * (certainty - jnp.sum(trend**2) / _SNR))
    share = _with_margin(q + step / (length + _TINY) * gradient, counts, least)
    slowness = jnp.maximum(slowness, 1 / size)
    return Options(share, trend, certainty, slowness, *_places(share, counts))


def _places(share: jax.Array, counts: tuple[int, ...]) -> jax.Array:
    """Return the edges and the middles (2, m, k) of probabilities (m, k)."""
    ends = jnp.minimum(jnp.cumsum(share, axis=1), 1)  # a rounded sum above 1 has no quantile
    edges, middles = ndtri(jnp.stack([ends, ends - share / 2]))
    last = np.arange(share.shape[1]) >= np.array(counts)[:, None] - 1
    return jnp.stack([jnp.where(last, jnp.inf, edges), middles])


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
