"""Fast evolutionary programming: a slow version in NumPy that is given the same random numbers."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import scipy.stats

from parafree.blackbox import FastProgramming


def test_reference_slow_version_in_numpy(turns: Any, valley: Any, double: Any) -> None:
    """Yao, Liu and Lin 1999, section II: mutation (5), then a tournament of all 2 n."""
    n, d, q = 10, 3, 4
    for turn in turns(FastProgramming(population=n, opponents=q), valley, jnp.zeros(d), 25)[1:]:
        before, after = turn.before, turn.after
        x, eta = before.crowd.x, before.steps
        new_eta = np.empty_like(eta)
        for i in range(n):
            common = scipy.stats.norm.ppf(turn.u[i, d]) / np.sqrt(2 * d)
            for j in range(d):
                own = scipy.stats.norm.ppf(turn.u[i, d + 1 + j]) / np.sqrt(2 * np.sqrt(d))
                new_eta[i, j] = eta[i, j] * np.exp(common + own)
        want = x + eta * scipy.stats.cauchy.ppf(turn.u[:, :d])
        np.testing.assert_allclose(turn.asked, want, rtol=1e-6, atol=1e-9)
        both = [*before.crowd.values, *turn.values]
        points, steps = [*x, *turn.asked], [*eta, *new_eta]
        against = (turn.u[:, 2 * d + 1 :].reshape(2 * n, q) * 2 * n).astype(int)
        wins = [sum(both[i] <= both[j] for j in against[i]) for i in range(2 * n)]
        kept = sorted(range(2 * n), key=lambda i: (-wins[i], both[i]))[:n]
        np.testing.assert_array_equal(after.crowd.x, [points[i] for i in kept])
        np.testing.assert_allclose(after.steps, [steps[i] for i in kept], rtol=1e-6)
