"""The order that an augmented Lagrangian gives to candidates which may break limits."""

import jax.numpy as jnp
import numpy as np
import pytest

from parafree.blackbox import _lagrangian


def _batches(seed, generations, n=8, k=2):
    """Values and constraints of a distribution that closes in on the edge of two half spaces."""
    rng = np.random.default_rng(seed)
    for i in range(generations):
        x = np.array([1.0, 0.0]) + 0.8**i * (rng.standard_normal((n, 2)) + 0.2)
        yield np.sum(x**2, axis=1), np.stack([1 - x[:, 0], x[:, 1] - 3], axis=1)[:, :k]


def test_numpy_and_jax_give_the_same_order():
    host = _lagrangian.begin(2, 2)
    device = _lagrangian.begin(2, 2, jnp.float32, jnp)
    for f, g in _batches(0, 12):
        one, host = _lagrangian.judge(host, f, g, 8, 2)
        other, device = _lagrangian.judge(
            device, jnp.asarray(f, jnp.float32), jnp.asarray(g, jnp.float32), 8, 2, jnp
        )
        assert np.asarray(other) == pytest.approx(one, abs=1e-3)
    assert np.asarray(device.slope) == pytest.approx(host.slope, rel=1e-3)


def test_the_worth_is_that_of_the_papers():
    """Equation (4) of Dufossé and Hansen 2021, written out for one candidate."""
    state = _lagrangian.begin(3, 2)._replace(slope=np.array([2.0, 1.0]), curve=np.array([4.0, 5.0]))
    f, g = np.array([7.0]), np.array([[0.5, -9.0]])
    active = 2 * 0.5 + 4 * 0.5**2 / 2
    inactive = -(1.0**2) / (2 * 5)
    assert _lagrangian._worth(state, f, g, np) == pytest.approx(7 + active + inactive)


def test_multipliers_come_to_those_of_the_optimum():
    """At the minimum of x1^2 + x2^2 with 1 - x1 <= 0 the multiplier is 2, and idle ones are 0."""
    state, rng = _lagrangian.begin(2, 2), np.random.default_rng(1)
    mean, size = np.array([3.0, 2.0]), 1.0
    for _ in range(300):
        x = mean + size * rng.standard_normal((12, 2))
        g = np.stack([1 - x[:, 0], x[:, 1] - 3], axis=1)
        told, state = _lagrangian.judge(state, np.sum(x**2, axis=1), g, 12, 2)
        best = x[np.argsort(told)[:3]]
        mean, size = best.mean(axis=0), max(1e-4, 0.97 * size)
    assert mean == pytest.approx([1, 0], abs=1e-2)
    assert state.slope == pytest.approx([2, 0], abs=0.2)


def test_what_is_not_known_comes_last_and_limits_order_it():
    state = _lagrangian.begin(2, 1)
    f = np.array([1.0, np.inf, np.inf, np.inf, 2.0])
    g = np.array([[-1.0], [2.0], [0.5], [np.inf], [3.0]])
    told, _ = _lagrangian.judge(state, f, g, 5, 2)
    assert told[3] == np.inf
    assert max(told[0], told[4]) < told[2] < told[1] < told[3]


def test_a_batch_of_which_nothing_is_known_changes_no_coefficient():
    state = _lagrangian.begin(2, 1)
    told, after = _lagrangian.judge(state, np.full(4, np.inf), np.full((4, 1), np.inf), 4, 2)
    assert np.isinf(told).all()
    assert (after.slope == state.slope).all()
    assert (after.curve == state.curve).all()


def test_batches_of_one_generation_are_comparable():
    """Coefficients and scale change between generations only."""
    (f, g), *_ = _batches(2, 1, n=16)
    f, g = np.concatenate([f, f]), np.concatenate([g, g])
    state = _lagrangian.begin(2, 2)
    told = []
    for half in (slice(0, 16), slice(16, 32)):
        part, state = _lagrangian.judge(state, f[half], g[half], 32, 2)
        told.append(part)
    assert told[1] == pytest.approx(told[0] - 2 * (told[0][0] - told[1][0]) / 2)
