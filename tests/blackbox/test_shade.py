"""SHADE: a slow version in NumPy that is given the same random numbers."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import scipy.stats

from parafree.blackbox import SHADE


def test_reference_slow_version_in_numpy(turns: Any, valley: Any, double: Any) -> None:
    """Tanabe and Fukunaga 2013, algorithm 1, member by member."""
    n, d, h = 12, 3, 4
    m_f, m_cr, k = [0.5] * h, [0.5] * h, 0
    for t, turn in enumerate(turns(SHADE(population=n, memory=h), valley, jnp.zeros(d), 40)):
        crowd, after = turn.before.crowd, turn.after
        if t > 0:
            archive = turn.before.archive.x[: turn.before.archive.filled]
            order = np.argsort(crowd.values, kind="stable")
            good = []
            for i, u in enumerate(turn.u):
                r = int(u[d + 6] * h)
                below = scipy.stats.cauchy.cdf(0, m_f[r], 0.1)
                f = min(1, scipy.stats.cauchy.ppf(below + (1 - below) * u[d + 1], m_f[r], 0.1))
                cr = np.clip(scipy.stats.norm.ppf(u[d + 2], m_cr[r], 0.1), 0, 1)
                p = 2 / n + u[d + 7] * (max(0.2, 2 / n) - 2 / n)
                best = crowd.x[order[int(u[d + 3] * max(1, round(n * p)))]]
                left = [j for j in range(n) if j != i]
                one = left[int(u[d + 4] * len(left))]
                pool = [*crowd.x, *archive]
                left = [j for j in range(len(pool)) if j not in (i, one)]
                two = left[int(u[d + 5] * len(left))]
                mutant = crowd.x[i] + f * (best - crowd.x[i]) + f * (crowd.x[one] - pool[two])
                always = int(u[d] * d)
                want = [mutant[j] if u[j] < cr or j == always else crowd.x[i, j] for j in range(d)]
                np.testing.assert_allclose(turn.asked[i], want, rtol=1e-7, atol=1e-9)
                if turn.values[i] < crowd.values[i]:
                    good.append((f, cr, crowd.values[i] - turn.values[i]))
            if good:
                f, cr, gain = map(np.array, zip(*good, strict=True))
                w = gain / gain.sum()
                m_f[k], m_cr[k] = sum(w * f**2) / sum(w * f), sum(w * cr)
                k = (k + 1) % h
        np.testing.assert_allclose(after.history.factor, m_f, rtol=1e-7)
        np.testing.assert_allclose(after.history.share, m_cr, rtol=1e-7)
