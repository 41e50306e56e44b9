"""Training by projections: rates on lines, closed forms, and networks of every kind."""

from __future__ import annotations

import itertools
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from parafree import run
from parafree.core.errors import MethodError
from parafree.optim import (
    Cyclic,
    DifferenceMap,
    DouglasRachford,
    Projections,
    cross_entropy_loss,
    margin_loss,
    quantise,
    target_loss,
)
from parafree.optim._projection_graph import Graph

KEY = jax.random.key(0)
EXAMPLE = Path(__file__).parents[2] / "examples" / "projections.py"
DIRECTIONS = [
    Cyclic(),
    Cyclic(1.5),
    Cyclic(two_sets=True),
    DouglasRachford(),
    DifferenceMap(0.7),
]
NAMES = ["cyclic", "relaxed", "alternating", "Douglas-Rachford", "difference map"]


# Directions, on sets that are known.


def lines(angle: float) -> tuple[np.ndarray, np.ndarray]:
    """The projections onto two lines through the origin, as matrices."""
    direction = np.array([np.cos(angle), np.sin(angle)])
    return np.diag([1.0, 0.0]), np.outer(direction, direction)


def walk(direction: Any, matrices: tuple[np.ndarray, ...], steps: int) -> np.ndarray:
    sets = [lambda x, m=m: jnp.asarray(m, jnp.float32) @ x for m in matrices]
    x = jnp.asarray([0.3, 1.0])
    path = [x]
    for _ in range(steps):
        path.append(x := direction.step(sets, x))
    return np.asarray(path)


@pytest.mark.parametrize("angle", [0.2, 0.7, 1.3])
def test_reference_rates_on_two_lines(angle: float) -> None:
    """Alternating projections: cos^2 a round; Douglas-Rachford: cos a step, exactly."""
    cos = np.cos(angle)
    for direction, rate in [
        (Cyclic(), cos**2),
        (DouglasRachford(), cos),
        (DifferenceMap(1.0), cos),
    ]:
        norms = np.linalg.norm(walk(direction, lines(angle), 8), axis=1)
        np.testing.assert_allclose(norms[2:] / norms[1:-1], rate, rtol=1e-4)


@pytest.mark.parametrize("beta", [-0.8, 0.4, 1.0, 1.6])
def test_reference_steps_as_matrices(beta: float) -> None:
    a, b = lines(0.6)
    eye = np.eye(2)
    f_a, f_b = a - (a - eye) / beta, b + (b - eye) / beta
    r = abs(beta)
    expected = {
        DifferenceMap(beta): eye + beta * (a @ f_b - b @ f_a),
        DouglasRachford(r): eye + r * (b @ (2 * a - eye) - a),
        Cyclic(r): (eye + r * (b - eye)) @ (eye + r * (a - eye)),
    }
    for direction, matrix in expected.items():
        path = walk(direction, (a, b), 4)
        np.testing.assert_allclose(path[1:], path[:-1] @ matrix.T, atol=1e-5)


@pytest.mark.parametrize("direction", DIRECTIONS[2:], ids=NAMES[2:])
def test_reference_the_nearest_solution_of_a_linear_system(direction: Any) -> None:
    """From equal copies two sets lead to the nearest parameters of all that solve it."""
    rng = np.random.default_rng(0)
    x, y, p = rng.normal(size=(3, 5)), rng.normal(size=3), rng.normal(size=5)
    nearest = p + np.linalg.pinv(x) @ (y - x @ p)
    search = Projections(direction, sweeps=1000)
    objective = lambda q: target_loss(jnp.asarray(x, jnp.float32) @ q, jnp.asarray(y, jnp.float32))  # noqa: E731
    result = run(search, objective, jnp.asarray(p, jnp.float32), KEY, steps=1)
    np.testing.assert_allclose(result.p, nearest, atol=1e-3)
    assert float(result.info.gap) < 1e-4


# Graphs, of every kind of network.

X = jnp.asarray(np.random.default_rng(1).normal(size=(3, 2, 4, 4)), jnp.float32)
LABELS = jnp.asarray([0, 1, 1])


def dense(p: Any, x: Any) -> Any:
    hidden = jax.nn.relu(x.reshape(3, -1) @ p["w"] + p["b"])
    again = jax.nn.relu(hidden @ p["u"])
    return jnp.concatenate([hidden, again], axis=-1) @ p["v"] / 2 - 0.1


def convolution(p: Any, x: Any) -> Any:
    x = jax.lax.conv_general_dilated(x, p["k"], (1, 1), "SAME")
    x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, 1, 2, 2), (1, 1, 2, 2), "VALID")
    x = jax.nn.relu(x + p["c"][:, None, None])
    dims = ("NHWC", "HWIO", "NHWC")
    x = jax.lax.conv_general_dilated(
        x.transpose(0, 2, 3, 1), p["l"], (2, 2), [(0, 1), (1, 0)], dimension_numbers=dims
    )
    return jnp.max(x, axis=(1, 2))


