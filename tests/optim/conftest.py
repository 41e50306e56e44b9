"""What the tests of gradient methods share: gradients, and the official code on the same ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

SHAPES = {"bias": (7,), "kernel": (7, 5), "last": (5, 3), "scale": ()}


class Trajectories(NamedTuple):
    """Two runs on the same gradients."""

    parameters: float  # largest |ours - theirs| / |theirs| over steps, over all parameters at once
    travelled: float  # the same over the distance from the start, which is a harder test


def start(dtype: Any = np.float32) -> dict[str, np.ndarray]:
    draw = np.random.default_rng(1)
    return {name: draw.normal(size=shape).astype(dtype) for name, shape in SHAPES.items()}


def gradient(p: dict[str, np.ndarray], step: int, scale: float = 1.0) -> dict[str, np.ndarray]:
    """A noisy gradient of an ill-conditioned bowl around 3, the same for everybody at p."""
    draw = np.random.default_rng(100 + step)
    found = {}
    for i, (name, x) in enumerate(p.items()):
        noise = draw.normal(size=x.shape)
        found[name] = np.asarray(scale * ((i + 1) * (x - 3) + noise), x.dtype)
    return found


def descend(
    method: Any, gradients: Callable[[int, Any], Any], steps: int, p: Any = None
) -> tuple[list[Any], Any]:
    """Return the points after every step, and the last state."""
    p = jax.tree.map(jnp.asarray, start() if p is None else p)
    state, update, points = method.init(p), jax.jit(method.update), []
    for step in range(steps):
        updates, state = update(gradients(step, p), state, p)
        p = optax.apply_updates(p, updates)
        points.append(jax.tree.map(np.asarray, p))
    return points, state


def against_torch(
    method: Any,
    official: Callable[[list[Any]], Any],
    steps: int = 200,
    scale: float = 1.0,
    read: Callable[[Any, Any], Any] | None = None,
    after: Callable[[Any, dict[str, Any]], dict[str, Any]] | None = None,
) -> Trajectories:
    """Run a method and the official PyTorch code on gradients taken at the official points.

    `read(state, p)` says which of our points to compare (the point itself if not given), and
    `after(optimizer, parameters)` which of theirs.
    """
    torch = pytest.importorskip("torch", reason="PyTorch is not installed; extra: parity")
    theirs = {name: torch.nn.Parameter(torch.tensor(x)) for name, x in start().items()}
    optimizer = official(list(theirs.values()))
    ours = jax.tree.map(jnp.asarray, start())
    state, update = method.init(ours), jax.jit(method.update)
    worst = [0.0, 0.0]
    for step in range(steps):
        grads = gradient({k: v.detach().numpy() for k, v in theirs.items()}, step, scale)
        for name, p in theirs.items():
            p.grad = torch.tensor(grads[name])
        optimizer.step()
        updates, state = update(grads, state, ours)
        ours = optax.apply_updates(ours, updates)
        mine = flat(ours if read is None else read(state, ours))
        seen = theirs if after is None else after(optimizer, theirs)
        other = flat({k: v.detach().numpy() for k, v in seen.items()})
        gap = np.linalg.norm(mine - other)
        worst[0] = max(worst[0], gap / np.linalg.norm(other))
        worst[1] = max(worst[1], gap / np.linalg.norm(other - flat(start())))
    print(f"relative difference: {worst[0]:.1e} of the parameters, {worst[1]:.1e} of the way")
    return Trajectories(*worst)


def flat(tree: Any) -> np.ndarray:
    return np.concatenate([np.ravel(np.asarray(x, np.float64)) for x in jax.tree.leaves(tree)])


@pytest.fixture(name="start", scope="session")
def _start() -> Callable[..., Any]:
    return start


@pytest.fixture(name="gradient", scope="session")
def _gradient() -> Callable[..., Any]:
    return gradient


@pytest.fixture(name="descend", scope="session")
def _descend() -> Callable[..., Any]:
    return descend


@pytest.fixture(name="against_torch", scope="session")
def _against_torch() -> Callable[..., Any]:
    return against_torch
