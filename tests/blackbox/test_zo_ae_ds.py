"""ZO-AE-DS and its estimators, against derivatives that are known."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from parafree import run
from parafree.blackbox import CGE, RGE, ZOAEDS, TrueGradient
from parafree.core.errors import MethodError
from parafree.core.lifts import Status
from parafree.core.objective import Composite, FiniteSum

KEY = jax.random.key(0)


def box(z: Any) -> Any:
    """A function of the last axis with every derivative."""
    weights = jnp.asarray(np.random.default_rng(1).normal(size=(z.shape[-1], 4)), z.dtype)
    return jnp.sum(jnp.tanh(z @ weights) ** 2, axis=-1)


# Estimators -----------------------------------------------------------------------------------


def test_reference_central_differences_of_a_quadratic_are_exact(double: Any) -> None:
    matrix = np.random.default_rng(0).normal(size=(5, 5))
    z = jnp.asarray(np.random.default_rng(2).normal(size=(3, 5)))
    f = lambda z: jnp.sum((z @ matrix) * z, axis=-1)  # noqa: E731
    found = CGE(0.5).at(KEY, f, z)
    np.testing.assert_allclose(found.gradient, z @ (matrix + matrix.T), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(found.value, f(z))


def test_the_error_of_central_differences_falls_with_the_square_of_the_width(double: Any) -> None:
    z = jnp.asarray(np.random.default_rng(3).normal(size=(4, 6)))
    exact = TrueGradient().at(KEY, box, z).gradient
    np.testing.assert_allclose(exact, jax.vmap(jax.grad(box))(z))
    wide, narrow = (jnp.max(jnp.abs(CGE(w).at(KEY, box, z).gradient - exact)) for w in (0.1, 0.01))
    assert 80 < float(wide / narrow) < 120


def test_random_directions_give_the_gradient_of_the_mean_over_a_ball(double: Any) -> None:
    """For a cubic that mean is known: f(z) = sum z^3 has the gradient 3 z^2 + 3 mu^2 / (d + 2)."""
    z, width = jnp.array([[0.5, -1.0, 0.25], [0.0, 2.0, 1.0]]), 0.8
    exact = 3 * z**2 + 3 * width**2 / 5
    each = RGE(2, width)
    at = lambda key: each.at(key, lambda z: jnp.sum(z**3, axis=-1), z).gradient  # noqa: E731
    many = np.asarray(jax.jit(jax.vmap(at))(jax.random.split(KEY, 20_000)))
    error = many.std(axis=0) / np.sqrt(20_000)
    assert (np.abs(many.mean(axis=0) - exact) < 4 * error).all()
    assert error.max() < 0.1


def test_random_estimates_are_as_noisy_as_the_dimension_over_their_number(double: Any) -> None:
    """Of a linear function: E |g|^2 = |slope|^2 (1 + (d - 1) / q) for directions on the sphere."""
    slope = jnp.arange(1.0, 21.0)

    def excess(count: int) -> float:
        each = RGE(count)
        at = lambda key: each.at(key, lambda z: z @ slope, jnp.zeros((1, 20))).gradient  # noqa: E731
        many = np.asarray(jax.jit(jax.vmap(at))(jax.random.split(KEY, 4000)))
        return float(np.mean(np.sum(many**2, axis=(1, 2))) / np.sum(np.square(slope))) - 1

    assert excess(4) == pytest.approx(19 / 4, rel=0.1)
    assert excess(16) == pytest.approx(19 / 16, rel=0.1)


def test_every_row_is_asked_about_as_often_as_is_said_and_by_itself() -> None:
    seen = []

    def f(points: Any) -> Any:
        seen.append(points)
        return box(points)

    z = jnp.ones((2, 3))
    for each in (CGE(), RGE(7), TrueGradient()):
        seen.clear()
        jax.eval_shape(lambda each=each: each.at(KEY, f, z))
        assert sum(len(points) for points in seen) == each.calls(3)
    RGE(7).at(KEY, f, z)
    moved = seen[-1][1:] - z
    np.testing.assert_allclose(jnp.linalg.norm(moved, axis=-1), 0.005, rtol=1e-3)
    assert not np.allclose(moved[:, 0], moved[:, 1])


def test_values_that_are_not_finite_leave_the_others_as_they_are() -> None:
    broken = lambda z: jnp.where(z[..., 0] > 0, jnp.nan, z @ jnp.array([1.0, 2.0]))  # noqa: E731
    at = jax.jit(lambda each, z: each.at(KEY, broken, z))
    found = at(CGE(0.25), jnp.array([[0.0, 0.0], [-1.0, 0.0]]))
    np.testing.assert_allclose(found.gradient, [[0, 2], [1, 2]])
    found = at(RGE(2000), jnp.array([[0.0, 0.0], [5.0, 0.0]]))
    np.testing.assert_array_equal(found.gradient[1], 0)
    np.testing.assert_allclose(found.gradient[0], [1, 2], atol=0.2)  # of half the directions


# Training -------------------------------------------------------------------------------------


def guarded(rows: int = 12) -> tuple[Composite, Any]:
    """A guard of two layers with a code of 3 numbers, before a black box of other layers."""
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(rows, 6)), jnp.float32)
    hidden, out = (jnp.asarray(rng.normal(size=s), jnp.float32) for s in ((3, 8), (8, 4)))
    y = jnp.asarray(rng.integers(0, 4, rows))

    def loss(z: Any, y: Any) -> Any:
        scores = jnp.tanh(z["code"] @ hidden) @ out
        return optax.softmax_cross_entropy_with_integer_labels(scores, y)

    def model(p: Any, x: Any) -> Any:
        return {"code": jnp.tanh(x @ p["first"]) @ p["second"]}

    p = {"first": rng.normal(size=(6, 5)), "second": rng.normal(size=(5, 3))}
    return Composite(model, loss, (x, y)), jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), p)


def adam_by_hand(objective: Any, p: Any, steps: int, rate: float) -> Any:
    """Adam as the paper on it writes it, in NumPy, on the derivative of everything at once."""
    mean = square = jax.tree.map(lambda a: np.zeros(a.shape), p)
    gradient = jax.jit(jax.grad(objective))
    for t in range(1, steps + 1):
        g = jax.tree.map(np.asarray, gradient(p))
        mean = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, mean, g)
        square = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g**2, square, g)
        p = jax.tree.map(
            lambda p, m, v, t=t: p - rate * m / (1 - 0.9**t) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8),
            p, mean, square,
        )  # fmt: skip
    return p


@pytest.mark.parametrize("estimate", [CGE(), TrueGradient()])
def test_reference_all_coordinates_follow_adam_on_the_true_gradient(estimate: Any) -> None:
    """Without noise and on all rows nothing is random, so both paths are the same."""
    objective, p = guarded()
    search = ZOAEDS(estimate, noise=0.0, rate=0.02, batch_size=12)
    found = run(search, objective, p, KEY, steps=15)
    expected = adam_by_hand(objective, p, 15, 0.02)
    for a, b in zip(jax.tree.leaves(found.p), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(a, b, atol=5e-3)
    moved = [
        np.max(np.abs(a - b)) for a, b in zip(*map(jax.tree.leaves, (p, expected)), strict=True)
    ]
    assert min(moved) > 0.1  # far more than the paths are apart


def test_a_loss_that_is_a_mean_gives_the_same_with_more_calls() -> None:
    objective, p = guarded()
    mean = Composite(objective.model, lambda z, y: jnp.mean(objective.loss(z, y)), objective.data)
    search = ZOAEDS(CGE(0.02), noise=0.0, rate=0.02, batch_size=12)
    state = search.init(KEY, p, objective)
    by_row, info = jax.jit(lambda: search.step(KEY, state, objective))()
    whole, more = jax.jit(lambda: search.step(KEY, state, mean))()
    assert int(info.calls) == 1 + 2 * 3 and int(info.queries) == 7 * 12
    assert int(more.calls) == 1 + 2 * 36 and int(more.queries) == 73 * 12
    assert float(info.value) == pytest.approx(float(more.value), rel=1e-5)
    for a, b in zip(*(jax.tree.leaves(s.moments.mean) for s in (by_row, whole)), strict=True):
        np.testing.assert_allclose(a, b, rtol=0.05, atol=2e-4)


def test_the_black_box_may_be_something_that_jax_cannot_look_into() -> None:
    """NumPy behind a callback has no derivative, and none is asked for."""
    target = np.array([0.5, -1.0, 2.0], np.float32)
    rows_seen = []

    def outside(z: Any) -> Any:
        rows_seen.append(z.shape[:-1])
        return np.sum((z - target) ** 2, axis=-1).astype(np.float32)

    def loss(z: Any, y: Any) -> Any:
        shape = jax.ShapeDtypeStruct(z.shape[:-1], jnp.float32)
        return jax.pure_callback(outside, shape, z, vmap_method="expand_dims")

    objective = Composite(lambda p, x: x + p, loss, (jnp.zeros((8, 3)), jnp.zeros(8)))
    search = ZOAEDS(CGE(0.1), noise=0.1, rate=0.1, batch_size=8)
    state = search.init(KEY, jnp.zeros(3), objective)
    step = jax.jit(lambda key, state: search.step(key, state, objective))
    for key in jax.random.split(KEY, 150):
        state, info = step(key, state)
    np.testing.assert_allclose(search.best(state), target, atol=0.1)
    assert set(rows_seen) == {(7, 8)}  # one call a step, for all points of all rows
    assert int(info.status) == Status.OK


def test_noise_is_added_to_numbers_and_to_nothing_else() -> None:
    """The loss is the square of an entry times its row's number: its mean is known."""

    def model(p: Any, x: Any) -> Any:
        return x["image"] * x["number"][:, None] + p

    x = {"image": jnp.zeros((500, 8)), "number": jnp.repeat(jnp.arange(1, 6), 100)}
    objective = Composite(model, lambda z, y: jnp.mean(z**2, axis=-1), (x, jnp.zeros(500)))
    search = ZOAEDS(TrueGradient(), noise=0.5, batch_size=500)
    state = search.init(KEY, jnp.zeros(8), objective)
    _, info = jax.jit(lambda: search.step(KEY, state, objective))()
    assert float(info.value) == pytest.approx(0.25 * (1 + 4 + 9 + 16 + 25) / 5, rel=0.1)


def test_a_step_without_a_finite_loss_moves_nothing_and_says_so() -> None:
    rows = jnp.zeros((4, 2)), jnp.zeros(4)
    objective = Composite(lambda p, x: x + p, lambda z, y: z[:, 0] * jnp.nan, rows)
    search = ZOAEDS(RGE(3))
    state = search.init(KEY, jnp.ones(2), objective)
    after, info = jax.jit(lambda: search.step(KEY, state, objective))()
    assert int(info.status) == Status.NOT_FINITE
    np.testing.assert_array_equal(search.best(after), 1)


def test_bad_settings_and_objectives_are_refused() -> None:
    with pytest.raises(MethodError, match="batch_size"):
        ZOAEDS(batch_size=0)
    with pytest.raises(MethodError, match="estimate"):
        ZOAEDS(estimate="CGE")  # type: ignore[arg-type]
    with pytest.raises(MethodError, match="count"):
        RGE(0)
    with pytest.raises(MethodError, match="which part"):
        ZOAEDS().init(KEY, jnp.ones(2), FiniteSum(lambda p, x: x * p[0], jnp.ones(3)))
    with pytest.raises(MethodError):
        ZOAEDS().init(KEY, jnp.arange(3), lambda p: p[0])
