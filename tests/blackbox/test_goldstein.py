"""The measure of Goldstein stationarity, where the answer is known."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from parafree.blackbox import Goldstein
from parafree.core.errors import MethodError


def measure(f: Any, p: Any, radius: float = 0.5, **settings: Any) -> Any:
    each = Goldstein(radius, **{"samples": 20_000, **settings})
    return jax.jit(lambda key: each.estimate(key, f, p, None))(jax.random.key(0))


@pytest.mark.parametrize("gradients", [False, True])
@pytest.mark.parametrize(
    ("where", "expected"),
    [(0.0, 0.0), (0.25, None), (2.0, 1.0)],  # on the kink, within the ball, beyond it
)
def test_reference_a_kink_in_closed_form(where: float, expected: Any, gradients: bool) -> None:
    """f = |x_1|: the mean slope is how much more of the ball lies on one side."""
    d, radius = 4, 0.5
    if expected is None:
        # u_1^2 of a point in the ball of R^4 is Beta(1/2, 5/2) distributed.
        expected = stats.beta(0.5, (d + 1) / 2).cdf((where / radius) ** 2)
    p = jnp.zeros(d).at[0].set(where)
    norm, info = measure(lambda p, a: jnp.abs(p[0]), p, radius, gradients=gradients)
    assert float(norm) == pytest.approx(expected, abs=4 * float(info.noise) + 1e-6)
    assert int(info.calls) == (20_000 if gradients else 40_000)


def test_the_gradient_of_a_quadratic_is_that_of_its_mean_over_the_ball() -> None:
    p = {"a": jnp.array([1.0, -2.0]), "b": jnp.array(0.5)}
    norm, info = measure(lambda p, a: a_quadratic(p), p, radius=0.1)
    np.testing.assert_allclose(info.mean, [1.0, -2.0, 0.5], atol=5 * float(info.noise))
    assert float(norm) == pytest.approx(np.sqrt(5.25), abs=0.05)


def a_quadratic(p: Any) -> Any:
    return sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(p)) / 2


def test_noise_alone_looks_like_no_slope_on_average() -> None:
    """The square is unbiased: on a flat ridge the estimates are as often 0 as not."""
    each = Goldstein(1.0, 50)
    keys = jax.random.split(jax.random.key(0), 400)
    at = lambda key: each.estimate(key, lambda p, a: jnp.max(p), jnp.zeros(3), None)  # noqa: E731
    norms, info = jax.jit(jax.vmap(at))(keys)
    exact = 1 / np.sqrt(3)  # by symmetry each of three coordinates has the slope 1/3
    squares = jnp.sum(info.mean**2, axis=1) - info.noise**2
    error = float(jnp.std(squares)) / 20
    assert float(jnp.mean(squares)) == pytest.approx(exact**2, abs=4 * error)
    assert float(jnp.mean(norms == 0)) < 0.5


def test_samples_that_are_not_finite_are_left_out() -> None:
    broken = lambda p, a: jnp.where(p[0] > 0.3, jnp.nan, 2 * p[0])  # noqa: E731
    norm, info = measure(broken, jnp.zeros(2))
    assert 0 < int(info.samples) < 20_000 and np.isfinite(float(norm))
    assert np.isnan(measure(lambda p, a: p[0] * jnp.nan, jnp.zeros(2))[0])


def test_one_sample_is_no_sample() -> None:
    with pytest.raises(MethodError, match="samples is 1"):
        Goldstein(samples=1)
