from __future__ import annotations

import itertools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import parafree
from parafree.core.errors import MethodError
from parafree.core.lifts import Status
from parafree.core.objective import Composite
from parafree.optim import GeneralLinear, Rescaling, TargetSurrogate, Teleport

RNG = np.random.default_rng(4)
SIZES = (3, 8, 7, 2)
X = jnp.asarray(RNG.normal(size=(6, 3)), jnp.float32)
Y = jnp.asarray(RNG.normal(size=(6, 2)), jnp.float32)
KEY = jax.random.key(0)


def leaky(x: Any) -> Any:
    return jax.nn.leaky_relu(x, 0.1)


def network(seed: int) -> list[dict[str, jax.Array]]:
    rng = np.random.default_rng(seed)
    return [
        {
            "w": jnp.asarray(rng.normal(size=(i, o)) / np.sqrt(i), jnp.float32),
            "b": jnp.asarray(0.3 * rng.normal(size=o), jnp.float32),
        }
        for i, o in itertools.pairwise(SIZES)
    ]


def layers(p: Any) -> Any:
    return [(layer["w"], layer["b"]) for layer in p]


def outputs(p: Any, x: Any, activation: Any = leaky) -> Any:
    for layer in p[:-1]:
        x = activation(x @ layer["w"] + layer["b"])
    return x @ p[-1]["w"] + p[-1]["b"]


def loss(p: Any) -> Any:
    return jnp.mean((outputs(p, X) - Y) ** 2)


def gradient_norm(p: Any) -> float:
    return float(optax.tree.norm(jax.grad(loss)(p)))


def random_element(symmetry: Any, p: Any, seed: int, size: float) -> Any:
    rng = np.random.default_rng(seed)
    return [jnp.asarray(size * rng.normal(size=g.shape), jnp.float32) for g in symmetry.identity(p)]


def test_reference_rescaling_in_numpy() -> None:
    p, symmetry = network(0), Rescaling(layers)
    g = random_element(symmetry, p, 1, 0.7)
    moved = symmetry.act(g, p)
    s1, s2 = (np.exp(np.asarray(each, np.float64)) for each in g)
    w = [np.asarray(layer["w"], np.float64) for layer in p]
    b = [np.asarray(layer["b"], np.float64) for layer in p]
    expected = [
        (w[0] @ np.diag(s1), b[0] * s1),
        (np.diag(1 / s1) @ w[1] @ np.diag(s2), b[1] * s2),
        (np.diag(1 / s2) @ w[2], b[2]),
    ]
    for layer, (weight, bias) in zip(moved, expected, strict=True):
        np.testing.assert_allclose(layer["w"], weight, rtol=1e-5)
        np.testing.assert_allclose(layer["b"], bias, rtol=1e-5)


def test_reference_general_linear_in_numpy() -> None:
    p, symmetry = network(0), GeneralLinear(layers, X, leaky)
    g = random_element(symmetry, p, 1, 0.2)
    moved = symmetry.act(g, p)
    w = [np.asarray(layer["w"], np.float64) for layer in p]
    b = [np.asarray(layer["b"], np.float64) for layer in p]
    act = lambda h: np.where(h > 0, h, 0.1 * h)  # noqa: E731
    h = np.asarray(X, np.float64)
    for m, t in enumerate(np.asarray(each, np.float64) for each in g):
        mix = np.eye(len(t)) + t
        was, now = act(h @ w[m] + b[m]), act((h @ w[m] + b[m]) @ mix)
        w[m], b[m] = w[m] @ mix, b[m] @ mix
        w[m + 1] = np.linalg.pinv(now) @ was @ w[m + 1]
        h = now
    for layer, weight, bias in zip(moved, w, b, strict=True):
        np.testing.assert_allclose(layer["w"], weight, rtol=2e-3, atol=2e-3)
        np.testing.assert_allclose(layer["b"], bias, rtol=1e-3, atol=1e-3)


