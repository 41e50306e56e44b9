from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parafree.core.contracts import Job
from parafree.core.errors import MethodError
from parafree.tune import SuccessiveHalving


def halve_in_a_loop(n: int, r: int, big_r: int, eta: int, loss: Any) -> list[Job]:
    """Successive halving as every textbook has it, one evaluation after the other."""
    jobs, alive, units = [], list(range(n)), r
    while True:
        jobs += [Job(trial, units) for trial in alive]
        ranked = sorted((loss(Job(trial, units)), trial) for trial in alive)
        finite = [trial for value, trial in ranked if math.isfinite(value)]
        alive, units = finite[: len(alive) // eta], units * eta
        if units > big_r or not alive:
            return jobs


@settings(deadline=None, max_examples=50)
@given(
    eta=st.integers(2, 4),
    top=st.integers(0, 3),
    extra=st.integers(0, 20),
    workers=st.integers(1, 9),
    diverge=st.sampled_from([0.0, 0.5, 1.0]),
    seed=st.integers(0, 10**6),
)
def test_reference_loop_decides_the_same(
    drive: Any,
    hashed_loss: Any,
    eta: int,
    top: int,
    extra: int,
    workers: int,
    diverge: float,
    seed: int,
) -> None:
    n, big_r = eta**top + extra, 2 * eta**top
    halving, loss = SuccessiveHalving(n, 2, big_r, eta), hashed_loss(seed, diverge)
    without_nan = lambda job: value if math.isfinite(value := loss(job)) else math.inf  # noqa: E731
    state, log = drive(halving, loss, jobs=10**6, workers=workers, seed=seed)
    asked = [job for kind, job in log if kind == "ask"]
    assert asked == halve_in_a_loop(n, 2, big_r, eta, without_nan)
    assert halving.done(state)


def test_it_waits_while_a_rung_is_not_full() -> None:
    halving = SuccessiveHalving(3, 1, 3)
    state = halving.init()
    jobs = [halving.ask(state) for _ in range(3)]
    assert halving.ask(state) is None
    assert not halving.done(state)
    for job in jobs:
        halving.tell(state, job, float(job.trial))
    assert halving.ask(state) == Job(0, 3)


def test_too_few_trials_to_reach_the_top_are_refused() -> None:
    with pytest.raises(MethodError, match="none can reach 27 units"):
        SuccessiveHalving(trials=26, min_units=1, max_units=27)
