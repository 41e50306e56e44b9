"""The claim of GO-UCB: its tasks, and its regrets where they are known."""

import jax.numpy as jnp
import numpy as np
import pytest

from parafree.blackbox import RandomDraws
from parafree.claims.go_ucb import breast_cancer, path, regrets, synthetic


@pytest.mark.parametrize("name", ["network", "sphere", "Styblinski-Tang"])
def test_no_point_is_below_the_least_value(name):
    task = synthetic(6)[name]
    values = path(RandomDraws(population=1), task, 3, 300)
    assert values.min() >= task.least(3) - 1e-3
    assert values.std() > 0


def test_the_least_value_of_styblinski_and_tang_is_where_it_is_known_to_be():
    task = synthetic(4)["Styblinski-Tang"]
    value = float(task.value(jnp.full(4, -2.903534), 0))
    assert value == pytest.approx(task.least(0), abs=1e-3)


def test_random_search_has_the_regret_of_random_search():
    methods = {"random": RandomDraws(population=1), "same": RandomDraws(population=1)}
    found = regrets(methods, synthetic(3)["sphere"], range(3), 10)
    np.testing.assert_allclose(found["same"], 1.0)


@pytest.mark.slow
def test_good_training_errs_less_than_bad_training_on_breast_cancer():
    task = breast_cancer()
    good = jnp.array([0.4, 0.9, 0.1, 0.5, 0.0, 0.0, 0.5, 0.5]) - 0.5
    idle = jnp.array([0.0, 0.0, 0.1, 0.0, 1.0, 1.0, 0.0, 0.0]) - 0.5
    assert float(task.value(good, 0)) < 0.06
    assert float(task.value(idle, 0)) > float(task.value(good, 0)) + 0.02
