"""GFM: the algorithm in NumPy, and how its cost depends on accuracy and dimension."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from parafree import Real, Space, run
from parafree.blackbox import GFM, Goldstein, Region
from parafree.blackbox._sphere import on_sphere
from parafree.core.errors import MethodError
from parafree.core.objective import FiniteSum

ROWS = np.random.default_rng(0).normal(size=(20, 3))


def capped(p: Any, rows: Any) -> Any:
    """Hinge loss with a capped penalty: neither smooth nor convex."""
    return jnp.maximum(1 - rows @ p, 0) + 0.1 * jnp.sum(jnp.minimum(jnp.abs(p), 2.0))


def slow_gradient(x: np.ndarray, e: np.ndarray, rows: np.ndarray, radius: float) -> np.ndarray:
    loss = lambda p, row: max(1 - row @ p, 0) + 0.1 * np.minimum(np.abs(p), 2).sum()  # noqa: E731
    g = np.zeros(len(x))
    for direction, i in zip(e, rows, strict=True):
        ahead = loss(x + radius * direction, ROWS[i])
        behind = loss(x - radius * direction, ROWS[i])
        g += len(x) / (2 * radius) * (ahead - behind) * direction / len(e)
    return g


def test_reference_the_algorithm_in_numpy(double: Any) -> None:
    method, radius, rate = GFM(0.05, 0.02, batch_size=3), 0.05, 0.02
    objective = FiniteSum(capped, jnp.asarray(ROWS))
    x = np.array([0.5, -0.3, 1.0])
    state = method.init(jax.random.key(0), jnp.asarray(x), objective)
    step = jax.jit(lambda key, state: method.step(key, state, objective)[0])
    for i in range(40):
        key = jax.random.key(i)
        turn, rows, _ = jax.random.split(key, 3)
        e = np.asarray(on_sphere(turn, (3, 3), jnp.float64))
        rows = np.asarray(jax.random.randint(rows, (3, 1), 0, 20))[:, 0]
        x = x - rate * slow_gradient(x, e, rows, radius)
        state = step(key, state)
        np.testing.assert_allclose(state.frame.point(state.x), x, rtol=1e-10, atol=1e-12)


def test_each_point_so_far_is_as_likely_to_be_drawn() -> None:
    # On a slope the points are 0, -1, -2 ...; in one dimension every direction gives the slope.
    method = GFM(0.5, 1.0)

    def one(key: Any) -> Any:
        return run(method, lambda p: p, jnp.float32(0), key, steps=5).state.drawn[0]

    drawn = np.asarray(jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(0), 2000)))
    counts = [int(np.sum(np.abs(drawn + k) < 0.1)) for k in range(5)]
    assert sum(counts) == 2000 and min(counts) > 300 and max(counts) < 500


@pytest.mark.parametrize("d", [4, 16])
def test_the_variance_of_a_pair_grows_with_the_dimension_and_no_faster(d: int) -> None:
    """A Lipschitz function with noise of length 1: E |g|^2 = d for a slope of length 1."""
    slope = jnp.zeros(d).at[0].set(1.0)
    measure = Goldstein(0.1, 4000)
    norm, info = measure.estimate(jax.random.key(0), lambda p, a: p @ slope, jnp.zeros(d), None)
    assert float(norm) == pytest.approx(1.0, abs=0.1)
    assert float(info.noise**2 * 4000) == pytest.approx(d - 1, rel=0.15)


def test_a_minimum_between_kinks_is_found_within_bounds() -> None:
    region = Region(jnp.array([0.9, 0.9]), low=0.25, high=1.0)
    kink = lambda p: jnp.sum(jnp.abs(p - jnp.array([0.5, -1.0])))  # noqa: E731
    result = run(GFM(0.05, 0.1, batch_size=2), kink, region, jax.random.key(0), steps=800)
    np.testing.assert_allclose(result.p, [0.5, 0.25], atol=0.05)
    space = Space(a=Real(0.0, 1.0))
    found = run(GFM(0.05, 0.05), lambda p: jnp.abs(p["a"] - 0.3), space, jax.random.key(0),
                steps=300)  # fmt: skip
    assert float(found.p["a"]) == pytest.approx(0.3, abs=0.05)


def test_what_is_not_finite_moves_nothing_and_is_told() -> None:
    result = run(GFM(), lambda p: jnp.sum(p) * jnp.nan, jnp.ones(2), jax.random.key(0), steps=3,
                 record=lambda state, info: info.status)  # fmt: skip
    assert (result.history == 1).all() and (result.p == 1).all()
    assert int(result.calls) == 2 * 3 + 1


def test_a_batch_of_nothing_is_refused() -> None:
    with pytest.raises(MethodError, match="batch_size is 0"):
        GFM(batch_size=0)
