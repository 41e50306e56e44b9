"""The claim of WU-GO: its simulators, its responses, and what counts as found."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from parafree.claims.wu_go import SHAPES, SIMULATORS, closest, response


@pytest.mark.parametrize("name", list(SIMULATORS))
def test_the_minima_are_the_least_values_in_the_box(name):
    simulator = SIMULATORS[name]
    mean = jax.vmap(simulator.mean)
    side = np.linspace(simulator.low, simulator.high, 201)
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    lowest = mean(jnp.asarray(simulator.minima, jnp.float32))
    values = np.asarray(mean(jnp.asarray(grid, jnp.float32)))
    assert (np.asarray(lowest) < -13).all()
    far = np.linalg.norm(grid[:, None] - simulator.minima, axis=-1).min(axis=1) > 0.3
    assert values[far].min() > -5


@pytest.mark.parametrize("shape", range(len(SHAPES)))
def test_responses_have_mean_0_and_deviation_1(shape):
    draws = np.asarray(response(shape, jax.random.key(0), 100_000))
    assert abs(draws.mean()) < 0.02 and abs(draws.std() - 1) < 0.02


def test_responses_differ_in_shape():
    draws = {
        shape: np.asarray(response(number, jax.random.key(0), 100_000))
        for number, shape in enumerate(SHAPES)
    }
    skew = {shape: np.mean(each**3) for shape, each in draws.items()}
    tail = {shape: np.mean(each**4) for shape, each in draws.items()}
    assert abs(skew["normal"]) < 0.1 and abs(skew["two bumps"]) < 0.1 and skew["skewed"] > 1.5
    assert tail["two bumps"] < 1.5 < 2.8 < tail["normal"] < 3.2


def test_the_closest_point_of_each_run_to_any_minimum_counts():
    minima = SIMULATORS["Himmelblau"].minima
    runs = np.stack([minima[:2] + np.array([0.3, 0.4]), minima[2:] + np.array([0.0, 0.1])])
    np.testing.assert_allclose(closest(runs, SIMULATORS["Himmelblau"]), [0.5, 0.1])
