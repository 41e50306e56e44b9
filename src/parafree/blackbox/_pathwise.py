"""Whole functions drawn from a Gaussian process that knows some values, at any number of points.

James T. Wilson, Viacheslav Borovitskiy, Alexander Terenin, Peter Mostowsky, Marc Peter Deisenroth,
"Efficiently Sampling Functions from Gaussian Process Posteriors", ICML 2020, arXiv:2002.09309.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from parafree.blackbox._frame import normal
from parafree.blackbox._gaussian_process import Posterior, matern

_DEGREES = 5  # of freedom: twice nu of Matern's kernel, whose spectral density is Student's


def draw_functions(
    key: jax.Array, posterior: Posterior, x: jax.Array, count: int, features: int = 512
) -> jax.Array:
    """Return the values (count, n) of functions at points x (n, d), without noise.

    A function of the prior, made of waves, is corrected by what it gets wrong at the points that
    are known (equation 13). That is exact in the mean; the covariance is that of the prior's waves,
    off by about one over the root of their number.

    Args:
        key: a JAX key.
        posterior: what is known, m points.
        x: where the functions are asked for.
        count: how many functions.
        features: how many waves make a function of the prior.

    Cost:
        O((n + m) features (d + count) + n m (d + count)) operations; joint draws take O(n^3).
    """
    hyper, (m, d) = posterior.hyper, posterior.x.shape
    rows = features * (d + _DEGREES + count) + m * count
    z = normal(key, (features + 1, -(-rows // features)), x.dtype).ravel()
    waves, z = z[: features * d].reshape(features, d), z[features * d :]
    tails, z = z[: features * _DEGREES].reshape(features, _DEGREES), z[features * _DEGREES :]
    heights, z = z[: features * count].reshape(features, count), z[features * count :]
    noise = z[: m * count].reshape(m, count)

    shrink = jnp.sqrt(_DEGREES / jnp.sum(tails**2, axis=1, keepdims=True))
    waves = waves * shrink / jnp.exp(hyper.lengths)
    # Sine and cosine of each wave need no random phase: half of the features each.
    half = features // 2
    size = jnp.exp(hyper.amplitude / 2) / math.sqrt(half)

    def prior(at: jax.Array) -> jax.Array:
        phase = at @ waves[:half].T
        return size * (jnp.cos(phase) @ heights[:half] + jnp.sin(phase) @ heights[half:])

    observed = prior(posterior.x) + jnp.exp(hyper.noise / 2) * noise
    wrong = jnp.where(posterior.known[:, None], posterior.values[:, None] - observed, 0)
    weights = jax.scipy.linalg.cho_solve((posterior.root, True), wrong)
    cross = jnp.where(posterior.known, matern(hyper, x, posterior.x), 0)
    return (prior(x) + cross @ weights).T
