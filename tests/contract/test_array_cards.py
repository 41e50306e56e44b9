"""The common checks of the methods that live inside ``jit``: Transform, Search and AskTell.

The three contracts differ in who asks the objective, so each has a way to take one step; the
checks are written once, for anything that steps. Besides the cards, three small methods of known
behaviour go through the checks, and broken ones must fail them.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from parafree.core.card import Card
from parafree.core.catalogue import cards

Check = Callable[[Card], None]


class Stepper(NamedTuple):
    """One contract, as pure functions of the method and its state."""

    start: Callable[[Any, Any, Any, Any], Any]  # method, key, p, objective -> state
    step: Callable[[Any, Any, Any, Any], Any]  # method, key, state, objective -> state
    point: Callable[[Any, Any], Any]  # method, state -> p


def _transform_step(method: Any, key: Any, state: Any, objective: Any) -> Any:
    p, inner = state
    value, grad = jax.value_and_grad(objective)(p)
    update, inner = optax.with_extra_args_support(method).update(
        grad, inner, p, value=value, grad=grad, value_fn=objective
    )
    return optax.apply_updates(p, update), inner


def _asktell_step(method: Any, key: Any, state: Any, objective: Any) -> Any:
    ask, tell = jax.random.split(key)
    candidates, state = method.ask(ask, state)
    return method.tell(tell, state, candidates, jax.vmap(objective)(candidates))[0]


STEPPERS = {
    "transform": Stepper(
        lambda method, key, p, objective: (p, method.init(p)),
        _transform_step,
        lambda method, state: state[0],
    ),
    "search": Stepper(
        lambda method, key, p, objective: method.init(key, p, objective),
        lambda method, key, state, objective: method.step(key, state, objective)[0],
        lambda method, state: method.best(state),
    ),
    "asktell": Stepper(
        lambda method, key, p, objective: method.init(key, p),
        _asktell_step,
        lambda method, state: method.best(state),
    ),
}


def square(p: Any) -> Any:
    return sum(jnp.sum((leaf - 1) ** 2) for leaf in jax.tree.leaves(p))


def start_point(dtype: Any = jnp.float32, scale: float = 1.0) -> dict[str, Any]:
    return {"w": jnp.asarray([0.5, -1.0, 2.0], dtype) * scale, "b": jnp.asarray(0.25, dtype)}


class Steps(NamedTuple):
    """A method's start and step on the square, for :func:`walk`."""

    start: Callable[[Any, Any], Any]
    step: Callable[[Any, Any], Any]

    def map(self, change: Callable[[Any], Any]) -> Steps:
        return Steps(change(self.start), change(self.step))


def steps_of(card: Card) -> Steps:
    stepper, method = STEPPERS[card.contract], card.make()
    return Steps(
        lambda key, p: stepper.start(method, key, p, square),
        lambda key, state: stepper.step(method, key, state, square),
    )


def _kept(make: Callable[[Card], Steps]) -> Callable[[Card], Steps]:
    """Compile once for all checks of a card."""
    kept: dict[Any, Steps] = {}

    @functools.wraps(make)
    def look_up(card: Card) -> Steps:
        key = (card.method, card.example, card.contract)
        if key not in kept:
            kept[key] = make(card)
        return kept[key]

    return look_up


@_kept
def compiled(card: Card) -> Steps:
    return steps_of(card).map(jax.jit)


@_kept
def compiled_together(card: Card) -> Steps:
    return steps_of(card).map(lambda f: jax.jit(jax.vmap(f, in_axes=(None, 0))))


def walk(steps: Steps, p: Any, count: int = 2) -> Any:
    """Take steps in a Python loop; return the state."""
    first, *keys = jax.random.split(jax.random.key(0), count + 1)
    state = steps.start(first, p)
    for key in keys:
        state = steps.step(key, state)
    return state


def assert_close(a: Any, b: Any) -> None:
    assert jax.tree.structure(a) == jax.tree.structure(b)
    for x, y in zip(_numbers(a), _numbers(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5)


def _numbers(tree: Any) -> list[Any]:
    """Leaves as numpy arrays, keys as their bits."""
    leaves = [leaf for leaf in jax.tree.leaves(tree) if eqx.is_array(leaf)]
    is_key = lambda leaf: jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)  # noqa: E731
    return [np.asarray(jax.random.key_data(leaf) if is_key(leaf) else leaf) for leaf in leaves]


def check_jit_changes_nothing(card: Card) -> None:
    assert_close(walk(compiled(card), start_point()), walk(steps_of(card), start_point()))


