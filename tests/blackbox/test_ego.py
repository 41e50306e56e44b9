"""EGO: scikit-learn's Gaussian process, and expected improvement by integration."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern

from parafree import Real, Space, run
from parafree.blackbox import EGO, Region
from parafree.blackbox._gaussian_process import (
    Hyper,
    condition,
    first_guess,
    fit,
    log_prior,
    uphill,
)
from parafree.blackbox._promising import most_promising
from parafree.blackbox.ego import log_improvement


def data(n: int = 12, d: int = 3, room: int = 20) -> Any:
    """Rows with a point, rows without, and what scikit-learn is given."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(n, d)), rng.normal(size=n)
    place = np.sort(rng.permutation(room)[:n])
    all_x, all_y = np.full((room, d), 7.0), np.full(room, 9.0)
    all_x[place], all_y[place] = x, y
    return x, y, all_x, all_y, np.isin(np.arange(room), place)


def test_reference_regression_by_scikit_learn(double: Any) -> None:
    x, y, all_x, all_y, known = data()
    lengths, amplitude, noise = np.array([0.5, 1.0, 2.0]), 1.7, 0.01
    hyper = Hyper(*(jnp.log(jnp.asarray(number)) for number in (lengths, amplitude, noise)))
    posterior = condition(hyper, jnp.asarray(all_x), jnp.asarray(all_y), jnp.asarray(known))
    kernel = ConstantKernel(amplitude) * Matern(lengths, nu=2.5)
    peer = GaussianProcessRegressor(kernel, alpha=noise, optimizer=None).fit(x, y)
    new = np.random.default_rng(1).normal(size=(30, 3))
    mean, deviation = peer.predict(new, return_std=True)
    ours = posterior.predict(jnp.asarray(new))
    np.testing.assert_allclose(ours[0], mean, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(ours[1], deviation, rtol=1e-7)
    np.testing.assert_allclose(posterior.means()[known], peer.predict(x), rtol=1e-8, atol=1e-10)
    np.testing.assert_array_equal(posterior.means()[~known], 0)
    likelihood = peer.log_marginal_likelihood_value_
    np.testing.assert_allclose(posterior.log_likelihood(), likelihood, rtol=1e-9)


def test_reference_gradient_of_the_likelihood_by_scikit_learn(double: Any) -> None:
    x, y, all_x, all_y, known = data()
    kernel = ConstantKernel(1.0) * Matern(np.array([0.5, 1.0, 2.0]), nu=2.5)
    peer = GaussianProcessRegressor(kernel, alpha=0.01, optimizer=None).fit(x, y)
    theirs = peer.log_marginal_likelihood(kernel.theta, eval_gradient=True)[1]

    def arrays() -> Any:
        return (jnp.asarray(each) for each in (all_x, all_y, known))

    def likelihood(logs: Any) -> Any:
        hyper = Hyper(logs[1:], logs[0], jnp.log(0.01))
        return condition(hyper, *arrays()).log_likelihood()

    np.testing.assert_allclose(jax.grad(likelihood)(jnp.asarray(kernel.theta)), theirs, rtol=1e-6)
    hyper = Hyper(*(jnp.log(jnp.asarray(n)) for n in ([0.5, 1.0, 2.0], 1.0, 0.01)))
    ours, prior = uphill(hyper, *arrays()), jax.grad(log_prior)(hyper)
    np.testing.assert_allclose(ours.lengths - prior.lengths, theirs[1:], rtol=1e-6)
    np.testing.assert_allclose(ours.amplitude - prior.amplitude, theirs[0], rtol=1e-6)


@pytest.mark.parametrize("z", [-12.0, -5.0, -4.1, -3.9, -1.0, 0.0, 2.0])
def test_reference_expected_improvement_by_integration(z: float, double: Any) -> None:
    """The mean of max(0, z + a standard normal number), on a fine grid."""
    gain = np.linspace(0, max(z, 0) + 8, 400_001)
    density = np.exp(scipy.stats.norm.logpdf(gain - z) - scipy.stats.norm.logpdf(z))
    expected = np.log(np.trapezoid(gain * density, gain)) + scipy.stats.norm.logpdf(z)
    assert float(log_improvement(jnp.asarray(z))) == pytest.approx(expected, abs=0.02)


def test_the_fit_makes_a_kernel_more_likely_and_finds_the_coordinate_that_matters(
    double: Any,
) -> None:
    x = np.random.default_rng(0).uniform(-2, 2, size=(40, 3))
    y = np.sin(3 * x[:, 1])
    arrays = jnp.asarray(x), jnp.asarray(y), jnp.ones(40, bool)
    start = first_guess(3, jnp.float64)
    found = jax.jit(lambda: fit(start, *arrays, 150))()
    density = lambda h: condition(h, *arrays).log_likelihood() + log_prior(h)  # noqa: E731
    assert density(found) > density(start) + 50
    assert np.argmin(found.lengths) == 1


def test_the_search_for_the_largest_score_finds_it_within_bounds() -> None:
    method = EGO(points=4, first=2)
    region = Region(jnp.zeros(2), low=-2.0, high=2.0)
    record = method.init(jax.random.key(0), region).record
    for peak, inside in (((0.3, -1.1), (0.3, -1.1)), ((5.0, 0.4), (2.0, 0.4))):
        at = jnp.array(peak)
        score = lambda x, at=at: -jnp.sum((x - at) ** 2, axis=1)  # noqa: E731
        found = jax.jit(lambda s=score: most_promising(jax.random.key(1), s, record, 1.0))()
        np.testing.assert_allclose(found, inside, atol=0.02)


@pytest.mark.slow
def test_it_needs_far_fewer_values_than_random_search(double: Any) -> None:
    """Branin's function, least 0.397887: within 0.01 after 40 values, for the median of 3 seeds."""

    def branin(p: Any) -> Any:
        bend = p["y"] - 5.1 / (4 * jnp.pi**2) * p["x"] ** 2 + 5 / jnp.pi * p["x"] - 6
        return bend**2 + 10 * (1 - 1 / (8 * jnp.pi)) * jnp.cos(p["x"]) + 10

    space = Space(x=Real(-5.0, 10.0), y=Real(0.0, 15.0))
    found = [
        run(EGO(points=50), branin, space, jax.random.key(s), steps=40).value for s in range(3)
    ]
    assert np.median(found) < 0.397887 + 0.01