def recurrent(p: Any, x: Any) -> Any:
    def cell(h: Any, row: Any) -> Any:
        h = jax.nn.relu(row @ p["i"] + h @ p["r"])
        return h, h[:, :1]

    h, seen = jax.lax.scan(cell, jnp.zeros((3, 3)), jnp.moveaxis(x[:, 0], 1, 0))
    return h @ p["o"] + seen.mean(0) * jnp.maximum(h[:, :1], 0.2)


def quantised(p: Any, x: Any) -> Any:
    hidden = quantise(x.reshape(3, -1) @ p["w"], jnp.asarray([-1.0, 0.0, 1.0]))
    return jnp.maximum(hidden @ p["v"][:4], hidden @ p["v"][4:]) + jnp.sum(p["b"] ** 2)


NETS: list[Callable[..., Any]] = [dense, convolution, recurrent, quantised]


def weights(seed: int = 0) -> dict[str, Any]:
    shapes = {"w": (32, 4), "b": (4,), "u": (4, 4), "v": (8, 2), "k": (3, 2, 3, 3), "c": (3,)}
    shapes |= {"l": (2, 2, 3, 2), "i": (4, 3), "r": (3, 3), "o": (3, 2)}
    rng = np.random.default_rng(seed)
    return {
        name: jnp.asarray(rng.normal(size=shape) / 2, jnp.float32) for name, shape in shapes.items()
    }


def graph(objective: Any, two: bool) -> Graph:
    leaves = jax.tree.leaves(weights())
    closed = jax.make_jaxpr(objective)(weights())
    return Graph(closed, leaves, jnp.float32, jnp.float32(0), two)


@pytest.mark.parametrize("net", NETS, ids=lambda net: net.__name__)
def test_copies_of_one_evaluation_are_in_every_set_but_the_goal(net: Any) -> None:
    """With the network's own results as the goal, nothing has to move."""
    targets = net(weights(), X)
    found = graph(lambda p: target_loss(net(p, X), targets), two=False)

    def moves() -> list[Any]:
        start = found.start()
        return [
            jnp.abs(new - old).max()
            for project in found.sets()
            for new, old in zip(*map(jax.tree.leaves, (project(start), start)), strict=True)
        ]

    assert max(map(float, jax.jit(moves)())) < 1e-4


@pytest.mark.parametrize(
    "net",
    [
        quantised,
        *(pytest.param(net, marks=pytest.mark.slow) for net in (dense, convolution, recurrent)),
    ],
)
def test_the_two_sets_are_nearest_points_of_all_copies(net: Any) -> None:
    """Twice is once, and no other point of the set is nearer than the projection."""
    found = graph(lambda p: margin_loss(net(p, X), LABELS), two=True)

    @jax.jit
    @jax.vmap
    def points(key: Any) -> list[Any]:
        """A point, its projection, and the projection of that, for each set."""
        point = noisy(found.start(), key)
        twice = lambda project: jax.lax.scan(lambda x, _: (project(x),) * 2, point, length=2)[1]  # noqa: E731
        return [(point, twice(project)) for project in found.sets()]

    for point, nearest in points(jax.random.split(KEY, 3)):
        moved = [spread(point, nearest, i, i, 0) for i in range(3)]
        for i, j in itertools.permutations(range(3), 2):
            assert moved[i] <= spread(point, nearest, i, j, 0) * (1 + 1e-5)
        once, twice = (jax.tree.map(lambda x, k=k: x[:, k], nearest) for k in (0, 1))
        for i in range(3):
            assert (
                spread(once, jax.tree.map(lambda x: x[:, None], twice), i, i, 0) < 1e-3 * moved[i]
            )


def spread(a: Any, b: Any, i: int, j: int, k: int) -> float:
    """The distance of the copies a[i] from b[j, k]."""
    pairs = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return float(np.sqrt(sum(np.sum(np.square(x[i] - y[j, k])) for x, y in pairs)))


def noisy(copies: Any, key: Any) -> Any:
    """Constants among the copies are no variables: where it is 0, a copy stays."""
    leaves, structure = jax.tree.flatten(copies)
    keys = jax.random.split(key, len(leaves))
    moved = [
        jnp.where(x == 0, 0, x + jax.random.normal(k, x.shape))
        for x, k in zip(leaves, keys, strict=True)
    ]
    return jax.tree.unflatten(structure, moved)


# Training.


