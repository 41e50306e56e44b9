"""Domination, fronts and hypervolume, against slow versions and closed forms."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parafree.blackbox._pareto import contributions, crowding, dominated, hypervolume, ranks

POINTS = st.integers(1, 4).flatmap(
    lambda m: st.lists(st.lists(st.integers(0, 5), min_size=m, max_size=m), min_size=1, max_size=12)
)


def _beats(a, b):
    return all(x <= y for x, y in zip(a, b, strict=True)) and a != b


@settings(deadline=None, max_examples=150)
@given(POINTS)
def test_a_point_is_dominated_where_a_slow_search_says_so(rows):
    slow = [any(_beats(other, row) for other in rows) for row in rows]
    assert dominated(np.array(rows, float)).tolist() == slow


@settings(deadline=None, max_examples=80)
@given(POINTS)
def test_ranks_are_those_of_fronts_taken_away_one_by_one(rows):
    left, wanted, rank = set(range(len(rows))), {}, 0
    while left:
        front = {i for i in left if not any(_beats(rows[j], rows[i]) for j in left)}
        wanted |= dict.fromkeys(front, rank)
        left, rank = left - front, rank + 1
    assert ranks(np.array(rows, float)).tolist() == [wanted[i] for i in range(len(rows))]


@settings(deadline=None, max_examples=80)
@given(POINTS)
def test_hypervolume_counts_the_cells_that_are_dominated(rows):
    """Points on a grid: the volume is the number of unit cells that some point dominates."""
    m = len(rows[0])
    cells = itertools.product(range(6), repeat=m)
    slow = sum(any(all(p <= c for p, c in zip(row, cell, strict=True)) for row in rows)
               for cell in cells)  # fmt: skip
    assert hypervolume(np.array(rows, float), np.full(m, 6.0)) == pytest.approx(slow)


@pytest.mark.parametrize(("n", "m"), [(2000, 2), (60, 3)])
def test_hypervolume_of_a_plane_comes_to_its_closed_form(n, m):
    """Below sum(x) = 1 in the unit cube lies 1 / m!; points on the plane dominate the rest."""
    grid = np.linspace(0, 1, n)
    if m == 2:
        points = np.stack([grid, 1 - grid], axis=1)
    else:
        a, b = np.meshgrid(grid, grid, indexing="ij")
        points = np.stack([a, b, 1 - a - b], axis=2).reshape(-1, 3)
        points = points[points[:, 2] >= -1e-12]
    assert hypervolume(points, np.ones(m)) == pytest.approx(1 - 1 / math.factorial(m), abs=2 / n)


def test_the_front_of_zdt1_has_its_closed_form():
    x = np.linspace(0, 1, 20_000) ** 2
    front = np.stack([x, 1 - np.sqrt(x)], axis=1)
    assert hypervolume(front, np.array([1.1, 1.1])) == pytest.approx(1.21 - 1 / 3, abs=1e-4)


def test_a_contribution_is_what_is_lost_without_a_point():
    rng = np.random.default_rng(0)
    points = rng.random((40, 2))
    front, corner = points[~dominated(points)], np.array([1.2, 1.2])
    whole = hypervolume(front, corner)
    lost = [whole - hypervolume(np.delete(front, i, 0), corner) for i in range(len(front))]
    assert contributions(front, corner) == pytest.approx(lost)


def test_what_is_not_finite_is_dominated_and_ends_are_never_crowded():
    points = np.array([[0.0, np.nan], [np.inf, 0.0], [1.0, 1.0]])
    assert dominated(points).tolist() == [True, True, False]
    assert dominated(np.zeros((0, 2))).tolist() == []
    assert hypervolume(np.zeros((0, 2)), np.ones(2)) == 0
    assert np.isinf(crowding(np.array([[0.0, 1.0]]))).all()
