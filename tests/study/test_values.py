"""What values of the same configuration tell of noise."""

import math
import random
from statistics import median

import pytest

from parafree.study._values import Values


def _gaps(noise, times):
    """Return what the gap is after each of many pairs of values of one configuration."""
    values, gaps = Values(), []
    values.add("a", {}, noise())
    for _ in range(times):
        values.add("a", {}, noise())
        values.add("a", {}, noise())
        gaps.append(values.gap)
    return gaps


def test_the_gap_is_the_median_difference_where_noise_is_normal():
    draw = random.Random(0)
    gaps = _gaps(lambda: draw.gauss(0, 3), 3000)
    assert median(gaps) == pytest.approx(0.6745 * 3 * math.sqrt(2), rel=0.1)


def test_there_is_no_gap_where_most_values_have_no_noise():
    """A fifth have very much, so that of two values 36 in 100 differ."""
    draw = random.Random(0)
    gaps = _gaps(lambda: 1000.0 + (draw.random() < 0.2) * draw.gauss(0, 100), 3000)
    assert sum(gap > 0 for gap in gaps) < 0.06 * len(gaps)


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
