"""The order that an augmented Lagrangian gives to candidates which may break limits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from parafree.blackbox import _lagrangian

EVERY = jnp.bool_(True)
judge, worth = jax.jit(_lagrangian.judge), jax.jit(_lagrangian.worth)
learn = jax.jit(_lagrangian.learn, static_argnums=2)


def _figures(f, g):
    return jnp.asarray(np.concatenate([np.asarray(f)[:, None], g], axis=1), jnp.float32)


def _batches(seed, generations, n=8):
    """Figures of a distribution that closes in on the edge of two half spaces."""
    rng = np.random.default_rng(seed)
    for i in range(generations):
        x = np.array([1.0, 0.0]) + 0.8**i * (rng.standard_normal((n, 2)) + 0.2)
        yield _figures(np.sum(x**2, axis=1), np.stack([1 - x[:, 0], x[:, 1] - 3], axis=1))


def test_the_worth_is_that_of_the_papers():
    """Equation (4) of Dufossé and Hansen 2021, written out for one candidate."""
    state = _lagrangian.begin(3, 2, jnp.float32)
    state = state._replace(slope=jnp.array([2.0, 1.0]), curve=jnp.array([4.0, 5.0]))
    active = 2 * 0.5 + 4 * 0.5**2 / 2
    inactive = -(1.0**2) / (2 * 5)
    found = worth(state, jnp.array([[7.0, 0.5, -9.0]]))
    assert np.asarray(found) == pytest.approx(7 + active + inactive)


def test_multipliers_come_to_those_of_the_optimum():
    """At the minimum of x1^2 + x2^2 with 1 - x1 <= 0 the multiplier is 2, and idle ones are 0."""
    state, rng = _lagrangian.begin(2, 2, jnp.float32), np.random.default_rng(1)
    mean, size = np.array([3.0, 2.0]), 1.0
    for _ in range(300):
        x = mean + size * rng.standard_normal((12, 2))
        figures = _figures(np.sum(x**2, axis=1), np.stack([1 - x[:, 0], x[:, 1] - 3], axis=1))
        told, state = judge(state, figures, figures, EVERY)
        state = learn(state, figures, 2)
        best = x[np.argsort(told)[:3]]
        mean, size = best.mean(axis=0), max(1e-4, 0.97 * size)
    assert mean == pytest.approx([1, 0], abs=1e-2)
    assert np.asarray(state.slope) == pytest.approx([2, 0], abs=0.2)


def test_what_is_told_is_in_the_order_of_the_worths():
    state = _lagrangian.begin(2, 2, jnp.float32)
    for figures in _batches(0, 12):
        told, state = judge(state, figures, figures, EVERY)
        assert (np.argsort(told) == np.argsort(worth(state, figures))).all()
        state = learn(state, figures, 2)


def test_what_is_not_known_comes_last_and_limits_order_it():
    state = _lagrangian.begin(2, 1, jnp.float32)
    f = np.array([1.0, np.inf, np.inf, np.inf, 2.0])
    figures = _figures(f, np.array([[-1.0], [2.0], [0.5], [np.inf], [3.0]]))
    told, _ = judge(state, figures, figures, EVERY)
    assert told[3] == np.inf
    assert max(told[0], told[4]) < told[2] < told[1] < told[3]


def test_a_batch_of_which_nothing_is_known_changes_no_coefficient():
    state, figures = _lagrangian.begin(2, 1, jnp.float32), jnp.full((4, 2), jnp.inf)
    told, after = judge(state, figures, figures, EVERY)
    after = learn(after, figures, 2)
    assert np.isinf(told).all()
    assert (after.slope == state.slope).all()
    assert (after.curve == state.curve).all()


def test_batches_of_one_generation_are_comparable():
    """Coefficients and scale change between generations only."""
    first, *_ = _batches(2, 1, n=16)
    state = _lagrangian.begin(2, 2, jnp.float32)
    one, state = judge(state, first, first, EVERY)
    other, _ = judge(state, first, 2 * first, ~EVERY)
    assert np.asarray(other) == pytest.approx(np.asarray(one))