@pytest.mark.parametrize("direction", DIRECTIONS[::4], ids=NAMES[::4])
def test_a_network_learns_exclusive_or_without_gradients(direction: Any) -> None:
    x = jnp.asarray([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    y = jnp.asarray([0, 1, 1, 0])
    keys = jax.random.split(KEY, 2)
    p = {
        "w": jax.random.normal(keys[0], (2, 8)),
        "b": jnp.zeros(8),
        "v": jax.random.normal(keys[1], (8, 2)) / 3,
    }
    objective = lambda p: margin_loss(jax.nn.relu(x @ p["w"] + p["b"]) @ p["v"], y)  # noqa: E731
    result = run(Projections(direction, sweeps=100), objective, p, KEY, steps=10)
    assert float(result.value) < 0.05 < float(objective(p))


def test_hidden_units_without_a_derivative_learn() -> None:
    """The sign of a sum has no useful derivative: a gradient is zero, projections go on."""
    rng = np.random.default_rng(0)
    x = jnp.asarray(rng.normal(size=(40, 2)), jnp.float32)
    y = (x[:, 0] * x[:, 1] > 0).astype(jnp.int32)
    signs = jnp.asarray([-1.0, 1.0])
    p = {name: jnp.asarray(rng.normal(size=s), jnp.float32) for name, s in
         {"w": (2, 16), "b": (16,), "v": (16, 2)}.items()}  # fmt: skip
    logits = lambda p: quantise(x @ p["w"] + p["b"], signs) @ p["v"]  # noqa: E731
    objective = lambda p: margin_loss(logits(p), y)  # noqa: E731
    assert not jax.grad(objective)(p)["w"].any()
    result = run(Projections(sweeps=100), objective, p, KEY, steps=20)
    moved = jnp.abs(result.p["w"] - p["w"]).max()
    accuracy = lambda p: float((logits(p).argmax(-1) == y).mean())  # noqa: E731
    assert moved > 0.1
    assert accuracy(result.p) >= 0.9 > accuracy(p)


def test_the_example_runs() -> None:
    before, after = runpy.run_path(str(EXAMPLE))["main"](steps=4)
    assert before < 0.3 and after > 0.6


def test_cross_entropy_is_lowered_and_the_step_follows_its_strength() -> None:
    w = jnp.asarray([[0.5, -0.5], [0.2, 0.1]])
    x = jnp.asarray([[1.0, 2.0], [3.0, -1.0], [0.5, 0.5]])
    search = Projections(sweeps=30)

    def value(strength: Any) -> Any:
        objective = lambda w: cross_entropy_loss(x @ w, LABELS, strength)  # noqa: E731
        return search.step(KEY, search.init(KEY, w, objective), objective)[0].value

    values = jax.jit(jax.vmap(value))(jnp.asarray([0.0, 0.1, 5.0]))
    assert float(values[0]) == pytest.approx(float(cross_entropy_loss(x @ w, LABELS)), rel=1e-4)
    assert values[0] > values[1] > values[2]


def test_the_best_is_kept_and_a_nan_is_told() -> None:
    search, objective = Projections(sweeps=5), lambda p: jnp.sum((p - 1.0) ** 2)
    result = run(search, objective, jnp.asarray([3.0, -1.0]), KEY, steps=30)
    np.testing.assert_allclose(result.p, 1, atol=0.05)
    assert int(result.info.status) == 0
    ill = run(search, objective, jnp.asarray([jnp.nan, 0.0]), KEY, steps=2)
    assert int(ill.info.status) == 1


def test_a_level_is_reached_and_no_more() -> None:
    objective = lambda p: jnp.sum(p**2)  # noqa: E731
    search = Projections(Cyclic(), sweeps=300, level=0.5)
    result = run(search, objective, jnp.asarray([1.0, 1.0]), KEY, steps=5)
    assert float(result.value) == pytest.approx(0.5, abs=0.02)


# Refusals.


@pytest.mark.parametrize(
    ("objective", "says"),
    [
        (lambda p: jnp.sum(jnp.tanh(p)), "no projection for tanh"),
        (lambda p: 2 * target_loss(p, jnp.ones(2)), "goes on after its goal"),
        (lambda p: target_loss(jnp.ones(2), p), "depend on the parameters"),
        (lambda p: jnp.float32(1), "does not depend on the parameters"),
        (lambda p: jnp.sum(p**3), "power 3"),
        (lambda p: jnp.sum(1 / p), "division"),
        (lambda p: margin_loss(p, jnp.asarray([0, 1])), "one integer label"),
    ],
)
def test_what_cannot_be_done_is_said(objective: Any, says: str) -> None:
    with pytest.raises(MethodError, match=says):
        run(Projections(sweeps=2), objective, jnp.ones(2), KEY, steps=1)


def test_settings_and_parameters_are_checked() -> None:
    with pytest.raises(MethodError, match="sweeps"):
        Projections(sweeps=0)
    with pytest.raises(MethodError, match="int32"):
        run(Projections(), lambda p: jnp.sum(p), jnp.ones(2, jnp.int32), KEY, steps=1)
