"""TPE: Parzen's estimator in slow NumPy, and draws against its distribution function."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from parafree import Bool, Choice, Int, Real, Space, run
from parafree.blackbox import TPE, RandomDraws, Region
from parafree.blackbox._frame import frame
from parafree.blackbox._modelled import Record, means, snap
from parafree.blackbox.tpe import Parzen, _even_places, densities, parzen
from parafree.core.errors import MethodError


def slow(points: list[float]) -> tuple[list[float], list[float]]:
    """Bergstra et al. 2011, section 4.2, one coordinate: centres and widths."""
    widths = []
    for i, here in enumerate(points):
        left = max([0.0, *(p for j, p in enumerate(points) if p < here or (p == here and j < i))])
        right = min([1.0, *(p for j, p in enumerate(points) if p > here or (p == here and j > i))])
        wide = max(here - left, right - here)
        widths.append(min(max(wide, 1 / min(100, len(points) + 1)), 1.0))
    return points, widths


def slow_density(points: list[float], at: float) -> float:
    total = 1.0  # the even part
    for centre, width in zip(*slow(points), strict=True):
        bell = scipy.stats.norm(centre, width)
        total += bell.pdf(at) / (bell.cdf(1) - bell.cdf(0))
    return total / (len(points) + 1)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 64), min_size=0, max_size=6), st.permutations(range(8)))
def test_reference_parzen_estimator_in_numpy(points: list[int], order: list[int]) -> None:
    u, kept = np.full((8, 2), 0.37), np.zeros(8, bool)
    rows = sorted(order[: len(points)])
    u[rows, 0], kept[rows] = np.array(points) / 64, True
    u[rows, 1] = 1 - u[rows, 0]
    at = np.linspace(0, 1, 5)
    found = np.exp(DENSITY(jnp.asarray(u), jnp.asarray(kept), jnp.stack([at, 1 - at], axis=1)))
    expected = [slow_density([p / 64 for p in points], x) for x in at]
    np.testing.assert_allclose(found[:, 0], expected, rtol=2e-4)
    if len(set(points)) == len(points):  # equal points share their neighbours by position
        np.testing.assert_allclose(found[:, 1], expected, rtol=2e-4)


DENSITY = jax.jit(lambda u, kept, at: parzen(u, kept).log_density(at))


def test_reference_draws_follow_the_density() -> None:
    centres, kept = jnp.array([[0.1], [0.9], [0.15], [0.5]]), jnp.array([True, False, True, True])
    density = parzen(centres, kept)
    u = jax.random.uniform(jax.random.key(0), (20_000, 1, 2))
    draws = np.asarray(density.draw(u))[:, 0]
    used = np.asarray(kept)
    middles, widths = np.asarray(centres)[used, 0], np.asarray(density.widths)[used, 0]

    def law(x: Any) -> Any:
        total = np.array(x)
        for bell in map(scipy.stats.norm, middles, widths):
            total = total + (bell.cdf(x) - bell.cdf(0)) / (bell.cdf(1) - bell.cdf(0))
        return total / 4

    assert scipy.stats.kstest(draws, law).pvalue > 1e-3


def test_without_points_the_density_is_even() -> None:
    nothing = Parzen(jnp.zeros((3, 1)), jnp.ones((3, 1)), jnp.zeros(3, bool))
    u = jax.random.uniform(jax.random.key(0), (100, 1, 2))
    np.testing.assert_array_equal(nothing.draw(u), u[..., 1])
    np.testing.assert_allclose(nothing.log_density(u[..., 0]), 0, atol=1e-6)


def test_the_best_share_of_points_is_good() -> None:
    method = TPE(points=12, first=11)
    state = method.init(jax.random.key(0), Region(jnp.zeros(2), low=-1.0, high=1.0))
    turn = jax.jit(lambda key, state: _turn(method, key, state))
    for i in range(10):
        state = turn(jax.random.key(i), state)
    better, worse = densities(state.record, 0.15, 1.0)
    values = np.asarray(state.record.values)[:10, 0]
    np.testing.assert_array_equal(np.flatnonzero(better.kept), np.sort(np.argsort(values)[:2]))
    assert worse.kept.sum() == 8 and not (better.kept & worse.kept).any()


def _turn(method: TPE, key: Any, state: Any) -> Any:
    candidates, state = method.ask(key, state)
    return method.tell(key, state, candidates, jnp.sum(candidates**2, axis=1))[0]


def test_places_are_the_inverse_of_scattering() -> None:
    low, high = jnp.array([-1.0, -jnp.inf]), jnp.array([4.0, jnp.inf])
    where = frame(Region(jnp.array([0.5, 2.0]), low=low, high=high, scale=jnp.array([2.0, 3.0])))
    u = jax.random.uniform(jax.random.key(0), (50, 2))
    np.testing.assert_allclose(_even_places(where, where.scatter(u, 1.5), 1.5), u, atol=1e-5)


def full(method: TPE, count: int) -> Record:
    """A record after so many points on a line."""
    state = method.init(jax.random.key(0), Region(jnp.zeros(1), low=-2.0, high=2.0))
    turn = jax.jit(lambda key, state: _turn(method, key, state))
    for i in range(count):
        state = turn(jax.random.key(i), state)
    return state.record


def test_the_oldest_point_makes_room_but_never_the_best() -> None:
    method = TPE(points=6, first=30, population=2)
    record = full(method, 12)
    ages = np.sort(record.age)
    assert record.told == 24
    assert (ages[1:] >= 24 - 6).all()
    row = int(np.argmin(record.values[:, 0]))
    assert record.values[row, 0] == record.best.value
    np.testing.assert_array_equal(record.x[row], record.best.x)


def test_values_are_standardised_and_failures_count_as_the_worst() -> None:
    record = full(TPE(points=8, first=30), 5)
    values = jnp.array([3.0, 1.0, jnp.inf, 5.0, 2.0, jnp.inf, jnp.inf, jnp.inf])[:, None]
    heights, middle, unit = record._replace(mean=means(values)).standardised().standard
    raw = np.array([3.0, 1.0, 5.0, 5.0, 2.0])
    np.testing.assert_allclose(heights[:5], (raw - raw.mean()) / raw.std(), rtol=1e-6)
    np.testing.assert_allclose([middle, unit], [raw.mean(), raw.std()], rtol=1e-6)
    np.testing.assert_array_equal(heights[5:], 0)


def test_points_of_a_space_are_in_the_middle_of_their_cells() -> None:
    space = Space(a=Bool(), b=Choice(["x", "y", "z"]), c=Int(1, 4), d=Real(1.0, 3.0))
    record = TPE().init(jax.random.key(0), space).record
    x = jax.random.uniform(jax.random.key(1), (50, 4), minval=-2.0, maxval=2.0)
    snapped = snap(record.frame, x)
    np.testing.assert_allclose(snapped[:, 3], x[:, 3], atol=1e-5)
    for column, values in ((0, 2), (1, 3), (2, 4)):
        assert len(np.unique(np.round(np.asarray(snapped[:, column]), 4))) == values
    before, after = record.frame.points(x), record.frame.points(snapped)
    for name in "abc":
        np.testing.assert_array_equal(before[name], after[name])


def test_repeats_are_asked_together_and_averaged() -> None:
    method = TPE(repeats=3, first=4, points=10)
    state = method.init(jax.random.key(0), jnp.zeros(2))
    candidates, state = method.ask(jax.random.key(1), state)
    assert candidates.shape == (3, 2)
    np.testing.assert_array_equal(candidates[0], candidates[2])
    state, _ = method.tell(jax.random.key(2), state, candidates, jnp.array([1.0, 4.0, jnp.nan]))
    assert state.record.best.value == 2.5


def test_a_batch_without_room_is_refused() -> None:
    with pytest.raises(MethodError, match="leaves no room"):
        TPE(population=8, points=8)


@pytest.mark.slow
def test_it_beats_random_search_on_a_mixed_space() -> None:
    space = Space(
        {f"x{i}": Real(0.0, 1.0) for i in range(5)} | {"kind": Choice(list("abcd")), "on": Bool()}
    )

    def loss(p: Any) -> Any:
        far = sum((p[f"x{i}"] - 0.2 * i) ** 2 for i in range(5))
        return far + 0.3 * (p["kind"] != 2) + 0.3 * (1.0 - p["on"])

    ours = [run(TPE(), loss, space, jax.random.key(s), steps=100).value for s in range(5)]
    random = [
        run(RandomDraws(population=1), loss, space, jax.random.key(s), steps=100).value
        for s in range(5)
    ]
    assert np.median(ours) < 0.5 * np.median(random)
