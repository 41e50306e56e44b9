from __future__ import annotations

import math
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from parafree.tune._settings import bracket_size, count_powers


@given(st.integers(1, 10**12), st.integers(2, 10))
def test_the_largest_power_is_exact(ratio: int, eta: int) -> None:
    k = count_powers(ratio, eta)
    assert eta**k <= ratio < eta ** (k + 1)


@given(st.integers(0, 20), st.integers(0, 20), st.integers(2, 6))
def test_bracket_sizes_are_those_of_algorithm_1(s: int, more: int, eta: int) -> None:
    s_max = s + more
    assert bracket_size(s, s_max, eta) == math.ceil(Fraction((s_max + 1) * eta**s, s + 1))
