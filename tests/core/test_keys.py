"""Keys from names: the same in every process, different for different names."""

import hashlib
import subprocess
import sys

import jax
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from parafree.core.keys import integer_from_names, key_from_names

NAMES = st.lists(st.one_of(st.text(max_size=5), st.integers(-5, 5)), max_size=4).map(tuple)


def test_the_derivation_is_sha256_of_the_quoted_path():
    digest = hashlib.sha256(b"(3, 'trial', 17)").digest()
    expected = sum(byte * 256**i for i, byte in enumerate(digest[:4]))
    assert integer_from_names(3, "trial", 17) == expected


def test_another_process_with_another_hash_seed_derives_the_same():
    code = "from parafree.core.keys import *; print(integer_from_names(1, 'é', 'a b', 2))"
    environment = {"PYTHONHASHSEED": "123"}
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment)
    assert int(out.stdout) == integer_from_names(1, "é", "a b", 2)


@given(st.integers(-(2**40), 2**40), NAMES, NAMES)
def test_different_paths_differ(seed, a, b):
    value = integer_from_names(seed, *a)
    assert 0 <= value < 2**32
    assert (value == integer_from_names(seed, *b)) == (a == b)


def test_names_do_not_run_together():
    paths = [("ab", "c"), ("a", "bc"), ("abc",), ("1",), (1,), ("1", ""), ()]
    assert len({integer_from_names(0, *path) for path in paths}) == len(paths)


def test_integers_are_spread_evenly():
    values = np.array([integer_from_names(0, "trial", i) for i in range(4000)])
    counts = np.histogram(values, bins=16, range=(0, 2**32))[0]
    chi2 = ((counts - 250) ** 2 / 250).sum()
    assert chi2 < 37.7  # the 0.999 quantile of chi-squared with 15 degrees of freedom


def test_a_key_is_a_typed_jax_key_of_the_integer():
    key = key_from_names(5, "trial", 2)
    assert jax.numpy.issubdtype(key.dtype, jax.dtypes.prng_key) and key.shape == ()
    same = jax.random.key(integer_from_names(5, "trial", 2))
    assert (jax.random.key_data(key) == jax.random.key_data(same)).all()
