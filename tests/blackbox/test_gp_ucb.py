"""GP-UCB: scikit-learn's bounds, whose minimum is looked for on a grid."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern

from parafree.blackbox import GPUCB, Region


def wave(x: Any) -> Any:
    return jnp.sin(3 * x[..., 0]) + 0.3 * x[..., 0]


def after(method: GPUCB, turns: int) -> Any:
    turn = jax.jit(lambda key, state: _turn(method, key, state))
    state = method.init(jax.random.key(0), Region(jnp.zeros(1), low=-2.0, high=2.0))
    for i in range(turns):
        state = turn(jax.random.key(i), state)
    return state


def _turn(method: GPUCB, key: Any, state: Any) -> Any:
    candidates, state = method.ask(key, state)
    return method.tell(key, state, candidates, wave(candidates))[0]


@pytest.mark.parametrize("turns", [5, 9])
def test_reference_lowest_bound_on_a_grid_by_scikit_learn(turns: int, double: Any) -> None:
    method = GPUCB(points=12, first=4, steps=10)
    state = after(method, turns)
    x = np.asarray(state.record.x)[:turns]
    y = np.sin(3 * x[:, 0]) + 0.3 * x[:, 0]
    lengths, amplitude, noise = (np.exp(np.asarray(each)) for each in state.hyper)
    kernel = ConstantKernel(amplitude) * Matern(lengths, nu=2.5)
    peer = GaussianProcessRegressor(kernel, alpha=noise, optimizer=None)
    peer.fit(x, (y - y.mean()) / y.std())

    def bound(points: np.ndarray) -> np.ndarray:
        mean, deviation = peer.predict(points, return_std=True)
        return mean - np.sqrt(0.2 * np.log(2 * turns)) * deviation

    lowest = bound(np.linspace(-2, 2, 4001)[:, None]).min()
    asked = np.asarray(method.ask(jax.random.key(99), state)[0])
    assert bound(asked)[0] <= lowest + 1e-3 * abs(lowest)


def test_points_of_one_batch_differ() -> None:
    method = GPUCB(points=20, first=4, steps=4, population=4)
    state = after(method, 3)
    asked = np.sort(np.asarray(method.ask(jax.random.key(99), state)[0])[:, 0])
    assert (np.diff(asked) > 1e-3).all()
