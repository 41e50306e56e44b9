"""WU-GO: SciPy's distances between samples, and the least score on a grid."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from parafree.blackbox import WUGO, Region
from parafree.blackbox._threefry import turned
from parafree.blackbox.wu_go import _responses, energy, generate, uncertainty


def test_reference_uncertainty_by_scipy(double: Any) -> None:
    rng = np.random.default_rng(0)
    made, own = np.sort(rng.normal(size=(7, 20)), axis=1), np.sort(rng.normal(size=(5, 20)), axis=1)
    known = np.array([True, False, True, True, False])
    found = uncertainty(*(jnp.asarray(each) for each in (made, own, known)))
    expected = [min(scipy.stats.wasserstein_distance(a, b) for b in own[known]) for a in made]
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_reference_repeating_a_small_sample_leaves_its_distance(double: Any) -> None:
    rng = np.random.default_rng(1)
    few, many = np.sort(rng.normal(size=4)), np.sort(rng.normal(size=20))
    found = uncertainty(jnp.asarray(many)[None], jnp.repeat(jnp.asarray(few), 5)[None],
                        jnp.array([True]))  # fmt: skip
    assert float(found[0]) == pytest.approx(scipy.stats.wasserstein_distance(few, many))


def test_reference_energy_distance_by_scipy(double: Any) -> None:
    """SciPy's is the root of 2 E|A - B| - E|A - A'| - E|B - B'|, with pairs of equals counted."""
    rng = np.random.default_rng(2)
    made, seen = rng.normal(size=9), rng.normal(size=6)
    inner = np.mean(np.abs(seen[:, None] - seen))
    extra = np.mean(np.abs(made[:, None] - made)) / 8  # ours leaves equals out: 9/8 as much
    expected = scipy.stats.energy_distance(made, seen) ** 2 + inner - extra
    assert float(energy(jnp.asarray(made), jnp.asarray(seen))) == pytest.approx(expected)


def respond(key: Any, x: Any) -> Any:
    """Two bumps, whose distance grows with x; the mean is x^2 - x."""
    side = jnp.where(jax.random.bernoulli(key, 0.5, x.shape[:1]), 1.0, -1.0)
    noise = 0.1 * jax.random.normal(jax.random.fold_in(key, 1), x.shape[:1])
    return x[:, 0] ** 2 - x[:, 0] + (1.5 + 0.5 * x[:, 0]) * side + noise


def after(method: WUGO, turns: int) -> Any:
    @jax.jit
    def turn(key: Any, state: Any) -> Any:
        candidates, state = method.ask(key, state)
        return method.tell(key, state, candidates, respond(key, candidates))[0]

    state = method.init(jax.random.key(0), Region(jnp.zeros(1), low=-2.0, high=2.0))
    for i in range(turns):
        state = turn(jax.random.key(i), state)
    return state


def test_a_response_that_failed_is_as_bad_as_the_worst_one_known() -> None:
    method = WUGO(points=6, first=6, population=2, repeats=2)
    state = method.init(jax.random.key(0), Region(jnp.zeros(1), low=-2.0, high=2.0))
    candidates, state = method.ask(jax.random.key(1), state)
    values = jnp.array([-5.0, jnp.nan, -3.0, -3.0])
    record = method.tell(jax.random.key(2), state, candidates, values)[0].record
    # The means are -5 and -3; rows without a point, four here, are no worse than those.
    np.testing.assert_allclose(_responses(record)[:2], [[-1, 1], [1, 1]], rtol=1e-6)


def test_reference_least_score_on_a_grid(double: Any) -> None:
    method = WUGO(points=12, first=5, repeats=64, steps=30)
    state = after(method, 8)
    key = jax.random.key(99)
    asked = float(method.ask(key, state)[0][0, 0])
    noise = jax.random.normal(turned(key, 1), (64, 10), jnp.float64)
    grid = np.append(np.linspace(-2, 2, 801), asked)[:, None]
    everywhere = jnp.broadcast_to(noise, (802, 64, 10))
    made = np.asarray(generate(state.generator, jnp.asarray(grid), everywhere))
    seen = np.asarray(_responses(state.record))[:8]
    scores = [
        row.mean() - 2 * min(scipy.stats.wasserstein_distance(row, each) for each in seen)
        for row in made
    ]
    assert scores[-1] <= min(scores) + 0.01


@pytest.mark.slow
def test_the_generator_learns_a_response_with_two_bumps() -> None:
    method = WUGO(points=64, first=40, repeats=32, steps=3000)
    state = after(method, 40)
    _, middle, unit = state.record.standard
    noise = jax.random.normal(jax.random.key(5), (1, 2000, 10))
    for at in (-1.0, 0.5, 1.5):
        made = generate(state.generator, jnp.array([[at]]), noise)[0] * unit + middle
        true = respond(jax.random.key(6), jnp.full((2000, 1), at))
        distance = scipy.stats.wasserstein_distance(np.asarray(made), np.asarray(true))
        normal = np.random.default_rng(0).normal(true.mean(), true.std(), 2000)
        assert distance < 0.7 * scipy.stats.wasserstein_distance(normal, np.asarray(true))


@pytest.mark.slow
def test_points_of_one_batch_differ_and_each_is_repeated() -> None:
    method = WUGO(points=20, first=4, repeats=3, steps=5, population=2)
    state = after(method, 3)
    asked = np.asarray(jax.jit(method.ask)(jax.random.key(9), state)[0])[:, 0]
    assert asked.shape == (6,)
    np.testing.assert_array_equal(asked, np.repeat(asked[::3], 3))
    assert abs(asked[0] - asked[3]) > 1e-3
