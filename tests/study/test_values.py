"""What values of the same configuration tell of noise."""

import math
import random
from statistics import median

import pytest

from parafree.study._values import Values


def _after_pairs(noise, times):
    """Yield what is known after each of many pairs of values of one configuration."""
    values = Values()
    values.add("a", {}, noise())
    for _ in range(times):
        values.add("a", {}, noise())
        values.add("a", {}, noise())
        yield values


def test_the_gap_is_the_median_difference_where_noise_is_normal():
    draw = random.Random(0)
    gaps = [values.gap for values in _after_pairs(lambda: draw.gauss(0, 3), 3000)]
    assert median(gaps) == pytest.approx(0.6745 * 3 * math.sqrt(2), rel=0.1)


def _rare(seed):
    """Return how to draw values of which a fifth have noise, so that of two 36 in 100 differ."""
    draw = random.Random(seed)
    return lambda: 1000.0 + (draw.random() < 0.2) * draw.gauss(0, 100)


def test_there_is_no_gap_where_most_values_have_no_noise():
    gaps = [values.gap for values in _after_pairs(_rare(0), 3000)]
    assert sum(gap > 0 for gap in gaps) < 0.06 * len(gaps)


def _hiccups(seed):
    """Return how to draw values with a little noise, one in twenty of them three times as large."""
    draw = random.Random(seed)
    return lambda: draw.gauss(1, 0.01) * (3 if draw.random() < 0.05 else 1)


@pytest.mark.parametrize("noise", [_rare(0), _hiccups(0)])
def test_values_stray_where_some_are_far_off(noise):
    strays = [values.strays for values in _after_pairs(noise, 3000)]
    # Thirty pairs without a hiccup: 0.905^30 = 5 %.
    assert sum(strays) > 0.94 * len(strays)
    assert not Values().strays


def test_values_hardly_ever_stray_where_noise_is_normal():
    draw = random.Random(0)
    strays = [values.strays for values in _after_pairs(lambda: draw.gauss(0, 3), 3000)]
    assert all(strays[:7])  # too few pairs to know
    # Two of the three before the latest pair 30 times closer: 3 (0.8 / 30)^2 E[x^2] = 0.2 %.
    assert sum(strays[7:]) < 0.003 * len(strays)


def test_values_do_not_stray_where_noise_falls_with_them_and_rises_once():
    draw, sizes = random.Random(0), [10.0 ** (-pair / 2) for pair in range(40)]
    values, strays = Values(), []
    values.add("a", {}, 0.0)
    for size in [*sizes, *sizes]:
        for sign in (1, -1):
            values.add("a", {}, sign * size * draw.uniform(0.5, 1))
        strays.append(values.strays)
    # Where it rises again the first pairs have none behind them yet.
    assert sum(strays[7:]) <= 2


def test_the_gap_follows_the_noise():
    values = Values()
    for size in (100.0, 1.0):
        for i in range(13):
            values.add("a", {}, size * (i % 2))
    assert values.gap == pytest.approx(2.0)  # twice the second smallest of six differences of 1


def test_there_is_no_gap_before_a_pair_is_known():
    values = Values()
    for value in (1.0, 2.0):
        values.add("a", {}, value)
    assert values.noisy
    assert values.gap == 0
