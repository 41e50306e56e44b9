"""JADE: a slow version in NumPy that is given the same random numbers, and laws of its draws."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from parafree.blackbox import JADE
from parafree.blackbox._differential import Archive, _scale_factors, keep, others


def slow_candidate(u: Any, i: int, x: Any, values: Any, archive: Any, f: float, cr: float,
                   top: int) -> Any:  # fmt: skip
    """Zhang and Sanderson 2009, (4) and (7), for one member."""
    n, d = x.shape
    best = x[np.argsort(values, kind="stable")[int(u[d + 3] * top)]]
    left = [j for j in range(n) if j != i]
    one = left[int(u[d + 4] * len(left))]
    pool = [*x, *archive]
    left = [j for j in range(len(pool)) if j not in (i, one)]
    two = left[int(u[d + 5] * len(left))]
    mutant = x[i] + f * (best - x[i]) + f * (x[one] - pool[two])
    always = int(u[d] * d)
    return [mutant[j] if u[j] < cr or j == always else x[i, j] for j in range(d)]


def test_reference_slow_version_in_numpy(turns: Any, valley: Any, double: Any) -> None:
    n, d, c = 12, 3, 0.2
    factor, share = 0.5, 0.5
    for t, turn in enumerate(turns(JADE(population=n, top=0.25, memory=c), valley,
                                   jnp.zeros(d), 30)):  # fmt: skip
        before, after = turn.before, turn.after
        crowd = before.crowd
        if t > 0:
            below = scipy.stats.cauchy.cdf(0, factor, 0.1)
            f = scipy.stats.cauchy.ppf(below + (1 - below) * turn.u[:, d + 1], factor, 0.1)
            f = np.minimum(f, 1)
            cr = np.clip(scipy.stats.norm.ppf(turn.u[:, d + 2], share, 0.1), 0, 1)
            archive = before.archive.x[: before.archive.filled]
            want = [slow_candidate(turn.u[i], i, crowd.x, crowd.values, archive, f[i], cr[i], 3)
                    for i in range(n)]  # fmt: skip
            np.testing.assert_allclose(turn.asked, want, rtol=1e-7, atol=1e-9)
            better = [i for i in range(n) if turn.values[i] < crowd.values[i]]
            good_f, good_cr = f[better], cr[better]
            if better:
                lehmer = sum(good_f**2) / sum(good_f)
                factor = (1 - c) * factor + c * lehmer
                share = (1 - c) * share + c * np.mean(good_cr)
            for i in range(n):
                kept = turn.asked[i] if turn.values[i] <= crowd.values[i] else crowd.x[i]
                np.testing.assert_array_equal(after.crowd.x[i], kept)
            new = {tuple(row) for row in after.archive.x[: after.archive.filled]}
            old = {tuple(row) for row in [*archive, *crowd.x[better]]}
            assert new <= old and len(new) == min(n, len(old))
        np.testing.assert_allclose(after.middle.factor, factor, rtol=1e-7)
        np.testing.assert_allclose(after.middle.share, share, rtol=1e-7)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([4, 9, 30]))
def test_law_partners_are_others_and_evenly_drawn(seed: int, n: int) -> None:
    u = jnp.asarray(np.random.default_rng(seed).uniform(size=(3, n)), jnp.float32)
    taken = [jnp.arange(n)]
    for row in u:
        taken.append(others(row, taken, n))
    for column in np.stack(taken).T:
        assert len(set(column.tolist())) == 4 and min(column) >= 0 and max(column) < n


def test_law_every_other_partner_is_as_likely() -> None:
    n = 6
    u = (jnp.arange(5000) + 0.5) / 5000
    drawn = others(u, [jnp.full(5000, 2), jnp.full(5000, 4)], n)
    counts = np.bincount(np.asarray(drawn), minlength=n)
    np.testing.assert_array_equal(counts[[0, 1, 3, 5]], 1250)


def test_law_scale_factors_follow_the_cauchy_distribution_above_zero() -> None:
    u = (jnp.arange(20_000) + 0.5) / 20_000
    drawn = np.asarray(_scale_factors(u, jnp.full(20_000, 0.3)))
    assert drawn.min() > 0 and drawn.max() == 1
    whole = scipy.stats.cauchy(0.3, 0.1)
    for x in (0.05, 0.2, 0.3, 0.5, 0.9):
        want = (whole.cdf(x) - whole.cdf(0)) / (1 - whole.cdf(0))
        assert abs(np.mean(drawn <= x) - want) < 1e-3


def test_law_a_full_archive_forgets_evenly() -> None:
    n = 5
    archive = Archive(jnp.arange(n)[:, None] * 1.0, jnp.int32(n))
    new = 100 + jnp.arange(n)[:, None] * 1.0
    lots = jax.random.uniform(jax.random.key(0), (4000, n, 2))
    rows = jax.vmap(lambda lot: keep(lot, archive, new, jnp.arange(n) < 3).x)(lots)
    counts = [int(np.sum(np.asarray(rows) == x)) for x in (0, 1, 2, 3, 4, 100, 101, 102)]
    assert sum(counts) == 4000 * n
    assert scipy.stats.chisquare(counts).pvalue > 1e-4