def check_the_same_key_gives_the_same_bits(card: Card) -> None:
    """Whoever compiles it: the second time everything is traced and compiled anew."""
    states = [walk(steps, start_point()) for steps in (compiled(card), steps_of(card).map(jax.jit))]
    for a, b in zip(*map(_numbers, states), strict=True):
        np.testing.assert_array_equal(a, b)


def check_a_step_keeps_shapes_and_types(card: Card) -> None:
    """What a scan needs: structure, shapes, dtypes and weak types stay over a step."""
    steps = steps_of(card)
    states = [jax.eval_shape(lambda n=n: walk(steps, start_point(), n)) for n in range(3)]
    for before, after in itertools.pairwise(states):
        assert jax.tree.structure(before) == jax.tree.structure(after)
        for a, b in zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True):
            assert (a.shape, a.dtype, a.weak_type) == (b.shape, b.dtype, b.weak_type)


def check_scan_equals_a_loop(card: Card) -> None:
    steps = compiled(card)
    first, *keys = jax.random.split(jax.random.key(0), 3)
    state = steps.start(first, start_point())
    step = steps_of(card).step
    scan = jax.jit(
        lambda state, keys: jax.lax.scan(lambda s, key: (step(key, s), None), state, keys)[0]
    )
    assert_close(scan(state, jnp.stack(keys)), walk(steps, start_point()))


def _members(card: Card, scales: list[float]) -> Any:
    """The points after some steps from several starting points at once."""
    p = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(start_point(scale=s) for s in scales))
    return _point(card, walk(compiled_together(card), p), jax.vmap)


def _point(card: Card, state: Any, over: Callable[[Any], Any] = lambda f: f) -> Any:
    stepper, method = STEPPERS[card.contract], card.make()
    return over(lambda state: stepper.point(method, state))(state)


def check_vmap_equals_one_at_a_time(card: Card) -> None:
    together = _members(card, [1.0, -0.5, 0.1])
    for i, scale in enumerate([1.0, -0.5, 0.1]):
        alone = _point(card, walk(compiled(card), start_point(scale=scale)))
        assert_close(jax.tree.map(lambda leaf, i=i: leaf[i], together), alone)


def check_a_member_that_diverges_disturbs_no_other(card: Card) -> None:
    healthy, ill = _members(card, [1.0, -0.5, 0.1]), _members(card, [1.0, float("nan"), 0.1])
    for a, b in zip(_numbers(healthy), _numbers(ill), strict=True):
        np.testing.assert_array_equal(a[[0, 2]], b[[0, 2]])


def check_changing_numbers_compiles_nothing(card: Card) -> None:
    """Numbers of the method, the key and the state change; the objective is traced once more."""
    stepper, method, traces = STEPPERS[card.contract], card.make(), []

    def counted(p: Any) -> Any:
        traces.append(None)
        return square(p)

    numbers, rest = eqx.partition(method, _is_number)
    step = jax.jit(
        lambda numbers, key, state: stepper.step(eqx.combine(numbers, rest), key, state, counted)
    )

    def trace(factor: float, key: Any, state: Any) -> Any:
        # Nothing is compiled that was not traced, so tracing is all there is to count.
        scaled = jax.tree.map(lambda x: jnp.asarray(x) * factor, numbers)
        return step.trace(scaled, key, state).out_info

    key = jax.random.key(0)
    state = compiled(card).start(key, start_point())
    state, seen = trace(1.0, key, state), len(traces)
    for i in range(1, 4):
        state = trace(1 - 0.1 * i, jax.random.key(i), state)
    assert len(traces) <= 2 * seen  # twice: a first state may hold weak types
    assert seen > 0
    before = len(traces)
    trace(0.5, jax.random.key(9), state)
    assert len(traces) == before


def _is_number(leaf: Any) -> bool:
    return isinstance(leaf, float) or eqx.is_inexact_array(leaf)


def check_parameters_keep_their_dtype(card: Card) -> None:
    """Lowered and not run: types are known by then, and so is what a type cannot do."""
    with jax.enable_x64(True), jax.numpy_dtype_promotion("strict"):
        for dtype in (jnp.bfloat16, jnp.float32, jnp.float64):
            point = jax.jit(lambda p: _point(card, walk(steps_of(card), p, 1)))
            p = point.lower(start_point(dtype)).out_info
            assert {leaf.dtype for leaf in jax.tree.leaves(p)} == {jnp.dtype(dtype)}


