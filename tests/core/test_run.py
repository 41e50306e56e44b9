"""`parafree.run` against closed forms and loops written out in NumPy."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import parafree
from parafree.core.errors import MethodError
from parafree.core.lifts import Status

KEY = jax.random.key(0)
SCALES = np.array([1.0, 3.0, 0.5], np.float32)
START = np.array([2.0, -1.0, 4.0], np.float32)


def bowl(p):
    return 0.5 * jnp.sum(jnp.asarray(SCALES) * p**2)


class Walk(eqx.Module):
    """A search that tries one Gaussian step at a time, and keeps it if it is better."""

    scale: jax.Array

    def init(self, key, p, objective):
        return {"p": p, "value": objective(p)}

    def step(self, key, state, objective):
        p = state["p"] + self.scale * jax.random.normal(key, state["p"].shape)
        value = objective(p)
        better = value < state["value"]
        new = {
            "p": jnp.where(better, p, state["p"]),
            "value": jnp.where(better, value, state["value"]),
        }
        return new, {"value": value}

    def best(self, state):
        return state["p"]


def test_gradient_descent_follows_the_closed_form_step_by_step():
    rate, steps = 0.2, 15
    result = parafree.run(
        optax.sgd(rate), bowl, START, KEY, steps=steps, record=lambda state, info: state.p
    )
    expected = START * (1 - rate * SCALES) ** np.arange(1, steps + 1)[:, None]
    np.testing.assert_allclose(result.history, expected, rtol=2e-5)
    np.testing.assert_allclose(result.p, expected[-1], rtol=2e-5)
    np.testing.assert_allclose(result.value, 0.5 * np.sum(SCALES * expected[-1] ** 2), rtol=1e-4)
    assert (int(result.steps), int(result.calls)) == (steps, steps + 1)


def test_momentum_follows_a_loop_in_numpy():
    rate, decay = 0.1, 0.7
    p, trace, path = START.copy(), np.zeros(3, np.float32), []
    for _ in range(12):
        trace = SCALES * p + decay * trace
        p = p - rate * trace
        path.append(p)
    result = parafree.run(
        optax.sgd(rate, momentum=decay), bowl, START, KEY, steps=12,
        record=lambda state, info: state.p,
    )  # fmt: skip
    np.testing.assert_allclose(result.history, path, rtol=1e-4, atol=1e-6)


def test_the_best_point_is_kept_when_the_last_one_is_worse():
    # With rate * scale = 2.5 every coordinate grows by 1.5 a step, so the start is the best.
    result = parafree.run(optax.sgd(2.5), lambda p: 0.5 * p**2, 1.0, KEY, steps=5)
    assert float(result.p) == 1.0 and float(result.value) == 0.5
    np.testing.assert_allclose(float(result.state.p), -(1.5**5))


def test_until_stops_at_the_first_step_that_meets_the_condition():
    rate = 0.5
    result = parafree.run(
        optax.sgd(rate), lambda p: 0.5 * p**2, 1.0, KEY,
        until=lambda state, info: info.value < 1e-6, max_steps=100,
        record=lambda state, info: info.value,
    )  # fmt: skip
    needed = int(np.ceil(np.log(np.sqrt(2e-6)) / np.log(1 - rate)))
    assert int(result.steps) == needed
    values = 0.5 * (0.5 ** np.arange(1, needed + 1)) ** 2
    np.testing.assert_allclose(result.history[:needed], values, rtol=1e-5)
    assert result.history.shape == (100,) and not result.history[needed:].any()


def test_until_ends_at_max_steps():
    result = parafree.run(
        optax.sgd(0.1), bowl, START, KEY, until=lambda state, info: info.value < 0, max_steps=7
    )
    assert int(result.steps) == 7


def test_a_search_gets_a_key_of_its_own_for_every_step():
    scale, steps = 0.3, 40
    result = parafree.run(Walk(jnp.float32(scale)), bowl, START, KEY, steps=steps)
    key, p = jax.random.split(KEY)[1], START
    value = float(bowl(p))
    for i in range(steps):
        move = np.asarray(jax.random.normal(jax.random.fold_in(key, i), (3,)))
        new = p + np.float32(scale) * move
        if float(bowl(new)) < value:
            p, value = new, float(bowl(new))
    np.testing.assert_allclose(result.p, p, rtol=1e-5)
    assert int(result.calls) == steps + 2  # at the start, in every step, and for the value


def test_scan_and_while_take_the_same_steps():
    fixed = parafree.run(Walk(jnp.float32(0.3)), bowl, START, KEY, steps=20)
    until = parafree.run(
        Walk(jnp.float32(0.3)), bowl, START, KEY,
        until=lambda state, info: jnp.asarray(False), max_steps=20,
    )  # fmt: skip
    np.testing.assert_array_equal(fixed.p, until.p)
    assert int(until.calls) == int(fixed.calls)


@pytest.mark.parametrize("end", ["steps", "until"])
def test_numbers_do_not_compile_anew(end):
    traces = []

    def objective(p):
        traces.append(1)
        return jnp.sum(p**2)

    def never(state, info):
        return jnp.asarray(False)

    def go(scale, p, seed, most):
        ending = {"steps": 6} if end == "steps" else {"until": never, "max_steps": most}
        return parafree.run(Walk(jnp.float32(scale)), objective, p, jax.random.key(seed), **ending)

    go(0.1, START, 0, 6)
    first = len(traces)
    assert first <= 5  # init, the shape of info, the step (twice for until), the last value
    go(0.2, 2 * START, 1, 9)
    assert len(traces) == first


def test_progress_takes_the_same_steps_in_parts():
    plain = parafree.run(Walk(jnp.float32(0.3)), bowl, START, KEY, steps=103,
                         record=lambda state, info: info["value"])  # fmt: skip
    shown = parafree.run(Walk(jnp.float32(0.3)), bowl, START, KEY, steps=103, progress=True,
                         record=lambda state, info: info["value"])  # fmt: skip
    np.testing.assert_array_equal(plain.history, shown.history)
    until = parafree.run(
        Walk(jnp.float32(0.3)), bowl, START, KEY, progress=True, max_steps=103,
        until=lambda state, info: jnp.asarray(False),
    )  # fmt: skip
    np.testing.assert_array_equal(plain.p, until.p)


def test_progress_is_shown_after_its_patience(monkeypatch, capsys):
    monkeypatch.setattr("parafree.core.run._PATIENCE_S", 0.0)
    result = parafree.run(optax.sgd(0.1), bowl, START, KEY, steps=100, progress=True)
    assert int(result.steps) == 100
    quiet = parafree.run(optax.sgd(0.1), bowl, START, KEY, steps=100)
    np.testing.assert_array_equal(result.p, quiet.p)


def test_a_run_can_be_mapped_and_differentiated():
    def last(rate):
        return parafree.run(_Descent(rate), lambda p: 0.5 * p**2, jnp.float32(1), KEY, steps=3).p

    rates = jnp.asarray([0.1, 0.5])
    np.testing.assert_allclose(jax.vmap(last)(rates), (1 - rates) ** 3, rtol=1e-6)
    np.testing.assert_allclose(jax.grad(last)(0.1), -3 * 0.9**2, rtol=1e-5)


class _Descent(eqx.Module):
    rate: jax.Array

    def init(self, key, p, objective):
        return p

    def step(self, key, state, objective):
        return state - self.rate * jax.grad(objective)(state), ()

    def best(self, state):
        return state


def test_a_search_that_loops_says_how_often_it_called():
    class Twice(_Descent):
        def step(self, key, state, objective):
            values = jax.vmap(objective)(jnp.stack([state, state + 1]))
            return state, Calls(values, jnp.int32(2))

    result = parafree.run(Twice(jnp.float32(0)), lambda p: p**2, 1.0, KEY, steps=10)
    assert int(result.calls) == 2 * 10 + 1


class Calls(eqx.Module):
    values: jax.Array
    calls: jax.Array


def test_nan_is_marked_and_never_the_best():
    # 1 / (p > 0): from 0.5 the first update lands below zero, where the objective is NaN.
    result = parafree.run(
        optax.sgd(1.0), lambda p: jnp.sqrt(p), 0.2, KEY, steps=3,
        record=lambda state, info: info.status,
    )  # fmt: skip
    assert float(result.p) == np.float32(0.2) and np.isfinite(result.value)
    assert result.history.tolist() == [Status.NOT_FINITE] * 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, "neither of steps and until"),
        ({"steps": 3, "until": lambda state, info: True}, "both of steps and until"),
        ({"steps": 0}, "steps is 0"),
        ({"steps": 2.5}, "steps is 2.5"),
        ({"steps": 3, "max_steps": 4}, "max_steps belongs to until"),
        ({"until": lambda state, info: info.value, "max_steps": 3}, "one truth value"),
        (
            {"until": lambda state, info: True, "record": lambda state, info: info},
            "record and until need max_steps",
        ),
        ({"steps": 3, "p": {}}, "no arrays"),
        ({"steps": 3, "p": {"x": np.arange(3)}}, "leaf of type int32"),
        ({"steps": 3, "objective": lambda p: p}, r"returns float32\[3\]"),
        ({"steps": 3, "objective": lambda p: (p > 0).any()}, r"returns bool\[\]"),
        ({"steps": 3, "key": 0}, "not one JAX key"),
        ({"steps": 3, "search": object()}, "no search"),
        ({"steps": 3, "search": Walk}, "no search"),
    ],
)
def test_what_is_impossible_is_refused(change, message):
    request = {"search": optax.sgd(0.1), "objective": bowl, "p": START, "key": KEY} | change
    with pytest.raises(MethodError, match=message) as caught:
        parafree.run(**request)
    assert caught.value.where and caught.value.fix
