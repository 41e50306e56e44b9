from __future__ import annotations

from typing import Any

from parafree.core.contracts import Job
from parafree.tune import RandomSearch


def test_reference_trial_i_is_the_ith_job_and_is_trained_in_full(drive: Any) -> None:
    _, log = drive(RandomSearch(9), lambda job: 0.0, jobs=50, workers=4)
    asked = [job for kind, job in log if kind == "ask"]
    assert asked == [Job(trial, 9) for trial in range(50)]


def test_its_first_comparison_is_its_last() -> None:
    search = RandomSearch(9)
    assert search.min_units == 9
    assert not search.done(search.init())
