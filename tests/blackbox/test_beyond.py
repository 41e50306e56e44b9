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
from parafree.blackbox._beyond import held, tried
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


@settings(max_examples=60, deadline=None)
@given(
    place=st.floats(-20, 20),
    deviation=st.floats(1e-6, 3),
    generation=st.integers(1, 40),
)
def test_law_a_mean_is_kept_near_and_tried_in_turn(
    place: float, deviation: float, generation: int
) -> None:
    with jax.enable_x64(True):
        where = frame(Region(jnp.zeros(2), low=-1.0, high=1.0))  # from -2 to 2 in its own units
        low, high = (float(bound[0]) for bound in where.bounds)
        one = lambda x: jnp.full(2, x)  # noqa: E731
        calm = jnp.zeros(2, bool)
        now = jnp.int32(generation)
        kept = np.asarray(held(where, one(place), one(deviation), calm, now))
        beyond = max(low - place, place - high, 0.0)
        after = np.maximum(np.maximum(low - kept, kept - high), 0)
        assert (after <= 3 * deviation * (1 + 1e-9)).all()
        assert ((kept == place) | (beyond > 0)).all()
        close = np.asarray(tried(where, jnp.asarray(kept), one(deviation), now))
        due = generation % 10 == 0 and beyond > 2.001 * deviation
        assert close.tolist() == [
            due and generation // 10 % 2 == 0,
            due and generation // 10 % 2 == 1,
        ]
        if generation % 10 == 0:  # the generation after it, in which the mean has not moved
            back = held(where, jnp.asarray(kept), one(deviation), jnp.asarray(close), now + 1)
            gone = np.maximum(np.maximum(low - back, back - high), 0)
            far = np.minimum(beyond, 3 * deviation)
            np.testing.assert_allclose(gone, np.where(close, 3 * deviation, far), rtol=1e-6)
