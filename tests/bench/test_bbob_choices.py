"""The functions with options of ``bench/bbob.py``: their least values are what they say."""

import importlib
import itertools

import numpy as np
import pytest


@pytest.fixture
def choices(bench_on_path):
    return importlib.import_module("_bbob_choices")


@pytest.mark.parametrize("function", range(1, 8))
@pytest.mark.parametrize("instance", [1, 2])
def test_reference_no_point_is_lower_than_the_optimum_and_one_is_there(choices, function, instance):
    dimension = 5
    mixed = choices.Mixed(function, instance, dimension)
    reals = dimension - choices.choices_of(function, dimension)
    options = itertools.product(range(choices.OPTIONS), repeat=dimension - reals)
    draws = mixed._draws
    lowest = np.inf
    for chosen in options:
        z = np.array(chosen)
        x = draws.shift
        if function == 3:
            x = x + draws.order[np.arange(len(z)), z][:reals] / choices.OPTIONS
        if function == 5:
            x = x + draws.moved[np.arange(len(z)), z][:reals]
        assert np.all((mixed.low[:reals] <= x) & (x <= mixed.high[:reals]))
        value = mixed([*x, *z])
        lowest = min(lowest, value)
        beside = mixed([*(x + 0.01), *z])
        assert beside > value or not reals
    assert lowest == pytest.approx(mixed.optimum, abs=1e-12)
    assert mixed.best_observed_fvalue1 == lowest


def test_the_shortest_way_around_a_ring_is_that_of_all_ways(choices):
    pairs = np.random.default_rng(0).random((4, 3, 3))
    ways = itertools.product(range(3), repeat=4)
    sums = [sum(pairs[i, z[i], z[(i + 1) % 4]] for i in range(4)) for z in ways]
    assert choices.least_of_ring(pairs) == pytest.approx(min(sums))