def test_reference_one_hidden_unit_in_closed_form() -> None:
    """For (u v - y)^2 the squared norm grows with u^2 + v^2, so a teleport unbalances them."""
    p = {"v": jnp.asarray([[2.0]]), "u": jnp.asarray([[1.0]])}
    symmetry = Rescaling(lambda p: [(p["v"],), (p["u"],)])
    product = lambda p: jnp.sum((p["v"] @ p["u"] - 5.0) ** 2)  # noqa: E731
    moved, gain, _ = Teleport(optax.sgd(0.1), symmetry, most=100.0).move(KEY, p, product)
    s = float(moved["v"][0, 0]) / 2.0
    assert s == pytest.approx(np.exp(10 * 0.1), rel=1e-4)  # ten full moves up the scale
    expected = np.sqrt(((2 * s) ** 2 + (1 / s) ** 2) / (2**2 + 1**2))
    assert float(gain) == pytest.approx(expected, rel=1e-4)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.0, 2.0))
def test_rescaling_changes_no_output_for_any_input(seed: int, size: float) -> None:
    p, symmetry = network(seed), Rescaling(layers)
    moved = symmetry.act(random_element(symmetry, p, seed, size), p)
    other = jnp.asarray(np.random.default_rng(seed).normal(size=(20, 3)), jnp.float32)
    np.testing.assert_allclose(outputs(moved, other), outputs(p, other), rtol=1e-3, atol=1e-4)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31), st.floats(0.0, 0.1))
def test_general_linear_changes_no_output_for_its_inputs(seed: int, size: float) -> None:
    p, symmetry = network(seed), GeneralLinear(layers, X, leaky)
    moved = symmetry.act(random_element(symmetry, p, seed, size), p)
    np.testing.assert_allclose(outputs(moved, X), outputs(p, X), rtol=2e-2, atol=2e-2)


def test_general_linear_of_a_linear_network_changes_no_output_at_all() -> None:
    p, symmetry = network(0), GeneralLinear(layers, jnp.zeros((50, 3)))
    moved = symmetry.act(random_element(symmetry, p, 1, 0.1), p)
    same = lambda x: x  # noqa: E731
    np.testing.assert_allclose(outputs(moved, X, same), outputs(p, X, same), rtol=1e-3, atol=1e-4)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**31))
def test_a_teleport_keeps_the_loss_and_lengthens_the_gradient(seed: int) -> None:
    p = network(seed)
    moved, gain, sound = MOVE(jax.random.key(seed % 97), p)
    assert bool(sound)
    assert float(loss(moved)) == pytest.approx(float(loss(p)), rel=1e-3)
    assert 1.0 <= float(gain) <= 2.0 * (1 + 1e-3)
    assert gradient_norm(moved) == pytest.approx(float(gain) * gradient_norm(p), rel=1e-2)


MOVE = jax.jit(lambda key, p: Teleport(optax.sgd(0.1), Rescaling(layers)).move(key, p, loss))


def test_general_linear_teleports_lengthen_the_gradient_as_well() -> None:
    p = network(0)
    search = Teleport(optax.sgd(0.1), GeneralLinear(layers, X, leaky), reach=0.02)
    moved, gain, _ = jax.jit(lambda p: search.move(KEY, p, loss))(p)
    assert float(gain) > 1.1
    assert float(loss(moved)) == pytest.approx(float(loss(p)), rel=1e-2)
    assert gradient_norm(moved) > 1.1 * gradient_norm(p)


@pytest.mark.parametrize(("aim", "down"), [("flatter", True), ("sharper", False)])
def test_surroundings_get_flatter_or_sharper_at_the_same_loss(aim: Any, down: bool) -> None:
    p = network(1)
    search = Teleport(optax.sgd(0.1), Rescaling(layers), aim=aim)
    moved, gain, _ = jax.jit(lambda p: search.move(KEY, p, loss))(p)
    assert float(loss(moved)) == pytest.approx(float(loss(p)), rel=1e-3)
    assert (float(gain) < 0.99) if down else (float(gain) > 1.01)
    assert (nearby(moved) < nearby(p)) == down


