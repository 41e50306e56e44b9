"""Fast CMA-ES: its update in NumPy, one candidate at a time, with the parameters of PyPop7."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from parafree import run
from parafree.blackbox import IPOP, FastCMAES


def slow(batches: Any, d: int, n: int) -> Any:
    """Li, Zhang, Lin and Zhen 2020, one candidate at a time; candidate i takes path i."""
    half = n // 2
    raw = np.log((n + 1) / 2) - np.log(np.arange(1, half + 1))
    w = raw / raw.sum()
    mass = 1 / np.sum(w**2)
    c, c_1 = 2 / (d + 5), 1 / (3 * np.sqrt(d) + 5)
    mean, sigma, p, s, previous = np.zeros(d), 1.0, np.zeros(d), 0.0, None
    paths = [np.zeros(d)] * n
    for t, batch in enumerate(batches):
        x = []
        for i, row in enumerate(batch.draws):
            y = row[:d]
            if t >= n:
                y = np.sqrt(1 - c_1) * y + np.sqrt(c_1) * row[d] * paths[i]
                y = np.sqrt(1 - c_1) * y + np.sqrt(c_1) * row[d + 1] * p
            x.append(mean + sigma * y)
        np.testing.assert_allclose(batch.x, np.array(x), rtol=1e-9, atol=1e-12)
        order = np.argsort(batch.values, kind="stable")[:half]
        new = sum(w[k] * x[i] for k, i in enumerate(order))
        p = (1 - c) * p + np.sqrt(c * (2 - c) * mass) * (new - mean) / sigma
        if t % d == 0:
            paths = [*paths[1:], p]
        current = list(batch.values[order])
        if previous is not None:
            both = np.argsort(np.array(previous + current), kind="stable")
            where = np.empty(2 * half)
            where[both] = np.arange(2 * half)
            q = sum(w[k] * (where[k] - where[half + k]) for k in range(half)) / half
            s = 0.7 * s + 0.3 * (q - 0.27)
            sigma *= np.exp(s)
        mean, previous = new, current
        yield mean, sigma, p, np.array(paths)


@pytest.mark.parametrize(("d", "n"), [(2, 6), (4, 10), (12, 8)])
def test_reference_paper_in_numpy(trace: Any, valley: Any, double: Any, d: int, n: int) -> None:
    batches = trace(FastCMAES(population=n), valley, jnp.zeros(d), 50)
    for batch, (mean, sigma, p, paths) in zip(batches, slow(batches, d, n), strict=True):
        np.testing.assert_allclose(batch.state.core.mean, mean, rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(batch.state.core.sigma, sigma, rtol=1e-8)
        np.testing.assert_allclose(batch.state.path, p, rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(batch.state.paths, paths, rtol=1e-7, atol=1e-9)


def test_the_deviation_is_that_of_many_candidates(trace: Any, valley: Any, double: Any) -> None:
    """Of any normal numbers in place of those that go through the paths in turn, too."""
    method = FastCMAES(population=6)
    state = jax.tree.map(jnp.asarray, trace(method, valley, jnp.zeros(3), 40)[-1].state)
    draws = jnp.asarray(np.random.default_rng(0).normal(size=(400_000, 6)))
    x = np.asarray(method.place(state, draws))
    np.testing.assert_allclose(x.std(axis=0), method.deviation(state), rtol=0.01)
    np.testing.assert_allclose(x.mean(axis=0), state.core.mean, atol=0.01 * state.core.sigma)


@pytest.mark.parametrize("memory", [1, 3, 20])
def test_paths_need_not_be_as_many_as_candidates(memory: int) -> None:
    method = IPOP(FastCMAES(population=6, memory=memory))
    result = run(method, lambda x: jnp.sum(x**2) + 1, jnp.ones(3), jax.random.key(0), steps=400)
    assert result.value < 1 + 1e-5
    assert int(result.state.inner.run.population) > 6