CHECKS: tuple[Check, ...] = (
    check_jit_changes_nothing,
    check_the_same_key_gives_the_same_bits,
    check_a_step_keeps_shapes_and_types,
    check_scan_equals_a_loop,
    check_vmap_equals_one_at_a_time,
    check_a_member_that_diverges_disturbs_no_other,
    check_changing_numbers_compiles_nothing,
    check_parameters_keep_their_dtype,
)


def pairs() -> list[Any]:
    found = []
    for card in (card for card in cards() if card.contract in STEPPERS):
        for check in CHECKS:
            name = check.__name__.removeprefix("check_")
            reason = card.xfail.get(name)
            marks = [pytest.mark.xfail(reason=reason, strict=True)] if reason else []
            if card.contract == "asktell" and check is check_jit_changes_nothing:
                marks.append(pytest.mark.slow)  # each of their operations is compiled by itself
            found.append(pytest.param(card, check, id=f"{card.name}-{name}", marks=marks))
    return found


if pairs():

    @pytest.mark.parametrize(("card", "check"), pairs())
    def test_card(card: Card, check: Check) -> None:
        check(card)


# The checks themselves, on methods of known behaviour.


class Descent(eqx.Module):
    """Gradient descent with a fixed rate, as a Search."""

    rate: float | jax.Array = 0.1

    def init(self, key: Any, p: Any, objective: Any) -> Any:
        return p

    def step(self, key: Any, p: Any, objective: Any) -> Any:
        grad = jax.grad(objective)(p)
        return jax.tree.map(lambda x, g: x - jnp.asarray(self.rate, x.dtype) * g, p, grad), None

    def best(self, p: Any) -> Any:
        return p


class Climb(eqx.Module):
    """Eight random steps around the best point, as an AskTell."""

    spread: float | jax.Array = 0.3

    def init(self, key: Any, p: Any) -> Any:
        return p, jnp.asarray(jnp.inf, jnp.float32)

    def ask(self, key: Any, state: Any) -> Any:
        def near(x: Any) -> Any:
            noise = jax.random.normal(key, (8, *x.shape), x.dtype)
            return x[None] + jnp.asarray(self.spread, x.dtype) * noise

        return jax.tree.map(near, state[0]), state

    def tell(self, key: Any, state: Any, candidates: Any, values: Any) -> Any:
        p, best = state
        i = jnp.argmin(values)
        value = values[i].astype(jnp.float32)
        better = value < best
        pick = lambda old, new: jnp.where(better, new[i], old)  # noqa: E731
        return (jax.tree.map(pick, p, candidates), jnp.where(better, value, best)), None

    def best(self, state: Any) -> Any:
        return state[0]


def toy(method: Any, contract: Any) -> Card:
    return Card(method=method, contract=contract, paper="none", reference="none")


GOOD = [
    toy(lambda: optax.sgd(0.1, momentum=0.9), "transform"),
    toy(Descent, "search"),
    toy(Climb, "asktell"),
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("card", GOOD, ids=lambda card: card.contract)
def test_a_sound_method_passes(card: Card, check: Check) -> None:
    check(card)


class Widening(Descent):
    """Broken: forgets the dtype of its parameters."""

    def step(self, key: Any, p: Any, objective: Any) -> Any:
        return jax.tree.map(lambda x: x.astype(jnp.float32), super().step(key, p, objective)[0]), 0


class Growing(Descent):
    """Broken: its state gets longer with every step."""

    def init(self, key: Any, p: Any, objective: Any) -> Any:
        return p, jnp.zeros(1)

    def step(self, key: Any, state: Any, objective: Any) -> Any:
        return (state[0], jnp.concatenate([state[1], jnp.zeros(1)])), None

    def best(self, state: Any) -> Any:
        return state[0]


class Counting(Descent):
    """Broken: remembers in Python how often it was called, which a compiled step does not."""

    calls: list[int] = eqx.field(default_factory=list, static=True)

    def step(self, key: Any, p: Any, objective: Any) -> Any:
        self.calls.append(0)
        return jax.tree.map(lambda x: x * len(self.calls), p), None


@pytest.mark.parametrize(
    ("method", "check"),
    [
        (Widening, check_parameters_keep_their_dtype),
        (Growing, check_a_step_keeps_shapes_and_types),
        (Growing, check_scan_equals_a_loop),
        (Counting, check_jit_changes_nothing),
    ],
)
def test_a_broken_method_fails(method: Any, check: Check) -> None:
    with pytest.raises((AssertionError, TypeError)):
        check(toy(method, "search"))
