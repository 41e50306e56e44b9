"""xNES: the paper's algorithm in NumPy, with SciPy's exponential of a matrix."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from hypothesis import given, settings
from hypothesis import strategies as st

from parafree.blackbox import XNES
from parafree.blackbox.xnes import _exponential


def slow(batches: Any, d: int, n: int) -> Any:
    """Glasmachers et al. 2010, algorithm 1 and table 1."""
    raw = [max(0, np.log(n / 2 + 1) - np.log(i)) for i in range(1, n + 1)]
    u = [x / sum(raw) - 1 / n for x in raw]
    eta = 3 * (3 + np.log(d)) / (5 * d * np.sqrt(d))
    mean, sigma, b, eye = np.zeros(d), 1.0, np.eye(d), np.eye(d)
    for batch in batches:
        s = batch.draws[np.argsort(batch.values, kind="stable")]
        g_delta = sum(u[k] * s[k] for k in range(n))
        g_m = sum(u[k] * (np.outer(s[k], s[k]) - eye) for k in range(n))
        g_sigma = np.trace(g_m) / d
        g_b = g_m - g_sigma * eye
        mean = mean + sigma * b @ g_delta
        sigma *= np.exp(eta / 2 * g_sigma)
        b = b @ scipy.linalg.expm(eta / 2 * g_b)
        yield mean, sigma, b


@pytest.mark.parametrize(("d", "n"), [(2, 6), (9, 10)])
def test_reference_paper_in_numpy(trace: Any, valley: Any, double: Any, d: int, n: int) -> None:
    batches = trace(XNES(population=n), valley, jnp.zeros(d), 60)
    for batch, (mean, sigma, shape) in zip(batches, slow(batches, d, n), strict=True):
        np.testing.assert_allclose(batch.state.core.mean, mean, rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(batch.state.core.sigma, sigma, rtol=1e-7)
        np.testing.assert_allclose(batch.state.matrix, shape, rtol=1e-6, atol=1e-8)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.floats(0, 4))
def test_law_the_series_is_the_exponential(seed: int, norm: float) -> None:
    matrix = np.random.default_rng(seed).normal(size=(5, 5))
    matrix = (matrix + matrix.T) * norm / np.linalg.norm(matrix + matrix.T)
    found = np.asarray(_exponential(jnp.asarray(matrix, jnp.float32)))
    np.testing.assert_allclose(found, scipy.linalg.expm(matrix), rtol=1e-4, atol=1e-5)
