"""The claim of hardest monotone functions: its exact times, and its fit."""

import numpy as np
import pytest

from parafree.claims._power_law import exponent
from parafree.claims.hardest_monotone import exact_time


def test_the_exact_time_of_two_bits_by_hand():
    # Rate 1/2, each of the four strings is as likely as any. One zero (below n/2: no, 2 z = n, so
    # the ones are in front): accepted where the one stays and the zero goes, chance 1/4, so 4
    # generations. Two zeros: both go with 1/4, one with 1/2: t = 1 + t / 4 + 4 / 2, so t = 4.
    assert exact_time(2) == pytest.approx((2 * 4 + 4) / 4)


def test_the_exact_chain_approaches_an_exponent_of_three_halves_on_sdbv_alone():
    sizes = (50, 100, 200)
    hard = exponent(sizes, [exact_time(n) for n in sizes])
    easy = exponent(sizes, [exact_time(n, onemax=True) for n in sizes])
    assert abs(hard - 1.5) < 0.1 and easy < 1.3


def test_the_exponent_does_not_depend_on_the_unit():
    sizes, times = (10, 30, 90), np.array([3.0, 7.0, 40.0])
    assert exponent(sizes, times) == pytest.approx(exponent(sizes, 1000 * times))
