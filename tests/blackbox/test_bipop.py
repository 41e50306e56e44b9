"""BIPOP: the paper's rules for populations and budgets, run for run."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from parafree import run
from parafree.blackbox import BIPOP, CMAES, Limits, Region


def bumps(x: Any) -> Any:
    """Rastrigin's function: one minimum in each unit cell."""
    return jnp.sum(x**2 + 10 * (1 - jnp.cos(2 * jnp.pi * x)))


def test_reference_the_rules_of_the_paper_run_for_run() -> None:
    """Populations and budgets of all runs, from the batches alone, against the rules."""
    batch = 6
    method = BIPOP(CMAES(population=batch, limits=Limits(step=1e-2)), doublings=5)
    keep = lambda state, info: (state.inner.run, info.inner.restarts)  # noqa: E731
    start = Region(jnp.zeros(2), low=-5.0, high=5.0)
    runs, restarts = run(method, bumps, start, jax.random.key(0), steps=1500, record=keep).history
    runs, restarts = jax.tree.map(np.asarray, (runs, restarts))
    begins = np.flatnonzero(np.diff(restarts)) + 1  # the batch that ended a run planned the next
    assert len(begins) > 10
    spent = {True: 0, False: 0}
    small, large, last, before = False, batch, 0, -1
    for begin in begins:
        calls = (begin - before) * batch
        before = begin
        spent[small] += calls
        if not small:
            last = calls
        plan = jax.tree.map(lambda rows, begin=begin: rows[begin], runs)
        small = large > batch and spent[True] < spent[False]
        assert plan.small == small
        if small:
            assert plan.population <= batch * np.ceil(large / (2 * batch))
            assert 1e-2 <= plan.spread <= 1
            assert plan.allowed == last // 2
        else:
            large = min(2 * large, 32 * batch)
            assert plan.population == large
            assert plan.spread == 1


@pytest.mark.slow
def test_it_finds_the_optimum_behind_many_others() -> None:
    region = Region(jnp.full(4, 3.0), low=-5.0, high=5.0)
    result = run(BIPOP(), bumps, region, jax.random.key(1), steps=6000)
    assert result.value < 1e-6