def nearby(p: Any) -> float:
    """Mean loss over many random points at fixed distances, other ones than a teleport draws."""
    flat, back = jax.flatten_util.ravel_pytree(p)
    noise = jax.random.normal(jax.random.key(99), (2000, flat.size))
    moves = noise / jnp.linalg.norm(noise, axis=1, keepdims=True)
    values = [jax.vmap(lambda m, r=r: loss(back(flat + r * m)))(moves) for r in (0.25, 0.5, 0.75)]
    return float(jnp.mean(jnp.stack(values)))


def test_teleports_come_when_they_should_and_calls_are_counted() -> None:
    search = Teleport(optax.sgd(0.01), Rescaling(layers), first=2, every=3, times=2, climbs=4)
    result = parafree.run(
        search, loss, network(0), KEY, steps=10, record=lambda state, info: info.teleported
    )
    assert np.flatnonzero(result.history).tolist() == [2, 5]
    # A call at the start, one a step; for each teleport 2 * (4 + 1) and a new start; one at the end
    assert int(result.calls) == 1 + 10 + 2 * (2 * 5 + 1) + 1


def test_many_teleports_lead_no_higher_than_the_first_one_may() -> None:
    search = Teleport(optax.sgd(0.0), Rescaling(layers), times=6, most=1.5)
    result = parafree.run(
        search, loss, network(0), KEY, steps=6, record=lambda state, info: info.gain
    )
    assert float(np.prod(result.history)) == pytest.approx(1.5, rel=0.1)
    assert float(np.prod(result.history)) <= 1.5 * (1 + 1e-3)


@pytest.mark.parametrize(
    "inner",
    [optax.sgd(0.02), optax.adam(0.01), TargetSurrogate(batch_size=6, inner_steps=3)],
    ids=["sgd", "adam", "search"],
)
def test_any_search_may_be_wrapped(inner: Any) -> None:
    objective = Composite(outputs, lambda z, y: jnp.mean((z - y) ** 2, axis=1), (X, Y))
    search = Teleport(inner, Rescaling(layers), batch_size=4, times=3, every=5)
    result = parafree.run(search, objective, network(2), KEY, steps=60)
    assert float(result.value) < 0.7 * float(objective(network(2)))


def test_weights_of_equinox_are_out_first() -> None:
    model = eqx.nn.MLP(3, 2, 8, 2, activation=leaky, key=KEY)
    pick = lambda m: [(layer.weight, layer.bias) for layer in m.layers]  # noqa: E731
    symmetry = Rescaling(pick, out_first=True)
    moved = symmetry.act(random_element(symmetry, model, 0, 0.5), model)
    np.testing.assert_allclose(jax.vmap(moved)(X), jax.vmap(model)(X), rtol=1e-4, atol=1e-5)
    assert not np.allclose(moved.layers[0].weight, model.layers[0].weight)


def test_what_is_not_finite_is_a_status_and_moves_nothing() -> None:
    p = network(0)
    search = Teleport(optax.sgd(0.0), Rescaling(layers))
    moved, gain, sound = jax.jit(lambda p: search.move(KEY, p, lambda p: jnp.nan * loss(p)))(p)
    assert not bool(sound) and float(gain) == 1.0
    jax.tree.map(np.testing.assert_array_equal, moved, p)
    state = search.init(KEY, p, loss)
    _, info = jax.jit(lambda state: search.step(KEY, state, lambda p: jnp.nan * loss(p)))(state)
    assert int(info.status) == Status.NOT_FINITE


def test_what_cannot_work_is_refused() -> None:
    with pytest.raises(MethodError, match="aim is 'up'"):
        Teleport(optax.sgd(0.1), Rescaling(layers), aim="up")  # type: ignore[arg-type]
    with pytest.raises(MethodError, match="climbs is 0"):
        Teleport(optax.sgd(0.1), Rescaling(layers), climbs=0)
    with pytest.raises(MethodError, match="50 rows"):
        GeneralLinear(layers, jnp.zeros((50, 3)), leaky).identity(network(0))
