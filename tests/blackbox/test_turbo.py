"""TuRBO: the region's rules in slow NumPy, scikit-learn's posterior for the functions drawn."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern

from parafree import Int, Real, Space, run
from parafree.blackbox import CMAES, Region, TuRBO
from parafree.blackbox._gaussian_process import Hyper, condition
from parafree.blackbox._pathwise import draw_functions
from parafree.blackbox.turbo import Trust, lowest, resized, sides, whole


class Slow:
    """Eriksson et al. 2019, section 2: when a region grows, shrinks, and is given up."""

    def __init__(self, d: int, q: int) -> None:
        self.patience = -(-max(4, d) // q)
        self.begin([])

    def begin(self, values: list[float]) -> None:
        self.values, self.length, self.wins, self.losses = values, 0.8, 0, 0

    def tell(self, batch: list[float]) -> None:
        least = min(self.values)
        if min(batch) < least - 1e-3 * abs(least):
            self.wins, self.losses = self.wins + 1, 0
        else:
            self.wins, self.losses = 0, self.losses + 1
        if self.wins == 3:
            self.length, self.wins = min(2 * self.length, 1.6), 0
        elif self.losses == self.patience:
            self.length, self.losses = self.length / 2, 0
        self.values = self.values + batch
        if self.length < 2**-7:
            self.begin([])


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31 - 1), st.sampled_from([0.0, 0.05, 0.4]))
def test_reference_region_grows_and_shrinks_as_in_numpy(seed: int, falls: float) -> None:
    """Values that do what they like, whatever is asked; first points are those of a batch."""
    slow, q, d = Slow(d=6, q=2), 2, 6
    rng, floor, first = np.random.default_rng(seed), 5.0, []
    state = METHOD.init(jax.random.key(0), Region(jnp.zeros(d), low=-1.0, high=1.0))
    for turn in range(90):
        floor -= 0.3 if rng.uniform() < falls else 0
        batch = (floor + rng.uniform(0, 1e-4, q)).astype(np.float32).astype(float).tolist()
        state = TURN(jax.random.key(turn), state, jnp.asarray(batch))
        if len(first) < 4:
            first = first + batch
            slow.values = first
        else:
            slow.tell(batch)
            first = first if slow.values else []
        region = state.region
        assert region.length == np.float32(slow.length), turn
        assert (int(region.wins), int(region.losses)) == (slow.wins, slow.losses)
        assert int(jnp.sum(state.record.known)) == min(len(slow.values), 40)


METHOD = TuRBO(population=2, points=40, first=4, steps=1)


@jax.jit
def TURN(key: Any, state: Any, values: Any) -> Any:
    candidates, state = METHOD.ask(key, state)
    return METHOD.tell(key, state, candidates, values)[0]


def test_reference_functions_have_the_posterior_of_scikit_learn(double: Any) -> None:
    """Means, deviations and covariances of 40,000 functions."""
    rng = np.random.default_rng(0)
    x, y, new = rng.normal(size=(8, 2)), rng.normal(size=8), rng.normal(size=(6, 2))
    lengths, amplitude, noise = np.array([0.7, 1.5]), 1.7, 0.05
    peer = GaussianProcessRegressor(
        ConstantKernel(amplitude) * Matern(lengths, nu=2.5), alpha=noise, optimizer=None
    ).fit(x, y)
    mean, covariance = peer.predict(new, return_cov=True)
    hyper = Hyper(*(jnp.log(jnp.asarray(number)) for number in (lengths, amplitude, noise)))
    room, known = np.full((11, 2), 3.0), np.arange(11) < 8
    room[:8] = x
    values = jnp.asarray(np.pad(y, (0, 3)))
    posterior = condition(hyper, jnp.asarray(room), values, jnp.asarray(known))
    draw = jax.jit(lambda key: draw_functions(key, posterior, jnp.asarray(new), 2000, 2048))
    drawn = np.concatenate([draw(jax.random.key(seed)) for seed in range(20)])
    np.testing.assert_allclose(drawn.mean(axis=0), mean, atol=0.03)
    np.testing.assert_allclose(np.cov(drawn.T), covariance, atol=0.03)


def test_candidates_stay_in_the_region_and_move_about_twenty_coordinates() -> None:
    d = 60
    method = TuRBO(first=5)
    state = method.init(jax.random.key(0), Region(jnp.zeros(d), low=-1.0, high=1.0))
    values = jnp.arange(1.0, 5.0)
    ask, tell = jax.jit(method.ask), jax.jit(method.tell)
    for turn in range(2):
        candidates, state = ask(jax.random.key(turn), state)
        state, _ = tell(jax.random.key(turn), state, candidates, values + turn)
    lengths = jnp.where(jnp.arange(d) < 20, 0.0, jnp.log(4.0))
    state = state._replace(hyper=state.hyper._replace(lengths=lengths))
    x = np.asarray(method._candidates(jax.random.key(7), state, 4000))
    centre = np.asarray(state.record.x)[0]  # the first point, whose value is the least
    moved = x != centre
    assert 19 < moved.sum(axis=1).mean() < 21
    assert moved.any(axis=1).all()
    side = np.asarray(sides(state.hyper, state.region.length))
    np.testing.assert_allclose(side[30] / side[0], 4, rtol=1e-5)
    np.testing.assert_allclose(np.exp(np.log(side).mean()), 4 * 0.8, rtol=1e-5)
    assert (np.abs(x - centre) <= side / 2 + 1e-5).all()
    assert (np.abs(x) <= 4 / 2 + 1e-5).all()


def test_a_region_is_never_longer_than_its_bound() -> None:
    region = whole(jnp.float32)
    for _ in range(9):
        region = resized(region, jnp.bool(True), 4)
    assert region == Trust(jnp.float32(1.6), jnp.int32(0), jnp.int32(0))


def test_points_of_one_batch_differ() -> None:
    assert lowest(jnp.zeros((3, 5))).tolist() == [0, 1, 2]


def test_whole_numbers_and_constraints_are_kept() -> None:
    space = Space(x=Real(-1.0, 1.0), n=Int(0, 9), constraints=["x * 10 + n < 12"])
    method = TuRBO(points=20, first=4, steps=2)
    ask, tell = jax.jit(method.ask), jax.jit(method.tell)
    state = method.init(jax.random.key(0), space)
    for seed in range(5):
        points, state = ask(jax.random.key(seed), state)
        assert (np.asarray(points["n"]) == np.round(np.asarray(points["n"]))).all()
        good = np.asarray(points["x"]) * 10 + np.asarray(points["n"]) < 12
        assert good.all() or seed < 1  # first points are not chosen
        value = jnp.where(good, -points["x"] - points["n"] / 10, jnp.inf)
        state, _ = tell(jax.random.key(seed), state, points, value)


@pytest.mark.slow
def test_it_needs_fewer_values_than_cma_es(double: Any) -> None:
    """The paper's Ackley function, of 10 numbers, after 300 values: the median of 3 seeds."""

    def ackley(p: Any) -> Any:
        flat = jnp.exp(-0.2 * jnp.sqrt(jnp.mean(p**2)))
        return 20 + jnp.e - 20 * flat - jnp.exp(jnp.mean(jnp.cos(2 * jnp.pi * p)))

    where = Region(jnp.full(10, 2.5), low=-5.0, high=10.0)

    def median(method: Any) -> float:
        steps = 300 // method.population
        keys = [jax.random.key(seed) for seed in range(3)]
        return float(np.median([run(method, ackley, where, k, steps=steps).value for k in keys]))

    assert median(TuRBO(first=20)) < median(CMAES(population=10))
