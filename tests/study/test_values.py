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


def test_values_stray_where_noise_is_rare_and_hardly_ever_where_it_is_normal():
    draw = random.Random(0)
    rare = [values.strays for values in _after_pairs(_rare(0), 3000)]
    normal = [values.strays for values in _after_pairs(lambda: draw.gauss(0, 3), 3000)]
    # Of six pairs none differs (0.64^6 = 7 %), or so many do that it is no longer rare (7 %).
    assert sum(rare) > 0.8 * len(rare)
    assert sum(normal) < 0.001 * len(normal)
    assert not Values().strays


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
