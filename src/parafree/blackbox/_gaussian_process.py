"""Gaussian process regression: exact, by Cholesky's factors, with rows that may be empty.

Carl E. Rasmussen, Christopher K. I. Williams, "Gaussian Processes for Machine Learning", MIT Press
2006, chapters 2, 4 and 5. The kernel is Matern's with nu = 5/2, with a length for each coordinate.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from parafree.blackbox._adam import Moments, move, still

UNIT_CUBE = 4.0  # units of a search between two bounds
_RATE = 0.1  # of Adam, on logarithms
_NOISE = math.log(1e-4)  # the logarithm of the noise's variance that is thought most likely


class Hyper(NamedTuple):
    """The numbers of a kernel, as natural logarithms; d coordinates."""

    lengths: jax.Array  # (d,), in units of the search
    amplitude: jax.Array  # (), of the variance
    noise: jax.Array  # (), of the noise's variance


class Posterior(NamedTuple):
    """What is known after m points; rows without a point count for nothing."""

    hyper: Hyper
    x: jax.Array  # (m, d)
    known: jax.Array  # (m,), bool
    root: jax.Array  # (m, m), Cholesky's factor of the covariance
    weights: jax.Array  # (m,), the inverse of the covariance times the values
    values: jax.Array  # (m,), 0 where there is no point

    def predict(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return mean and deviation (n,) of the function, without noise, at x (n, d)."""
        cross = jnp.where(self.known, matern(self.hyper, x, self.x), 0)  # (n, m)
        mean = cross @ self.weights
        part = jax.scipy.linalg.solve_triangular(self.root, cross.T, lower=True)
        variance = jnp.exp(self.hyper.amplitude) - jnp.sum(part**2, axis=0)
        least = jnp.finfo(x.dtype).eps * jnp.exp(self.hyper.amplitude)
        return mean, jnp.sqrt(jnp.maximum(variance, least))

    def means(self) -> jax.Array:
        """Return the mean (m,) of the function at the points that are known; 0 at other rows.

        The covariance times the weights is the values (2.25), of which this is all but the noise.
        """
        return jnp.where(self.known, self.values - _own(self.hyper) * self.weights, 0)

    def log_likelihood(self) -> jax.Array:
        """Return the logarithm of the density of the values, (2.30)."""
        fit = self.values @ self.weights
        size = 2 * jnp.sum(jnp.where(self.known, jnp.log(jnp.diagonal(self.root)), 0))
        n = jnp.sum(self.known).astype(fit.dtype)
        return -(fit + size + n * math.log(2 * math.pi)) / 2


def matern(hyper: Hyper, a: jax.Array, b: jax.Array) -> jax.Array:
    """Return the covariances (n, m) of a function's values at a (n, d) and b (m, d), (4.17)."""
    a, b = a / jnp.exp(hyper.lengths), b / jnp.exp(hyper.lengths)
    return jnp.exp(hyper.amplitude) * _falling(jnp.sum((a[:, None] - b[None, :]) ** 2, axis=-1))


@jax.custom_jvp
def _falling(square: jax.Array) -> jax.Array:
    """Return how the covariance falls with the square of the distance, from 1 at 0."""
    s = jnp.sqrt(5 * square)
    return (1 + s + 5 * square / 3) * jnp.exp(-s)


@_falling.defjvp
def _slope_of_falling(primals: tuple[jax.Array], tangents: tuple[jax.Array]) -> tuple:
    """Return the value and the slope, which is finite at 0, where that of the root is not."""
    (square,), (change,) = primals, tangents
    s = jnp.sqrt(5 * square)
    fall = jnp.exp(-s)
    return (1 + s + 5 * square / 3) * fall, -5 / 6 * (1 + s) * fall * change


def condition(hyper: Hyper, x: jax.Array, y: jax.Array, known: jax.Array) -> Posterior:
    """Return what is known after the values y (m,) at x (m, d), where they are known (2.23-24)."""
    root = jnp.linalg.cholesky(_covariance(hyper, x, known))
    y = jnp.where(known, y, 0)
    weights = jax.scipy.linalg.cho_solve((root, True), y)
    return Posterior(hyper, x, known, root, weights, y)


def first_guess(dimension: int, dtype: jnp.dtype) -> Hyper:
    """Return the most likely numbers before anything is known."""
    middle = jnp.full(dimension, _middle(dimension), dtype)
    return Hyper(middle, jnp.zeros((), dtype), jnp.asarray(_NOISE, dtype))


def log_prior(hyper: Hyper) -> jax.Array:
    """Return the logarithm of the prior's density, up to a constant; normal in all logarithms.

    Lengths grow with the root of the dimension, so that a function of many coordinates is not
    thought to be more complicated than one of few (Hvarfner et al. 2024, arXiv:2402.02229).
    """
    middle = _middle(hyper.lengths.shape[0])
    lengths = jnp.sum((hyper.lengths - middle) ** 2) / 3
    return -(lengths + hyper.amplitude**2 + ((hyper.noise - _NOISE) / 3) ** 2) / 2


def fit(hyper: Hyper, x: jax.Array, y: jax.Array, known: jax.Array, steps: int) -> Hyper:
    """Return numbers of a kernel that are more likely, after some steps of Adam from ``hyper``."""
    start, back = ravel_pytree(hyper)  # as one vector, which compiles faster than three leaves

    def step(carry: tuple[jax.Array, Moments], _: None) -> tuple:
        numbers, moments = carry
        slope = ravel_pytree(uphill(back(numbers), x, y, known))[0]
        return move(numbers, -slope, moments, _RATE), None

    return back(jax.lax.scan(step, (start, still(start)), length=steps)[0][0])


def uphill(hyper: Hyper, x: jax.Array, y: jax.Array, known: jax.Array) -> Hyper:
    """Return the gradient of the logarithm of likelihood times prior, (5.9).

    Written out for the covariance, because a derivative of Cholesky's factors takes long to
    compile and twice the time of the factors.
    """
    posterior = condition(hyper, x, y, known)
    inverse = jax.scipy.linalg.cho_solve((posterior.root, True), jnp.eye(len(y), dtype=x.dtype))
    pull = (jnp.outer(posterior.weights, posterior.weights) - inverse) / 2

    def density(hyper: Hyper) -> jax.Array:
        return jnp.sum(pull * _covariance(hyper, x, known)) + log_prior(hyper)

    return jax.grad(density)(hyper)


def _covariance(hyper: Hyper, x: jax.Array, known: jax.Array) -> jax.Array:
    """Return the covariance (m, m) of values with their noise; rows without a point stand alone."""
    own = jnp.where(known, _own(hyper), 1)
    return jnp.where(known[:, None] & known, matern(hyper, x, x), 0) + jnp.diag(own)


def _own(hyper: Hyper) -> jax.Array:
    """Return the variance of a value's own noise: so much as lets rounding leave all positive."""
    jitter = 100 * jnp.finfo(hyper.noise.dtype).eps * jnp.exp(hyper.amplitude)
    return jnp.exp(hyper.noise) + jitter


def _middle(dimension: int) -> float:
    return math.sqrt(2) + math.log(dimension) / 2 + math.log(UNIT_CUBE)
