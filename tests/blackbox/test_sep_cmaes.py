"""sep-CMA-ES: the paper's algorithm in NumPy."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from parafree import run
from parafree.blackbox import SepCMAES


def slow(batches: Any, d: int, n: int) -> Any:
    """Ros and Hansen 2008, with weights log((n + 1) / 2) - log i, one candidate at a time."""
    raw = np.log((n + 1) / 2) - np.log(np.arange(1, n // 2 + 1))
    w = raw / raw.sum()
    mass = 1 / np.sum(w**2)
    c_s = (mass + 2) / (d + mass + 3)
    d_s = 1 + 2 * max(0, np.sqrt((mass - 1) / (d + 1)) - 1) + c_s
    c_c = 4 / (d + 4)
    full = 2 / (d + np.sqrt(2)) ** 2 / mass
    full += (1 - 1 / mass) * min(1, (2 * mass - 1) / ((d + 2) ** 2 + mass))
    c_cov = min(1, (d + 2) / 3 * full)
    chi = np.sqrt(d) * (1 - 1 / (4 * d) + 1 / (21 * d * d))
    mean, sigma, var, p_s, p_c = np.zeros(d), 1.0, np.ones(d), np.zeros(d), np.zeros(d)
    for g, batch in enumerate(batches):
        z = batch.draws[np.argsort(batch.values, kind="stable")[: n // 2]]
        y_w = np.sqrt(var) * (w @ z)
        mean = mean + sigma * y_w
        p_s = (1 - c_s) * p_s + np.sqrt(c_s * (2 - c_s) * mass) * (w @ z)
        length = np.linalg.norm(p_s)
        h = length / np.sqrt(1 - (1 - c_s) ** (2 * (g + 1))) < (1.4 + 2 / (d + 1)) * chi
        p_c = (1 - c_c) * p_c + h * np.sqrt(c_c * (2 - c_c) * mass) * y_w
        one = p_c**2 + (1 - h) * c_c * (2 - c_c) * var
        many = sum(w[i] * var * z[i] ** 2 for i in range(n // 2))
        var = (1 - c_cov) * var + c_cov / mass * one + c_cov * (1 - 1 / mass) * many
        sigma *= np.exp(c_s / d_s * (length / chi - 1))
        yield mean, sigma, var


@pytest.mark.parametrize(("d", "n"), [(2, 6), (15, 12)])
def test_reference_paper_in_numpy(trace: Any, ellipse: Any, double: Any, d: int, n: int) -> None:
    batches = trace(SepCMAES(population=n), lambda x: ellipse(x - 1), jnp.zeros(d), 80)
    for batch, (mean, sigma, variance) in zip(batches, slow(batches, d, n), strict=True):
        np.testing.assert_allclose(batch.state.core.mean, mean, rtol=1e-7, atol=1e-10)
        np.testing.assert_allclose(batch.state.core.sigma, sigma, rtol=1e-7)
        np.testing.assert_allclose(batch.state.variance, variance, rtol=1e-7)


@pytest.mark.slow
def test_a_thousand_coordinates_with_their_own_units() -> None:
    units = 10.0 ** (3 * jnp.arange(1000) / 999)
    start = jnp.ones(1000)
    result = run(SepCMAES(), lambda x: jnp.sum(units * x**2), start, jax.random.key(0), steps=4000)
    assert result.value < 1e-2 * jnp.sum(units)
