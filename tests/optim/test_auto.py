from __future__ import annotations

import importlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from parafree import optim


def slow_auto(
    p: Any, grads: list[Any], power: float, beta: float, decay: float
) -> tuple[list[Any], Any, list]:
    """All sequences kept, in float64; the average is a plain weighted mean of every z."""
    d, b2, warmup = 1e-2, 0.99, 50
    b3 = np.sqrt(b2)
    start = {k: np.asarray(v, np.float64) for k, v in p.items()}
    z = dict(start)
    v = {k: np.zeros_like(a) for k, a in z.items()}
    s, r = dict(v), 0.0
    points, steps, weights, distances = [start], [], [], []
    for t, g in enumerate(grads):
        g = {k: np.asarray(x, np.float64) for k, x in g.items()}
        v = {k: b2 * v[k] + (1 - b2) * d**2 * g[k] ** 2 for k in v}
        r = b3 * r + (1 - b3) * d**2 * sum((g[k] * (start[k] - z[k])).sum() for k in g)
        s = {k: b3 * s[k] + (1 - b3) * d**2 * g[k] for k in s}
        rate = d * min((t + 1) / warmup, 1)
        u = {k: d * g[k] / (np.sqrt(v[k]) + d * 1e-12) for k in z}
        z = {k: z[k] - rate * u[k] - rate * decay * points[-1][k] for k in z}
        steps.append(z)
        weights.append(rate**2 * (t + 1) ** power)
        x = {
            k: sum(w * each[k] for w, each in zip(weights, steps, strict=True)) / sum(weights)
            for k in z
        }
        points.append({k: beta * x[k] + (1 - beta) * z[k] for k in z})
        distances.append(d)
        d = max(d, r / sum(np.abs(each).sum() for each in s.values()))
    return points, x, distances


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_reference_slow_version(start: Any, gradient: Any, descend: Any, decay: float) -> None:
    file = importlib.import_module("parafree.optim.auto")
    grads: list[Any] = []

    def seen(t: int, p: Any) -> Any:
        grads.append(gradient({k: np.asarray(v) for k, v in p.items()}, t))
        return grads[-1]

    with jax.enable_x64(True):
        ours, state = descend(optim.auto(weight_decay=decay), seen, 120, start(np.float64))
        found = optim.eval_params(state, ours[-1])
    points, x, distances = slow_auto(start(np.float64), grads, file._POWER, file._BETA, decay)
    assert distances[-1] > 10 * distances[0]  # or its growth was not tested
    np.testing.assert_allclose(state.diagnosis.rate, distances[-1], rtol=1e-6)
    for name in x:
        np.testing.assert_allclose(ours[-1][name], points[-1][name], rtol=1e-9)
        np.testing.assert_allclose(found[name], x[name], rtol=1e-9)


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_the_scale_of_the_loss_does_not_matter(gradient: Any, descend: Any, scale: float) -> None:
    plain = lambda t, p: gradient({k: np.asarray(v) for k, v in p.items()}, t)  # noqa: E731
    scaled = lambda t, p: gradient({k: np.asarray(v) for k, v in p.items()}, t, scale)  # noqa: E731
    ours, _ = descend(optim.auto(), plain, 60)
    other, _ = descend(optim.auto(), scaled, 60)
    for name, x in ours[-1].items():
        np.testing.assert_allclose(other[-1][name], x, rtol=1e-2, atol=1e-2)


def train(p: Any, steps: int) -> tuple[Any, Any]:
    """Descend a bowl around 3 along its exact gradient."""
    method = optim.auto()

    def step(carry: Any, _: Any) -> Any:
        p, state = carry
        updates, state = method.update(2 * (p - 3), state, p)
        return (p + updates, state), None

    return jax.lax.scan(step, (p, method.init(p)), length=steps)[0]


@pytest.mark.parametrize("distance", [0.1, 10.0, 1e4])
def test_the_estimate_comes_near_the_distance(distance: float) -> None:
    p, state = jax.jit(train, static_argnums=1)(jnp.full(4, 3 + distance), 400)
    assert 0.1 * distance < state.diagnosis.rate <= 1.01 * distance + 1e-2
    assert abs(optim.eval_params(state, p) - 3).max() < 0.1 * distance
