"""Random numbers: to the bit those of JAX, of any length and shape."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parafree.blackbox._frame import even, normal
from parafree.blackbox._threefry import unit, words


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 7, 300]))
def test_reference_bits_are_those_of_jax(seed: int, count: int) -> None:
    key = jax.random.key(seed)
    high, low = words(key, count)
    np.testing.assert_array_equal(high ^ low, jax.random.bits(key, (count,)))


def test_reference_doubles_are_those_of_jax_to_the_bit(double: Any) -> None:
    key = jax.random.key(11)
    want = jax.random.uniform(key, (257,), jnp.float64)
    np.testing.assert_array_equal(unit(key, 257, jnp.float64), want)


@pytest.mark.parametrize("shape", [(), (5,), (3, 50), (2, 3, 4)])
def test_reference_numbers_are_those_of_jax(shape: Any) -> None:
    key = jax.random.key(3)
    least = jnp.finfo(jnp.float32).eps / 4
    want = jax.random.uniform(key, shape, minval=least)
    np.testing.assert_allclose(even(key, shape, jnp.float32), want, rtol=1e-6)
    want = jax.random.normal(key, shape)
    np.testing.assert_allclose(normal(key, shape, jnp.float32), want, rtol=1e-6)


def test_other_keys_are_jax_itself() -> None:
    key = jax.random.key(3, impl="rbg")
    want = jax.random.normal(key, (256,), jnp.float32)
    np.testing.assert_allclose(normal(key, (256,), jnp.float32), want, rtol=1e-6)
