from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parafree.core.contracts import Job
from parafree.tune import Hyperband


def algorithm_1(big_r: int, eta: int, loss: Callable[[Job], float], sweeps: int) -> list[Job]:
    """Algorithm 1 of arXiv:1603.06560 line by line, with exact fractions instead of floats."""
    jobs, trials = [], 0
    s_max = max(s for s in range(40) if eta**s <= big_r)
    budget = (s_max + 1) * big_r
    for _ in range(sweeps):
        for s in reversed(range(s_max + 1)):
            n = math.ceil(Fraction(budget, big_r) * Fraction(eta**s, s + 1))
            r = Fraction(big_r, eta**s)
            alive = list(range(trials, trials + n))
            trials += n
            for i in range(s + 1):
                n_i = n // eta**i
                r_i = r * eta**i
                assert len(alive) <= n_i  # fewer only where trials diverge
                jobs += [Job(trial, int(r_i)) for trial in alive]
                losses = {trial: loss(Job(trial, int(r_i))) for trial in alive}
                finite = [trial for trial in alive if math.isfinite(losses[trial])]
                ranked = sorted(finite, key=lambda trial: (losses[trial], trial))
                alive = ranked[: len(alive) // eta]
    return jobs


@pytest.mark.parametrize(("big_r", "eta"), [(27, 3), (81, 3), (16, 2), (64, 4), (1, 3), (3, 3)])
@pytest.mark.parametrize("diverge", [0.0, 0.2])
def test_reference_algorithm_1_decides_the_same(
    drive: Any, hashed_loss: Any, big_r: int, eta: int, diverge: float
) -> None:
    loss = hashed_loss(5, diverge)
    hyperband = Hyperband(big_r, eta=eta, sweeps=2)
    state, log = drive(hyperband, loss, jobs=10**6)
    assert [job for kind, job in log if kind == "ask"] == algorithm_1(big_r, eta, loss, sweeps=2)
    assert hyperband.done(state)


@settings(deadline=None, max_examples=25)
@given(workers=st.integers(2, 40), seed=st.integers(0, 10**6), diverge=st.sampled_from([0.0, 0.2]))
def test_any_number_of_workers_decides_the_same(
    drive: Any, hashed_loss: Any, workers: int, seed: int, diverge: float
) -> None:
    loss = hashed_loss(seed, diverge)
    _, log = drive(Hyperband(27, sweeps=2), loss, jobs=10**6, workers=workers, seed=seed)
    asked = [job for kind, job in log if kind == "ask"]
    assert sorted(asked) == sorted(algorithm_1(27, 3, loss, sweeps=2))


def test_published_figures_of_table_1(drive: Any, hashed_loss: Any) -> None:
    """R = 81, eta = 3. Where table 1 and algorithm 1 of the paper disagree, the algorithm holds."""
    _, log = drive(Hyperband(81, sweeps=1), hashed_loss(), jobs=10**6)
    asked = [job for kind, job in log if kind == "ask"]
    first = dict(reversed(asked))
    rungs = {
        s: [count for _, count in sorted(Counter(u for t, u in asked if first[t] == r).items())]
        for s, r in zip((4, 3, 2, 1, 0), (1, 3, 9, 27, 81), strict=True)
    }
    assert rungs[4] == [81, 27, 9, 3, 1]  # as printed in table 1
    assert rungs[0] == [5]  # as printed in table 1
    assert rungs[3] == [34, 11, 3, 1]  # table 1: 27, 9, 3, 1
    assert rungs[2] == [15, 5, 1]  # table 1: 9, 3, 1
    assert rungs[1] == [8, 2]  # table 1: 6, 2


def test_a_bracket_never_costs_more_than_its_share(drive: Any, hashed_loss: Any) -> None:
    """B = (s_max + 1) R for each bracket, give or take the rounding up of n by one trial."""
    for big_r, eta in [(81, 3), (64, 2), (256, 4)]:
        _, log = drive(Hyperband(big_r, eta=eta, sweeps=1), hashed_loss(), jobs=10**6)
        asked = [job for kind, job in log if kind == "ask"]
        first = dict(reversed(asked))
        s_max = round(math.log(big_r, eta))
        for s in range(s_max + 1):
            r = big_r // eta**s
            cost = sum(units for trial, units in asked if first[trial] == r)
            assert cost <= (s_max + 1) * big_r + (s + 1) * r


def test_while_a_rung_waits_the_next_bracket_starts() -> None:
    hyperband = Hyperband(9)
    state = hyperband.init()
    jobs = [hyperband.ask(state) for _ in range(100)]
    assert None not in jobs
    assert [job.units for job in jobs[:17]] == [1] * 9 + [3] * 5 + [9] * 3


def test_past_brackets_are_forgotten(drive: Any, hashed_loss: Any) -> None:
    state, _ = drive(Hyperband(9), hashed_loss(), jobs=5000)
    assert len(state.brackets) <= 1
    assert not state.home


def test_units_are_multiples_of_the_smallest(drive: Any, hashed_loss: Any) -> None:
    _, log = drive(Hyperband(100, min_units=5), hashed_loss(), jobs=500)
    assert {job.units for _, job in log} == {5, 15, 45}


def test_243_has_six_brackets_though_its_logarithm_says_five(drive: Any, hashed_loss: Any) -> None:
    _, log = drive(Hyperband(243, sweeps=1), hashed_loss(), jobs=243)
    assert {job.units for _, job in log} == {1}
