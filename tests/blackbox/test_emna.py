"""EMNA: NumPy's estimates."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np

from parafree.blackbox import EMNA


def test_reference_estimates_by_numpy(trace: Any, valley: Any, double: Any) -> None:
    for batch in trace(EMNA(population=60, elite=0.3), valley, jnp.zeros(4), 25):
        kept = batch.x[np.argsort(batch.values, kind="stable")[:18]]
        covariance = np.cov(kept.T, bias=True)
        found = batch.state.matrix @ batch.state.matrix.T
        np.testing.assert_allclose(batch.state.core.mean, kept.mean(axis=0), rtol=1e-9, atol=1e-11)
        np.testing.assert_allclose(found, covariance, atol=1e-8 * np.abs(covariance).max())
