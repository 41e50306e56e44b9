"""Random search: the distribution of the best draw, in closed form."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats

from parafree import Real, Space, run
from parafree.blackbox import RandomDraws, Region
from parafree.blackbox._frame import frame


def test_reference_the_best_of_n_even_draws() -> None:
    """On f(x) = x the best of n draws in [0, 1] has the beta distribution B(1, n)."""
    space, n = Space(x=Real(0.0, 1.0)), 40

    def best(key: jax.Array) -> jax.Array:
        return run(RandomDraws(population=n // 2), lambda p: p["x"], space, key, steps=2).value

    keys = jax.random.split(jax.random.key(0), 2000)
    found = np.asarray(jax.vmap(best)(keys))
    # One of the draws is the start, x = 1/2, so n - 1 are random.
    found = found[found < 0.5]
    law = scipy.stats.beta(1, n - 1)
    assert scipy.stats.kstest(found, lambda x: law.cdf(x) / law.cdf(0.5)).pvalue > 1e-3


def test_draws_are_normal_where_there_are_no_bounds() -> None:
    method = RandomDraws(population=4000, spread=0.5)
    state = method.init(jax.random.key(0), Region(jnp.zeros(2), scale=3.0))
    x, _ = method.ask(jax.random.key(1), state)
    assert scipy.stats.kstest(np.asarray(x[1:, 0]) / 1.5, "norm").pvalue > 1e-3


def test_reference_each_coordinate_begins_as_its_own_bounds_say() -> None:
    u = np.array([[0.25, 0.5, 0.9], [0.75, 0.1, 0.2]], np.float32)
    low, high = np.array([0.0, -np.inf, -2.0]), np.array([4.0, np.inf, -1.0])
    start = np.array([1.0, 3.0, -1.5], np.float32)
    mixed = frame(Region(jnp.asarray(start), scale=2.0, low=low, high=high))
    x = np.asarray(mixed.scatter(jnp.asarray(u), 3.0))
    for i in (0, 2):
        between = (low[i] + u[:, i] * (high[i] - low[i]) - start[i]) / 2
        np.testing.assert_allclose(x[:, i], between, rtol=1e-5)
    np.testing.assert_allclose(x[:, 1], 3 * scipy.stats.norm.ppf(u[:, 1]), rtol=1e-5, atol=1e-6)
    bounded = frame(Region(jnp.asarray(start), scale=2.0, low=-5, high=5))
    x = np.asarray(bounded.scatter(jnp.asarray(u), 3.0))
    np.testing.assert_allclose(x, (-5 + 10 * u - start) / 2, rtol=1e-5, atol=1e-6)
