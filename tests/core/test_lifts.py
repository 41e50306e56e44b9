"""Transforms and ask-and-tell methods, lifted to searches."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import parafree
from parafree.core.contracts import AskTell, Search
from parafree.core.errors import MethodError
from parafree.core.lifts import AskTellSearch, Status, TransformSearch, lift

KEY = jax.random.key(7)


class Cloud(eqx.Module):
    """Draws a batch around the mean; the mean moves to the best of the batch."""

    size: int = eqx.field(static=True)
    spread: jax.Array

    def init(self, key, p):
        return p

    def ask(self, key, state):
        noise = jax.random.normal(key, (self.size, *state.shape), state.dtype)
        return state + self.spread.astype(state.dtype) * noise, state

    def tell(self, key, state, candidates, values):
        return candidates[jnp.nanargmin(values)], values

    def best(self, state):
        return state


def sphere(p):
    return jnp.sum(p**2)


def test_ask_and_tell_follows_a_loop_in_numpy_and_keeps_the_best_seen():
    cloud, start = Cloud(6, jnp.float32(0.5)), np.ones(3, np.float32)
    result = parafree.run(
        cloud, sphere, start, KEY, steps=10, record=lambda state, info: info.inner
    )
    key, mean, best, seen = jax.random.split(KEY)[1], start, np.inf, []
    for i in range(10):
        ask_key, _ = jax.random.split(jax.random.fold_in(key, i))
        batch = mean + 0.5 * np.asarray(jax.random.normal(ask_key, (6, 3)))
        values = (batch**2).sum(axis=1)
        seen.append(values)
        mean = batch[values.argmin()]
        if values.min() < best:
            best, best_p = values.min(), mean
    np.testing.assert_allclose(result.history, seen, rtol=1e-5)
    np.testing.assert_allclose(result.p, best_p, rtol=1e-5)
    np.testing.assert_allclose(result.value, best, rtol=1e-5)
    assert int(result.calls) == 60


def test_nan_in_a_batch_is_marked_and_the_others_count():
    def objective(p):
        return jnp.where(p[0] > 0, jnp.nan, sphere(p))

    result = parafree.run(
        Cloud(8, jnp.float32(1)), objective, jnp.zeros(2), KEY, steps=5,
        record=lambda state, info: (info.status, info.value, info.inner),
    )  # fmt: skip
    status, value, values = result.history
    assert np.isnan(values).any()
    np.testing.assert_array_equal(status == Status.NOT_FINITE, np.isnan(values).any(axis=1))
    assert not np.isnan(value).any() and float(result.p[0]) <= 0
    assert float(result.value) == value.min()


def test_a_batch_without_any_finite_value_leaves_the_start():
    result = parafree.run(AskTellSearch(_Still()), lambda p: p * jnp.nan, 3.0, KEY, steps=2)
    assert float(result.p) == 3.0 and np.isinf(result.value)


class _Still(Cloud):
    def __init__(self):
        super().__init__(2, jnp.float32(1))

    def tell(self, key, state, candidates, values):
        return state, ()


def test_candidates_of_another_shape_are_refused():
    class Wrong(_Still):
        def ask(self, key, state):
            return jnp.zeros((2, 5)), state

    with pytest.raises(MethodError, match="ask returns candidates"):
        parafree.run(Wrong(), jnp.sum, jnp.zeros(3), KEY, steps=1)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize("method", [optax.sgd(0.1), Cloud(4, jnp.float32(0.1))])
def test_parameters_keep_their_dtype_under_strict_promotion(method, dtype):
    with jax.numpy_dtype_promotion("strict"):
        result = parafree.run(method, sphere, jnp.ones(3, dtype), KEY, steps=4)
    assert result.p.dtype == jnp.dtype(dtype)
    assert jnp.issubdtype(result.value.dtype, jnp.floating)
    assert float(result.value) < 3


def test_an_integer_objective_is_a_number_too():
    result = parafree.run(
        Cloud(8, jnp.float32(1)), lambda p: jnp.sum(p > 0), jnp.ones(3), KEY, steps=8
    )
    assert float(result.value) == 0.0


def test_a_transform_is_given_value_gradient_and_function():
    def update(updates, state, params, *, value, grad, value_fn):
        # On 0.5 * p**2 the value is half the square of the gradient: an exact Newton step.
        scale = (grad**2 / (2 * value)) * (value_fn(params) / value)
        return -scale * updates, state

    transform = optax.GradientTransformationExtraArgs(lambda p: (), update)
    result = parafree.run(transform, lambda p: 0.5 * p**2, 3.0, KEY, steps=1)
    assert float(result.p) == 0.0
    assert int(result.calls) == 3  # two values with gradients, and one that the transform asked


def test_a_line_search_of_optax_works():
    result = parafree.run(optax.lbfgs(), lambda p: sphere(p - 2), jnp.zeros(3), KEY, steps=5)
    np.testing.assert_allclose(result.p, 2.0, rtol=1e-5)


def test_a_module_with_init_and_update_is_a_transform_whose_numbers_do_not_recompile():
    class Descent(eqx.Module):
        rate: jax.Array

        def init(self, p):
            return ()

        def update(self, updates, state, params=None, **extra):
            return jax.tree.map(lambda g: -self.rate * g, updates), state

    traces = []

    def objective(p):
        traces.append(1)
        return 0.5 * p**2

    ends = []
    for rate in (0.1, 0.5):
        count = len(traces)
        run = parafree.run(Descent(jnp.float32(rate)), objective, 1.0, KEY, steps=2)
        ends.append(float(run.p))
    assert len(traces) == count > 0
    np.testing.assert_allclose(ends, [0.81, 0.25], rtol=1e-6)


def test_lift_tells_the_contracts_apart():
    cloud = Cloud(2, jnp.float32(1))
    assert isinstance(cloud, AskTell) and isinstance(lift(cloud), AskTellSearch)
    assert isinstance(lift(optax.sgd(0.1)), TransformSearch)
    search = TransformSearch(optax.sgd(0.1))
    assert isinstance(search, Search) and lift(search) is search
