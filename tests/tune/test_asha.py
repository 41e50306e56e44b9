from __future__ import annotations

import math
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from parafree.core.contracts import Job
from parafree.tune import ASHA


class SlowASHA:
    """Algorithm 2 of arXiv:1810.05934 (s = 0): lists, sorted anew at every question."""

    def __init__(self, r: int, big_r: int | None, eta: int) -> None:
        self.r, self.big_r, self.eta = r, big_r, eta
        self.results: list[list[tuple[float, int]]] = [[] for _ in range(30)]
        self.promoted: list[set[int]] = [set() for _ in range(30)]
        self.trials = 0

    def get_job(self) -> Job:
        for k in reversed(range(30)):
            if self.big_r is not None and self.r * self.eta ** (k + 1) > self.big_r:
                continue  # rung k is the top one
            rung = self.results[k]
            ranked = sorted(entry for entry in rung if math.isfinite(entry[0]))
            candidates = [trial for _, trial in ranked[: len(rung) // self.eta]]
            promotable = [trial for trial in candidates if trial not in self.promoted[k]]
            if promotable:
                self.promoted[k].add(promotable[0])
                return Job(promotable[0], self.r * self.eta ** (k + 1))
        self.trials += 1
        return Job(self.trials - 1, self.r)

    def tell(self, job: Job, loss: float) -> None:
        k = 0
        while self.r * self.eta**k < job.units:
            k += 1
        self.results[k].append((loss, job.trial))


@settings(deadline=None, max_examples=60)
@given(
    eta=st.integers(2, 4),
    min_units=st.integers(1, 3),
    ratio=st.one_of(st.none(), st.integers(1, 40)),
    workers=st.integers(1, 9),
    seed=st.integers(0, 10**6),
    diverge=st.sampled_from([0.0, 0.3]),
)
def test_reference_algorithm_2_decides_the_same(
    drive: Any,
    hashed_loss: Any,
    eta: int,
    min_units: int,
    ratio: int | None,
    workers: int,
    seed: int,
    diverge: float,
) -> None:
    max_units = None if ratio is None else ratio * min_units
    loss = hashed_loss(seed, diverge)
    _, log = drive(ASHA(min_units, max_units, eta), loss, jobs=150, workers=workers, seed=seed)
    slow = SlowASHA(min_units, max_units, eta)
    for kind, job in log:
        if kind == "ask":
            assert slow.get_job() == job
        else:
            slow.tell(job, loss(job))


def test_without_a_top_it_climbs_as_far_as_trials_carry_it(drive: Any) -> None:
    _, log = drive(ASHA(1), lambda job: float(job.trial), jobs=(3**6 - 1) // 2)
    assert max(job.units for _, job in log) == 3**5  # 3**5 trials, the best of which went up 5


def test_the_top_is_exact_where_a_logarithm_is_not(drive: Any) -> None:
    assert math.floor(math.log(243, 3)) == 4  # it should be 5
    _, log = drive(ASHA(1, 243), lambda job: float(job.trial), jobs=2000)
    assert max(job.units for _, job in log) == 243
