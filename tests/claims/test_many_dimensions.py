"""The claim of many dimensions: its functions, and that each run gets the right one."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from parafree.claims.many_dimensions import Compared, functions, rotation, solve

D = 5


class Fixed(NamedTuple):
    """Asks for the same points every time."""

    points: Any

    def init(self, key, p):
        return jnp.int32(0)

    def ask(self, key, state):
        return self.points, state

    def tell(self, key, state, candidates, values):
        return state + 1, None


def by_hand(name, z):
    """The functions as the literature writes them, in loops."""
    d, total = len(z), 0.0
    for i, x in enumerate(z):
        share = i / (d - 1)
        total += {
            "cigar": x**2 * (1 if i == 0 else 1e6),
            "discus": x**2 * (1e6 if i == 0 else 1),
            "ellipsoid": 1e6**share * x**2,
            "different powers": abs(x) ** (2 + 4 * share),
            "Schwefel 1.2": sum(z[: i + 1]) ** 2,
            "Rastrigin": x**2 - 10 * np.cos(2 * np.pi * x) + 10,
        }.get(name, 0.0)
    if name == "Rosenbrock":
        total = sum(100 * ((z[i] + 1) ** 2 - (z[i + 1] + 1)) ** 2 + z[i] ** 2 for i in range(d - 1))
    if name == "Ackley":
        total = (
            -20 * np.exp(-0.2 * np.sqrt(np.mean(np.square(z))))
            - np.exp(np.mean(np.cos(2 * np.pi * np.array(z))))
            + 20 + np.e
        )  # fmt: skip
    return total


@pytest.mark.parametrize("name", functions(D))
def test_functions_are_those_of_the_literature(name):
    z = np.random.default_rng(3).uniform(-2, 2, D)
    assert float(functions(D)[name](jnp.asarray(z, jnp.float32))) == pytest.approx(
        by_hand(name, list(z)), rel=1e-4
    )


def test_rotations_are_orthogonal_and_differ():
    first, second = rotation(D, 0), rotation(D, 1)
    np.testing.assert_allclose(first @ first.T, np.eye(D), atol=1e-6)
    assert np.abs(first - second).max() > 0.1


def test_every_run_has_its_own_function_rotation_and_shift():
    points = np.random.default_rng(1).uniform(-5, 5, (4, D)).astype(np.float32)
    found, seconds = solve(Fixed(jnp.asarray(points)), D, evaluations=9, seeds=2)
    optima = np.random.default_rng(0).uniform(-4, 4, (2, D))
    for row, name in zip(found, functions(D), strict=True):
        for seed, value in enumerate(row):
            z = (points - optima[seed]) @ rotation(D, seed).T
            least = min(by_hand(name, list(each)) for each in z.astype(float))
            assert value == pytest.approx(least, rel=1e-3), (name, seed)
    assert seconds > 0


def test_a_comparison_is_won_by_the_median():
    digits = np.array([[1.0, -1.0, 2.0], [-1.0, -1.0, 5.0]])
    assert Compared("a", "b", digits, 2.0).won.tolist() == [True, False]


def test_the_least_value_of_all_batches_counts():
    class Falling(Fixed):
        def ask(self, key, state):
            return self.points / (1 + state), state

    points = jnp.asarray(jax.random.uniform(jax.random.key(0), (2, D)))
    once = solve(Falling(points), D, evaluations=2, seeds=1)[0]
    twice = solve(Falling(points), D, evaluations=3, seeds=1)[0]
    assert (twice <= once).all() and (twice < once).any()
