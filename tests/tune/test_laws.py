"""Laws that every scheduler keeps, whatever ends when and however it ends."""

from __future__ import annotations

import copy
import dataclasses
import math
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parafree.core.contracts import Job
from parafree.core.errors import MethodError
from parafree.tune import (
    ASHA,
    Deepening,
    Hyperband,
    IDHyperband,
    RandomSearch,
    SuccessiveHalving,
)

SCHEDULERS = [
    RandomSearch(8),
    SuccessiveHalving(30, 2, 54),
    Hyperband(27),
    Hyperband(64, min_units=2, eta=2, sweeps=2),
    ASHA(1),
    ASHA(2, 50, eta=4),
    Deepening(1),
    Deepening(3, eta=2),
    IDHyperband(3),
    IDHyperband(8, eta=2, variant="conservative"),
    IDHyperband(3, variant="discarding", deepenings=2),
]
ANY = st.sampled_from(SCHEDULERS)
WORKERS, SEEDS = st.integers(1, 40), st.integers(0, 10**6)
DIVERGE = st.sampled_from([0.0, 0.2, 1.0])
QUICK = settings(deadline=None, max_examples=60)


@QUICK
@given(scheduler=ANY, workers=WORKERS, seed=SEEDS, diverge=DIVERGE)
def test_jobs_are_new_grow_and_stay_within_the_maximum(
    drive: Any, hashed_loss: Any, scheduler: Any, workers: int, seed: int, diverge: float
) -> None:
    _, log = drive(scheduler, hashed_loss(seed, diverge), jobs=300, workers=workers, seed=seed)
    had: dict[int, int] = {}
    running: set[int] = set()
    bounded = not isinstance(scheduler, IDHyperband)
    maximum = getattr(scheduler, "max_units", None) if bounded else None
    for kind, job in log:
        if kind == "tell":
            running.remove(job.trial)
            continue
        assert job.trial <= len(had)  # a new trial has the next number
        assert job.trial not in running  # a trial has one job at a time
        assert job.units > had.get(job.trial, 0)  # so no (trial, units) is asked for twice
        assert job.units % scheduler.min_units == 0
        assert maximum is None or job.units <= maximum
        had[job.trial] = job.units
        running.add(job.trial)


@QUICK
@given(scheduler=ANY, workers=WORKERS, seed=SEEDS, diverge=DIVERGE)
def test_whoever_goes_on_is_finite_and_among_the_best_of_its_rung(
    drive: Any, hashed_loss: Any, scheduler: Any, workers: int, seed: int, diverge: float
) -> None:
    loss = hashed_loss(seed, diverge)
    _, log = drive(scheduler, loss, jobs=300, workers=workers, seed=seed)
    base: dict[int, int] = {}  # where a trial started: its bracket
    at: dict[int, int] = {}
    ended: dict[tuple[int, int], list[tuple[float, int]]] = {}  # (base, units) -> entries
    for kind, job in log:
        if kind == "tell":
            ended.setdefault((base[job.trial], job.units), []).append((loss(job), job.trial))
            continue
        if job.trial in at:
            before = at[job.trial]
            mine = loss(Job(job.trial, before))
            assert math.isfinite(mine)
            rung = ended[base[job.trial], before]
            better = sum(math.isfinite(value) and value < mine for value, _ in rung)
            # Trials of later sweeps share the rung in this test, and only add worse neighbours or
            # better ones that had not ended yet; within one ladder the rule is exact.
            if isinstance(scheduler, ASHA | Deepening):
                assert better < len(rung) // scheduler.eta
            elif isinstance(scheduler, SuccessiveHalving):
                assert better < scheduler.trials // scheduler.eta
        at[job.trial] = job.units
        base.setdefault(job.trial, job.units)


@QUICK
@given(scheduler=ANY, workers=WORKERS, seed=SEEDS, diverge=DIVERGE)
def test_a_replay_of_the_same_questions_and_answers_gives_the_same_state(
    drive: Any, hashed_loss: Any, scheduler: Any, workers: int, seed: int, diverge: float
) -> None:
    loss = hashed_loss(seed, diverge)
    state, log = drive(scheduler, loss, jobs=200, workers=workers, seed=seed)
    again = scheduler.init()
    half = None
    for i, (kind, job) in enumerate(log):
        if i == len(log) // 2:
            half = copy.deepcopy(again)
        if kind == "ask":
            assert scheduler.ask(again) == job
        else:
            scheduler.tell(again, job, loss(job))
    assert again == state
    assert half is None or half != state  # so equality is not blind


