"""LM-CMA: the paper's algorithms in NumPy."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from parafree import run
from parafree.blackbox import IPOP, LMCMA


def factor(z: Any, paths: Any, inverse: Any, b: Any, used: Any, a: float) -> Any:
    """Algorithm 3, over the paths that are used, from the oldest on."""
    x = z.copy()
    for j in used:
        x = a * x + b[j] * (inverse[j] @ z) * paths[j]
    return x


def slow(batches: Any, d: int, n: int, m: int) -> Any:
    """Loshchilov 2017, algorithm 7, one candidate at a time."""
    half = n // 2
    raw = np.log((n + 1) / 2) - np.log(np.arange(1, half + 1))
    w = raw / raw.sum()
    mass = 1 / np.sum(w**2)
    c_c, c_1, period = 0.5 / np.sqrt(d), 1 / (10 * np.log(d + 1)), max(1, int(np.log(d)))
    a, c = np.sqrt(1 - c_1), 1 / np.sqrt(1 - c_1)
    mean, sigma, p, s, previous = np.zeros(d), 1.0, np.zeros(d), 0.0, None
    paths, times = [], []
    inverse, b, shrink = [], [], []
    for t, batch in enumerate(batches):
        x = []
        for row in batch.draws:  # those of the first pair say tenfold of how many paths
            count = min(int(np.floor(4 * abs(row[d]))) + 1, len(paths))
            used = range(len(paths) - count, len(paths))
            x.append(mean + sigma * factor(row[:d], paths, inverse, b, used, a))
        np.testing.assert_allclose(batch.x, np.array(x), rtol=1e-8, atol=1e-11)
        order = np.argsort(batch.values, kind="stable")[:half]
        new = sum(w[k] * x[i] for k, i in enumerate(order))
        p = (1 - c_c) * p + np.sqrt(c_c * (2 - c_c) * mass) * (new - mean) / sigma
        if t % period == 0:
            if len(paths) == m:
                gaps = [times[i + 1] - times[i] - d for i in range(m - 1)]
                gone = 0 if min(gaps, default=0) >= 0 else int(np.argmin(gaps)) + 1
                del paths[gone], times[gone]
            paths, times = [*paths, p], [*times, t]
            inverse, b, shrink = [], [], []
            for i in range(len(paths)):
                v = paths[i]
                for j in range(i):
                    v = c * v - shrink[j] * (inverse[j] @ v) * inverse[j]
                square = v @ v
                root = np.sqrt(1 + c_1 / (1 - c_1) * square)
                inverse.append(v)
                b.append(a / square * (root - 1))
                shrink.append(c / square * (1 - 1 / root))
        if previous is not None:
            both = np.argsort(np.concatenate([previous, batch.values]), kind="stable")
            rank = np.empty(2 * n)
            rank[both] = np.arange(2 * n)
            z_psr = np.sum(rank[:n] - rank[n:]) / n**2 - 0.3
            s = 0.7 * s + 0.3 * z_psr
            sigma *= np.exp(s)
        mean, previous = new, batch.values
        yield mean, sigma, np.array(paths), np.array(inverse)


@pytest.mark.parametrize(("d", "n", "m"), [(3, 6, 4), (10, 9, 5), (30, 12, 1)])
def test_reference_paper_in_numpy(
    trace: Any, valley: Any, double: Any, d: int, n: int, m: int
) -> None:
    batches = trace(LMCMA(population=n, memory=m), valley, jnp.zeros(d), 40)
    for batch, (mean, sigma, paths, inverse) in zip(batches, slow(batches, d, n, m), strict=True):
        known = len(paths)
        np.testing.assert_allclose(batch.state.core.mean, mean, rtol=1e-7, atol=1e-10)
        np.testing.assert_allclose(batch.state.core.sigma, sigma, rtol=1e-7)
        np.testing.assert_allclose(batch.state.paths[-known:], paths, rtol=1e-6, atol=1e-9)
        np.testing.assert_allclose(batch.state.inverse[-known:], inverse, rtol=1e-6, atol=1e-9)
        assert not batch.state.paths[:-known].any()


def test_candidates_come_in_pairs_that_mirror_each_other(trace: Any, valley: Any) -> None:
    batches = trace(LMCMA(population=7), valley, jnp.zeros(5), 20)
    middle = np.zeros(5)
    for batch in batches:
        pairs = batch.x[:6].reshape(3, 2, 5).mean(axis=1)
        np.testing.assert_allclose(pairs, np.broadcast_to(middle, (3, 5)), atol=1e-5)
        middle = batch.state.core.mean


def test_all_paths_together_make_the_covariance_that_cma_es_would(trace: Any, double: Any) -> None:
    """(1 - c_1) C + c_1 p p^T, path after path; and the deviation is the root of its diagonal."""
    d = 6
    method = LMCMA(population=8, memory=5)
    state = jax.tree.map(jnp.asarray, trace(method, jnp.sum, jnp.zeros(d), 30)[-1].state)
    draws = jnp.concatenate([jnp.eye(d), jnp.full((d, 1), 99.0)], axis=1)  # all paths
    root = np.asarray(method.place(state, draws) - state.core.mean).T
    rate, covariance = 1 / (10 * np.log(d + 1)), np.eye(d)
    for p in np.asarray(state.paths):
        covariance = (1 - rate) * covariance + rate * np.outer(p, p)
    covariance *= float(state.core.sigma) ** 2
    np.testing.assert_allclose(root @ root.T, covariance, rtol=1e-9, atol=1e-300)
    np.testing.assert_allclose(method.deviation(state), np.sqrt(np.diag(covariance)), rtol=1e-9)


def test_a_generation_of_several_batches_is_learned_from() -> None:
    def objective(x: Any) -> Any:
        return jnp.sum(jnp.array([1.0, 100.0, 1.0, 1.0]) * x**2) + 1

    method = IPOP(LMCMA(population=6))
    result = run(method, objective, jnp.ones(4), jax.random.key(0), steps=500)
    assert int(result.state.inner.run.population) > 6
    assert result.value < 1 + 1e-5
