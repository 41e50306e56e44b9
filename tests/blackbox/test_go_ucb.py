"""GO-UCB: its ball by matrices in NumPy, and a linear family, where everything is known."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from parafree import run
from parafree.blackbox import GOUCB, Region
from parafree.blackbox.go_ucb import _NETWORK, Family

LINE = Family(lambda key, d: jax.random.normal(key, (d + 1,)), lambda w, x: x @ w[:-1] + w[-1])


def slow(gradients: Any, rest: Any, w: Any, ridge: float) -> Any:
    """Equations (3) and (6), with Sigma_t itself."""
    sigma = ridge * np.eye(w.size)
    for g in gradients:
        sigma += np.outer(g, g)
    pull = sum(
        (g * (g @ w + r) for g, r in zip(gradients, rest, strict=True)), np.zeros(w.size)
    )  # r is y - f(w_0)
    return sigma, np.linalg.solve(sigma, pull + ridge * w)


@pytest.mark.parametrize(("m", "d"), [(3, 8), (12, 5)])
def test_reference_ball_by_matrices(m: int, d: int, double: Any) -> None:
    rng = np.random.default_rng(0)
    gradients, rest, w = rng.normal(size=(m, d)), rng.normal(size=m), rng.normal(size=d)
    sigma, centre = slow(gradients, rest, w, 0.3)
    method = GOUCB(ridge=0.3, confidence=2.0)
    ball = method._ball(*(jnp.asarray(each) for each in (gradients, rest, w)))
    np.testing.assert_allclose(ball.centre, centre, rtol=1e-9)
    new = rng.normal(size=(6, d))
    shrunk = np.linalg.solve(sigma, new.T).T
    np.testing.assert_allclose(ball.shrink(jnp.asarray(new)), shrunk, rtol=1e-8)
    lowest = np.asarray(ball.lowest(jnp.asarray(new)))
    for g, at in zip(new, lowest, strict=True):
        away = at - centre
        assert away @ sigma @ away == pytest.approx(2.0)  # on the edge of the ball
        bound = g @ centre - np.sqrt(2.0 * g @ np.linalg.solve(sigma, g))
        assert g @ at == pytest.approx(bound)  # the least of a linear function on an ellipsoid


def test_reference_points_of_a_linear_family(double: Any) -> None:
    """With a linear family the bound is LinUCB's; its minimum is looked for on a grid."""
    method = GOUCB(family=LINE, points=20, first=4, ridge=0.5, confidence=0.7)
    truth = lambda x: jnp.sin(2 * x[:, 0]) + 0.5 * x[:, 1]  # noqa: E731
    state = method.init(jax.random.key(0), Region(jnp.zeros(2), low=-2.0, high=2.0))

    @jax.jit
    def turn(key: Any, state: Any) -> Any:
        candidates, state = method.ask(key, state)
        return method.tell(key, state, candidates, truth(candidates))[0]

    for i in range(9):
        state = turn(jax.random.key(i), state)
    record, w = state.record, np.asarray(state.w)
    assert bool(state.begun)
    second = np.asarray(record.age) >= 4
    x = np.c_[np.asarray(record.x)[second], np.ones(5)]
    first = np.asarray(record.values)[(record.age >= 0) & (record.age < 4), 0]
    np.testing.assert_allclose([state.middle, state.unit], [first.mean(), first.std()])
    y = (np.asarray(record.values)[second, 0] - first.mean()) / first.std()
    sigma, centre = slow(x, y - x @ w, w, 0.5)
    side = np.linspace(-2, 2, 201)
    grid = np.stack([*np.meshgrid(side, side), np.ones((201, 201))], axis=-1).reshape(-1, 3)
    wide = np.sqrt(0.7 * np.sum(grid * np.linalg.solve(sigma, grid.T).T, axis=1))
    lowest = (grid @ centre - wide).min()
    asked = np.append(np.asarray(method.ask(jax.random.key(99), state)[0])[0], 1.0)
    bound = asked @ centre - np.sqrt(0.7 * asked @ np.linalg.solve(sigma, asked))
    assert bound <= lowest + 1e-3 * abs(lowest)


def test_the_networks_gradient_and_form_are_the_papers(double: Any) -> None:
    w = _NETWORK.draw(jax.random.key(0), 3)
    x = jnp.array([0.3, -1.0, 2.0])
    a, b = (np.asarray(w[name]) for name in ("first", "second"))
    hidden = 1 / (1 + np.exp(-(np.asarray(x) @ a[:-1] + a[-1])))
    assert _NETWORK.value(w, x) == pytest.approx(hidden @ b[:-1] + b[-1])
    assert sum(leaf.size for leaf in jax.tree.leaves(w)) == 3 * 25 + 25 + 25 + 1


@pytest.mark.slow
def test_points_of_one_batch_differ() -> None:
    method = GOUCB(points=20, first=4, population=3)
    bowl = lambda x: jnp.sum((x - 0.5) ** 2)  # noqa: E731
    region = Region(jnp.zeros(2), low=-2.0, high=2.0)
    state = run(method, bowl, region, jax.random.key(0), steps=3).state.inner
    for seed in range(9):  # the scale is a quarter of the width, here 1
        asked = np.asarray(jax.jit(method.ask)(jax.random.key(seed), state)[0])
        apart = np.max(np.abs(asked[:, None] - asked), axis=-1)[np.triu_indices(3, 1)]
        assert (apart >= 0.0999).all()


@pytest.mark.slow
def test_a_family_that_holds_the_objective_finds_its_minimum() -> None:
    """Squares around an unknown centre, ten coordinates; 40 values."""
    family = Family(
        lambda key, d: 0.1 * jax.random.normal(key, (d + 2,)),
        lambda w, x: w[-1] + jnp.exp(w[-2]) * jnp.sum((x - w[:-2]) ** 2),
    )
    centre = jnp.linspace(-1.0, 1.0, 10)
    region = Region(jnp.zeros(10), low=-2.0, high=2.0)
    method = GOUCB(family=family, points=64, first=20, confidence=0.01)
    bowl = lambda x: jnp.sum((x - centre) ** 2)  # noqa: E731
    assert run(method, bowl, region, jax.random.key(0), steps=40).value < 0.05
