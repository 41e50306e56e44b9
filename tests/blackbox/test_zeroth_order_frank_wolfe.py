"""Zeroth-order Frank-Wolfe: algorithm 2 in NumPy, the sets, and the rates."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from parafree import Real, Space, run
from parafree.blackbox import (
    IRDSA,
    KWSA,
    RDSA,
    Box,
    L1Ball,
    L2Ball,
    NuclearBall,
    Product,
    Region,
    Simplex,
    ZerothOrderFrankWolfe,
)
from parafree.core.errors import MethodError
from parafree.core.objective import FiniteSum

TARGET = np.array([2.0, -0.5, 0.3, 0.1])


def bowl(p: Any) -> Any:
    return jnp.sum((p - jnp.asarray(TARGET, p.dtype)) ** 2)


# Algorithm 2, written from the paper ---------------------------------------------------------


def slow(f: Any, x: np.ndarray, draws: list[np.ndarray], kind: str, radius: float) -> Any:
    """On the l1 ball, one difference at a time."""
    d, mean = len(x), np.zeros(len(x))
    for t, z in enumerate(draws):
        m = len(z)
        if kind == "KWSA":
            c, rho = 2 / (np.sqrt(d) * np.cbrt(t + 8)), 4 / (t + 8) ** (2 / 3)
        elif kind == "RDSA":
            c, rho = 2 / (d**1.5 * np.cbrt(t + 8)), 4 / (np.cbrt(d) * (t + 8) ** (2 / 3))
        else:
            c = 2 * np.sqrt(m) / (d**1.5 * np.cbrt(t + 8))
            rho = 4 / (np.cbrt(1 + d / m) * (t + 8) ** (2 / 3))
        g = np.zeros(d)
        for direction in z:
            g = g + (f(x + c * direction) - f(x)) / c * direction
        if kind == "IRDSA":
            g = g / m
        mean = (1 - rho) * mean + rho * g
        i = int(np.argmax(np.abs(mean)))
        v = np.zeros(d)
        v[i] = -radius * np.sign(mean[i])
        gamma = 2 / (t + 8)
        x = (1 - gamma) * x + gamma * v
        yield x


@pytest.mark.parametrize("differences", [KWSA(), RDSA(), IRDSA(3)], ids=["KWSA", "RDSA", "IRDSA"])
def test_reference_algorithm_2_in_numpy(differences: Any, double: Any) -> None:
    search = ZerothOrderFrankWolfe(L1Ball(1.5), differences)
    state = search.init(jax.random.key(0), jnp.zeros(4), bowl)
    step = jax.jit(lambda key, state: search.step(key, state, bowl)[0])
    keys = [jax.random.key(i) for i in range(30)]
    turns = [jax.random.split(key)[0] for key in keys]
    draws = [np.asarray(differences.directions(turn, 4, jnp.float64)) for turn in turns]
    f = lambda x: float(np.sum((x - TARGET) ** 2))  # noqa: E731
    kind = type(differences).__name__
    for key, expected in zip(keys, slow(f, np.zeros(4), draws, kind, 1.5), strict=True):
        state = step(key, state)
        np.testing.assert_allclose(state.x, expected, rtol=1e-6, atol=1e-8)


# What it finds -------------------------------------------------------------------------------


def test_the_minimum_on_the_boundary_is_known() -> None:
    # Projection of the target onto the l1 ball of radius 1: soft thresholding at 1.
    result = run(ZerothOrderFrankWolfe(L1Ball(1.0), KWSA()), bowl, jnp.zeros(4), jax.random.key(0),
                 steps=1000)  # fmt: skip
    np.testing.assert_allclose(result.p, [1, 0, 0, 0], atol=0.02)
    assert int(result.calls) == 5 * 1000 + 1


def test_the_gap_falls_at_least_as_the_paper_says_and_grows_with_the_dimension() -> None:
    """Noise in the slopes, one direction a step: at least T^(-1/3), and less than d."""

    def gaps(d: int) -> Any:
        noise = np.random.default_rng(0).normal(size=(1000, d)).astype(np.float32) / d**0.5
        target = jnp.zeros(d).at[:2].set(jnp.array([0.6, -0.3]))
        away = lambda p: jnp.sum((p - target) ** 2) / 2  # noqa: E731
        terms = FiniteSum(lambda p, e: away(p) + e @ p, jnp.asarray(noise - noise.mean(0)))
        search = ZerothOrderFrankWolfe(L1Ball(1.0))

        def one(key: Any) -> Any:
            found = run(search, terms, jnp.zeros(d), key, steps=3200,
                        record=lambda state, info: away(state.x))  # fmt: skip
            return found.history[jnp.array([199, 3199])]

        return np.mean(jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(1), 16)), axis=0)

    few, many = gaps(8), gaps(32)
    assert np.log(few[0] / few[1]) / np.log(16) > 1 / 3
    assert 0 < np.log(many[1] / few[1]) / np.log(4) < 1


def test_rows_of_data_are_looked_at_a_few_at_a_time() -> None:
    x = jnp.asarray(np.random.default_rng(0).normal(size=(50, 3)), jnp.float32)
    fit = FiniteSum(lambda p, rows: (rows @ p - rows @ jnp.array([0.5, 0.0, -0.25])) ** 2, x)
    search = ZerothOrderFrankWolfe(L1Ball(1.0), IRDSA(4), batch_size=5)
    result = run(search, fit, jnp.zeros(3), jax.random.key(0), steps=2000)
    assert float(result.value) < 0.02 * float(fit(jnp.zeros(3)))


def test_matrices_of_low_rank() -> None:
    target = jnp.outer(jnp.array([1.0, -1.0, 0.5]), jnp.array([0.6, 0.2]))
    radius = float(jnp.sum(jnp.linalg.svd(target, compute_uv=False)))
    search = ZerothOrderFrankWolfe(NuclearBall(radius), KWSA())
    result = run(search, lambda p: jnp.sum((p["w"] - target) ** 2), {"w": jnp.zeros((3, 2))},
                 jax.random.key(0), steps=1000)  # fmt: skip
    assert float(result.value) < 2e-2 * float(jnp.sum(target**2))


# The sets ------------------------------------------------------------------------------------

SETS = {
    "l1": (L1Ball(1.5), lambda x: np.abs(x).sum() <= 1.5 + 1e-5),
    "l2": (L2Ball(1.5), lambda x: np.linalg.norm(x) <= 1.5 + 1e-5),
    "simplex": (Simplex(2.0), lambda x: x.min() >= 0 and abs(x.sum() - 2) < 1e-4),
    "box": (Box(-0.5, 2.0), lambda x: x.min() >= -0.5 and x.max() <= 2),
    "nuclear": (
        NuclearBall(1.5),
        lambda x: np.linalg.svd(x, compute_uv=False).sum() <= 1.5 + 1e-5,
    ),
}
matrices = hnp.arrays(np.float32, (3, 2), elements=st.floats(-8, 8, width=16))


@pytest.mark.parametrize("name", SETS)
@settings(max_examples=15, deadline=None)
@given(slope=matrices, p=matrices)
def test_the_least_point_is_in_the_set_and_no_other_is_lower(name: str, slope: Any, p: Any) -> None:
    each, holds = SETS[name]
    least, inside = np.asarray(each.least(slope)), np.asarray(each.into(p))
    assert holds(least) and holds(inside)
    assert np.sum(slope * least) <= np.sum(slope * inside) + 1e-3
    np.testing.assert_allclose(each.into(inside), inside, atol=1e-5)


def test_every_part_has_a_set_of_its_own_and_bounds_may_be_many() -> None:
    both = Product({"w": L1Ball(2.0), "b": Box({"u": -1.0, "v": 0.0}, 3.0)})
    slope = {"w": jnp.array([1.0, -4.0]), "b": {"u": jnp.ones(2), "v": jnp.array(2.0)}}
    least = both.least(slope)
    np.testing.assert_array_equal(least["w"], [0, 2])
    np.testing.assert_array_equal(least["b"]["u"], [-1, -1])
    assert least["b"]["v"] == 0


# Guards --------------------------------------------------------------------------------------


def test_what_is_not_finite_moves_nothing() -> None:
    search = ZerothOrderFrankWolfe(L2Ball(1.0))
    result = run(search, lambda p: jnp.sum(p) * jnp.nan, jnp.full(3, 0.1), jax.random.key(0),
                 steps=3, record=lambda state, info: info.status)  # fmt: skip
    np.testing.assert_allclose(result.p, 0.1)
    assert (result.history == 1).all()


def test_a_start_outside_is_brought_into_the_set_and_half_precision_gets_there() -> None:
    search = ZerothOrderFrankWolfe(L2Ball(1.0), KWSA())
    p = jnp.full(4, 9.0, jnp.bfloat16)
    assert float(jnp.linalg.norm(search.best(search.init(jax.random.key(0), p, bowl)))) < 1.01
    result = run(search, bowl, p, jax.random.key(0), steps=300)
    assert float(result.value) < 1.3 * (np.linalg.norm(TARGET) - 1) ** 2


@pytest.mark.parametrize("p", [Space(a=Real(0.0, 1.0)), Region(jnp.zeros(2))])
def test_bounds_beside_the_set_are_refused(p: Any) -> None:
    with pytest.raises(MethodError, match="bounds of its own"):
        ZerothOrderFrankWolfe(L2Ball(1.0)).init(jax.random.key(0), p, bowl)


def test_settings_that_mean_nothing_are_refused() -> None:
    with pytest.raises(MethodError, match="count is 0"):
        IRDSA(0)
    with pytest.raises(MethodError, match="not one matrix"):
        NuclearBall().least(jnp.zeros(3))