@QUICK
@given(scheduler=ANY, workers=WORKERS, seed=SEEDS)
def test_none_means_that_something_runs_or_that_all_is_done(
    hashed_loss: Any, scheduler: Any, workers: int, seed: int
) -> None:
    loss = hashed_loss(seed, 0.3)
    state, running = scheduler.init(), []
    for _ in range(300):
        job = scheduler.ask(state) if len(running) < workers else None
        if job is not None:
            assert not scheduler.done(state)
            running.append(job)
        elif running:
            ended = running.pop(0)
            scheduler.tell(state, ended, loss(ended))
        else:
            assert scheduler.done(state)
            assert scheduler.ask(state) is None


@QUICK
@given(scheduler=ANY, workers=WORKERS, seed=SEEDS)
def test_without_new_trials_it_only_goes_on_with_known_ones(
    hashed_loss: Any, scheduler: Any, workers: int, seed: int
) -> None:
    loss, order = hashed_loss(seed, 0.1), random.Random(seed)
    state, running, trials = scheduler.init(), [], 0
    for _ in range(300):
        if len(running) < workers:
            new = order.random() < 0.5
            before = None if new else copy.deepcopy(state)
            job = scheduler.ask(state, new=new)
            if job is not None:
                assert new or job.trial < trials
                trials = max(trials, job.trial + 1)
                running.append(job)
                continue
            assert new or state == before
        if running:
            ended = running.pop(order.randrange(len(running)))
            scheduler.tell(state, ended, loss(ended))


IMPOSSIBLE: list[tuple[Any, dict[str, Any], str]] = [
    (RandomSearch, {"max_units": 0}, "max_units is 0"),
    (RandomSearch, {"max_units": 2.5}, "max_units is 2.5"),
    (RandomSearch, {"max_units": True}, "max_units is True"),
    (SuccessiveHalving, {"trials": 0, "min_units": 1, "max_units": 1}, "trials is 0"),
    (SuccessiveHalving, {"trials": 9, "min_units": 9, "max_units": 1}, "more than max_units"),
    (SuccessiveHalving, {"trials": 9, "min_units": 1, "max_units": 9, "eta": 1}, "eta is 1"),
    (Hyperband, {"max_units": 9, "eta": 1}, "eta is 1"),
    (Hyperband, {"max_units": 9, "eta": math.nan}, "eta is nan"),
    (Hyperband, {"max_units": 9, "min_units": 10}, "more than max_units"),
    (Hyperband, {"max_units": 9, "sweeps": 0}, "sweeps is 0"),
    (ASHA, {"min_units": 0}, "min_units is 0"),
    (ASHA, {"min_units": 3, "max_units": 2}, "more than max_units"),
    (ASHA, {"eta": -3}, "eta is -3"),
    (Deepening, {"min_units": -1}, "min_units is -1"),
    (Deepening, {"eta": 1}, "eta is 1"),
    (IDHyperband, {"max_units": 9, "deepenings": -1}, "deepenings is -1"),
    (IDHyperband, {"max_units": 9, "min_units": 0}, "min_units is 0"),
]


@pytest.mark.parametrize(("method", "values", "words"), IMPOSSIBLE)
def test_impossible_settings_are_refused_with_a_fix(
    method: Any, values: dict[str, Any], words: str
) -> None:
    with pytest.raises(MethodError, match=words) as caught:
        method(**values)
    assert caught.value.where.startswith(method.__name__)
    assert caught.value.fix


@pytest.mark.parametrize("scheduler", [ASHA(), Deepening()])
def test_units_that_nobody_has_measured_are_refused(scheduler: Any) -> None:
    with pytest.raises(MethodError, match="not known yet"):
        scheduler.init()
    assert dataclasses.replace(scheduler, min_units=2).init()
