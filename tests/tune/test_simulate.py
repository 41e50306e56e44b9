from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from parafree.core.errors import MethodError
from parafree.tune import ASHA, Deepening, Hyperband, RandomSearch, SuccessiveHalving
from parafree.tune._simulate import Evaluation, simulate


def curves(trials: int, units: int, seed: int = 0) -> np.ndarray:
    draw = np.random.default_rng(seed)
    floor, slope = draw.random((2, trials, 1))
    return floor + slope / np.arange(1, units + 1) ** 0.5


def test_random_search_costs_what_the_table_says() -> None:
    table = curves(10, 7)
    trace = simulate(RandomSearch(7), table, budget=50)
    assert [e.trial for e in trace.evaluations] == list(range(7))
    assert trace.used.tolist() == [7 * (i + 1) for i in range(7)]
    assert trace.best.tolist() == [table[: i + 1, 6].min() for i in range(7)]
    assert trace.reason == "budget"


def test_a_promoted_trial_pays_for_what_it_has_not_had() -> None:
    halving, table = SuccessiveHalving(9, 1, 9), curves(9, 9)
    assert simulate(halving, table).used[-1] == 9 * 1 + 3 * 2 + 1 * 6
    assert simulate(halving, table, resume=False).used[-1] == 9 * 1 + 3 * 3 + 1 * 9
    assert simulate(halving, table).reason == "done"


def test_workers_share_the_time_but_not_the_bill() -> None:
    table = curves(200, 27)
    one, four = (simulate(Hyperband(27, sweeps=1), table, workers=w) for w in (1, 4))
    assert one.used[-1] == four.used[-1] == max(e.end for e in one.evaluations)
    assert {e[:3] for e in one.evaluations} == {e[:3] for e in four.evaluations}
    assert max(e.end for e in four.evaluations) >= four.used[-1] / 4


def test_asynchronous_workers_are_never_idle() -> None:
    trace = simulate(ASHA(1, 27), curves(500, 27), workers=8, budget=900)
    ends = sorted(e.end for e in trace.evaluations)
    last_start = max(e.begin for e in trace.evaluations)
    busy = sum(min(e.end, last_start) - min(e.begin, last_start) for e in trace.evaluations)
    assert busy == 8 * last_start
    assert ends == [e.end for e in trace.evaluations]


@pytest.mark.parametrize("scheduler", [Deepening(1), Hyperband(27), ASHA(1, 27)])
@pytest.mark.parametrize("workers", [1, 7])
def test_the_budget_is_never_exceeded(scheduler: Any, workers: int) -> None:
    for budget in (0, 1, 17, 400):
        trace = simulate(scheduler, curves(500, 400), workers, budget)
        assert (trace.used <= budget).all()
        assert trace.reason == "budget"


def test_diverged_trials_are_never_the_best() -> None:
    table = np.array([[np.nan], [np.inf], [-np.inf], [0.5], [0.7]])
    trace = simulate(RandomSearch(1), table)
    assert trace.best.tolist() == [np.inf, np.inf, np.inf, 0.5, 0.5]
    assert trace.reason == "table"


def test_an_evaluation_says_when_it_ran() -> None:
    trace = simulate(RandomSearch(2), np.array([[0.3, 0.2], [0.4, 0.1]]), workers=2)
    assert trace.evaluations == [Evaluation(0, 2, 0.2, 0.0, 2.0), Evaluation(1, 2, 0.1, 0.0, 2.0)]


def test_an_impossible_table_is_refused() -> None:
    with pytest.raises(MethodError, match=r"shape \(3,\)"):
        simulate(RandomSearch(1), np.zeros(3))
