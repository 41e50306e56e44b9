"""Ranks, and the smallest values, against NumPy's stable sort."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from parafree.blackbox._ranking import _FEW, ranks
from parafree.blackbox._remembered import lowest


@pytest.mark.parametrize("n", [1, 2, 17, 256, _FEW, _FEW + 1])
@pytest.mark.parametrize("different", [1, 5, 1000])
def test_reference_ranks_and_lowest_are_those_of_a_stable_sort(n: int, different: int) -> None:
    rng = np.random.default_rng(n)
    values = rng.integers(-different, different, n).astype(np.float32)
    values[rng.random(n) < 0.1] = np.inf
    order = np.argsort(values, kind="stable")
    assert np.asarray(ranks(jnp.asarray(values)))[order].tolist() == list(range(n))
    half = (n + 1) // 2
    np.testing.assert_array_equal(lowest(jnp.asarray(values), half), np.sort(values)[:half])
