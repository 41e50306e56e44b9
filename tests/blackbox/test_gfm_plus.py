"""GFM+: algorithm 2 in NumPy, and that its corrections reduce the variance."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from parafree import run
from parafree.blackbox import GFMPlus
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


def test_reference_algorithm_2_in_numpy(double: Any) -> None:
    radius, rate, period = 0.3, 0.02, 4
    method = GFMPlus(radius, rate, period, large_batch=5, batch_size=2)
    objective = FiniteSum(capped, jnp.asarray(ROWS))
    x = before = np.array([0.5, -0.3, 1.0])
    g = np.zeros(3)
    state = method.init(jax.random.key(0), jnp.asarray(x), objective)
    step = jax.jit(lambda key, state: method.step(key, state, objective))
    for t in range(20):
        key = jax.random.key(t)
        n = 5 if t % period == 0 else 2
        turn, rows = jax.random.split(jax.random.split(key)[0])
        e = np.asarray(on_sphere(turn, (n, 3), jnp.float64))
        rows = np.asarray(jax.random.randint(rows, (n, 1), 0, 20))[:, 0]
        now = slow_gradient(x, e, rows, radius)
        g = now if t % period == 0 else g + now - slow_gradient(before, e, rows, radius)
        before, x = x, x - rate * g
        state, info = step(key, state)
        assert int(info.calls) == (2 * 5 if t % period == 0 else 4 * 2)
        np.testing.assert_allclose(state.frame.point(state.x), x, rtol=1e-9, atol=1e-12)


def test_short_steps_keep_the_estimate_precise() -> None:
    """Steps shorter than the radius: after a period the error is still that of the large batch."""
    d, rows = 8, jnp.asarray(np.random.default_rng(1).normal(size=(500, 8)), jnp.float32)
    fit = FiniteSum(lambda p, x: jnp.abs(x @ p - 1), rows)

    def error(rate: Any, key: Any) -> Any:
        method = GFMPlus(1.0, rate, 8, large_batch=200, batch_size=4)
        state = run(method, fit, jnp.zeros(d), key, steps=8).state
        return jnp.sum((state.gradient - jax.grad(fit)(state.before)) ** 2)

    def mean(rate: Any) -> Any:
        keys = jax.random.split(jax.random.key(0), 40)
        return jnp.mean(jax.vmap(lambda key: error(rate, key))(keys))

    still, short, long = jax.jit(lambda rates: jax.lax.map(mean, rates))(
        jnp.array([0.0, 0.003, 1.0])
    )
    assert short < 2 * still  # the small batch alone would be 50 times as noisy
    assert long > 2 * still


def test_what_is_not_finite_moves_nothing_and_the_large_batch_is_asked_for_again() -> None:
    result = run(GFMPlus(), lambda p: jnp.sum(p) * jnp.nan, jnp.ones(2), jax.random.key(0), steps=3,
                 record=lambda state, info: (info.status, info.calls))  # fmt: skip
    assert (result.history[0] == 1).all() and (result.p == 1).all()
    assert (result.history[1] == 20).all()


def test_batches_of_nothing_are_refused() -> None:
    with pytest.raises(MethodError, match="large_batch is 0"):
        GFMPlus(large_batch=0)
