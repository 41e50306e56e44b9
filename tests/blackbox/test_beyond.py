"""Means beyond bounds: optima on them are met, and coordinates come back when they should."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from hypothesis import given, settings
from hypothesis import strategies as st

from parafree import run
from parafree.blackbox import CMAES, LMCMA, FastCMAES, Region, RmES, SepCMAES
from parafree.blackbox._beyond import Turn, held
from parafree.blackbox._frame import frame

CLIPPING = [CMAES, SepCMAES, FastCMAES, LMCMA, RmES]
D = 10


def _lowest(
    f: Any, low: float, high: float, evaluations: int, method: Any, seed: int = 0, d: int = D
) -> float:
    start = jnp.asarray(np.random.default_rng(seed).uniform(low, high, d))
    steps = evaluations // method.size(d)
    region = Region(start, low=low, high=high)
    return float(run(method, f, region, jax.random.key(seed), steps=steps).value)


@pytest.mark.parametrize("kind", CLIPPING, ids=lambda kind: kind.__name__)
def test_a_corner_is_met_exactly(double: Any, kind: Any) -> None:
    slope = jnp.asarray([(-1.0) ** i * 10 ** (i / (D - 1)) for i in range(D)])
    found = _lowest(lambda p: p @ slope, -1.0, 1.0, 3000, kind())
    assert found == pytest.approx(-float(jnp.sum(jnp.abs(slope))), rel=1e-14)


@pytest.mark.parametrize("kind", [FastCMAES, LMCMA, RmES], ids=lambda kind: kind.__name__)
def test_a_corner_in_many_dimensions_is_met_where_success_sets_the_step(
    double: Any, kind: Any
) -> None:
    """Candidates that share a value on the bounds must not make steps shrink too early."""
    slope = jnp.asarray([(-1.0) ** i * 10 ** (i / 39) for i in range(40)])
    found = [_lowest(lambda p: p @ slope, -1.0, 1.0, 24_000, kind(), s, 40) for s in range(3)]
    assert np.median(found) == pytest.approx(-float(jnp.sum(jnp.abs(slope))), rel=1e-13)


@pytest.mark.parametrize("kind", CLIPPING, ids=lambda kind: kind.__name__)
def test_reference_the_nearest_point_of_a_box(double: Any, kind: Any) -> None:
    """Half of the coordinates end on a bound, the others within."""
    centre = np.linspace(-1.6, 1.6, D)
    found = _lowest(lambda p: jnp.sum((p - centre) ** 2), -1.0, 1.0, 6000, kind())
    assert found == pytest.approx(np.sum((centre - np.clip(centre, -1, 1)) ** 2), abs=1e-9)


@pytest.mark.parametrize("kind", [CMAES, LMCMA], ids=lambda kind: kind.__name__)
def test_reference_a_curved_valley_that_ends_at_a_bound(double: Any, kind: Any) -> None:
    """At first many coordinates are best at a bound that they must leave again."""

    def valley(p: Any) -> Any:
        return (100 * (p[1:] - p[:-1] ** 2) ** 2 + (1 - p[:-1]) ** 2).sum()

    bounds = [(-2.0, 0.5)] * D
    least = scipy.optimize.minimize(
        lambda p: float(valley(p)),
        np.full(D, 0.1),
        jac=lambda p: np.asarray(jax.grad(valley)(p)),
        bounds=bounds,
        method="L-BFGS-B",
        options={"ftol": 1e-15, "gtol": 1e-10},
    ).fun
    gaps = [_lowest(valley, -2.0, 0.5, 6000, kind(), seed) - least for seed in range(3)]
    assert np.median(gaps) < 1e-7


def test_reference_the_lowest_point_of_a_turned_quadratic_in_a_box(double: Any) -> None:
    """Against SciPy's active sets; some 20 of 40 coordinates end on a bound."""
    d, rng = 40, np.random.default_rng(3)
    turn = np.linalg.qr(rng.normal(size=(d, d)))[0]
    root = np.sqrt(10 ** (3 * np.arange(d) / (d - 1)))[:, None] * turn.T
    centre = rng.uniform(-2, 2, d)
    best = scipy.optimize.lsq_linear(root, root @ centre, (-1, 1), method="bvls", tol=1e-14)
    assert 10 < np.sum(np.abs(best.x) == 1) < 30
    found = _lowest(lambda p: jnp.sum((root @ (p - centre)) ** 2), -1.0, 1.0, 600 * d, LMCMA(), d=d)
    assert found == pytest.approx(2 * best.cost, rel=1e-9)


def test_a_corner_of_160_dimensions_is_met(double: Any) -> None:
    """Coordinates that chance has brought to the wrong bound are found among all that are right."""
    d = 160
    slope = jnp.asarray([(-1.0) ** i * 10 ** (i / (d - 1)) for i in range(d)])
    found = [_lowest(lambda p: p @ slope, -1.0, 1.0, 150 * d, LMCMA(), s, d) for s in range(3)]
    assert np.median(found) == pytest.approx(-float(jnp.sum(jnp.abs(slope))), rel=1e-13)


@settings(max_examples=60, deadline=None)
@given(
    place=st.floats(-20, 20),
    deviation=st.floats(1e-6, 3),
    generation=st.integers(1, 40),
    still=st.booleans(),
)
def test_law_a_mean_is_kept_near_and_tried_in_turn(
    place: float, deviation: float, generation: int, still: bool
) -> None:
    d = 50
    with jax.enable_x64(True):
        where = frame(Region(jnp.zeros(d), low=-1.0, high=1.0))  # from -2 to 2 in its own units
        low, high = (float(bound[0]) for bound in where.bounds)
        turn = Turn(jnp.int32(generation), jnp.bool(still))
        spread = jnp.full(d, deviation)
        kept, tried = held(where, jnp.zeros(d, bool), jnp.full(d, place), spread, turn)
        beyond = max(low - place, place - high, 0.0)
        after = np.maximum(np.maximum(low - kept, kept - high), 0)
        far, near = beyond > 2 * deviation, min(beyond, 4 * deviation)
        held_off = 4 * deviation if far else near
        spots = np.stack([np.full(d, 0.7 * deviation), np.full(d, held_off), np.full(d, near)])
        place_of = np.where(tried, 0, np.where(still | (np.abs(after - held_off) < 1e-9), 1, 2))
        np.testing.assert_allclose(after, spots[place_of, np.arange(d)], rtol=1e-6)
        assert np.sum(place_of == 2) <= 44
        assert np.sum(tried) <= (5 if still else 12)
        assert np.any(tried) <= (far and (still or generation % 5 == 0))
        if generation % 5 == 0 and not still:
            assert np.any(tried) == far
        back, again = held(where, tried, kept, spread, turn._replace(generation=jnp.int32(1)))
        gone = np.maximum(np.maximum(low - back, back - high), 0)
        np.testing.assert_allclose(gone[tried & ~again], 4 * deviation, rtol=1e-6)


def test_all_coordinates_are_tried_in_turn() -> None:
    """Every five generations about ten of them, so that each has its turn soon."""
    d = 200
    where = frame(Region(jnp.zeros(d), low=-1.0, high=1.0))
    times = np.zeros(d, int)
    for generation in range(0, 1000, 5):
        turn = Turn(jnp.int32(generation), jnp.bool(False))
        _, tried = held(where, jnp.zeros(d, bool), jnp.full(d, 10.0), jnp.full(d, 0.1), turn)
        assert 8 <= np.sum(tried) <= 12
        times += np.asarray(tried)
    assert times.min() >= 5
