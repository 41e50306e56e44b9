from __future__ import annotations

import math
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from parafree.core.contracts import Job
from parafree.tune import Deepening


class SlowDeepening:
    """The rule of the docstring on plain lists, every choice searched for anew."""

    def __init__(self, min_units: int, eta: int) -> None:
        self.min_units, self.eta = min_units, eta
        self.bracket_of: list[int] = []
        self.had: list[int] = []  # units asked for, per trial
        self.told: list[tuple[int, int, float]] = []  # trial, units, loss
        self.promoted: set[tuple[int, int]] = set()  # trial, units that it was promoted from
        self.deepest = 0  # level of the deepest rung

    def units(self, level: int) -> int:
        return self.min_units * self.eta**level

    def spent(self, s: int) -> int:
        return sum(had for trial, had in enumerate(self.had) if self.bracket_of[trial] == s)

    def promotable(self, s: int, level: int) -> int | None:
        rung = [
            (loss, trial)
            for trial, units, loss in self.told
            if self.bracket_of[trial] == s and units == self.units(level)
        ]
        ranked = sorted(entry for entry in rung if math.isfinite(entry[0]))
        for _, trial in ranked[: len(rung) // self.eta]:
            if (trial, self.units(level)) not in self.promoted:
                return trial
        return None

    def ask(self) -> Job:
        brackets = sorted(range(self.deepest + 1), key=lambda s: (self.spent(s), s))
        for level in reversed(range(self.deepest + 1)):
            for s in brackets:
                trial = self.promotable(s, level)
                if trial is not None:
                    self.promoted.add((trial, self.units(level)))
                    self.had[trial] = self.units(level + 1)
                    self.deepest = max(self.deepest, level + 1)
                    return Job(trial, self.had[trial])
        self.bracket_of.append(brackets[0])
        self.had.append(self.units(brackets[0]))
        return Job(len(self.had) - 1, self.had[-1])


@settings(deadline=None, max_examples=30)
@given(
    eta=st.integers(2, 4),
    min_units=st.integers(1, 3),
    workers=st.integers(1, 9),
    seed=st.integers(0, 10**6),
    diverge=st.sampled_from([0.0, 0.3]),
)
def test_reference_slow_version_decides_the_same(
    drive: Any,
    hashed_loss: Any,
    eta: int,
    min_units: int,
    workers: int,
    seed: int,
    diverge: float,
) -> None:
    loss = hashed_loss(seed, diverge)
    _, log = drive(Deepening(min_units, eta), loss, jobs=120, workers=workers, seed=seed)
    slow = SlowDeepening(min_units, eta)
    for kind, job in log:
        if kind == "ask":
            assert slow.ask() == job
        else:
            slow.told.append((*job, loss(job)))


def test_brackets_share_the_resource_equally(drive: Any, hashed_loss: Any) -> None:
    state, log = drive(Deepening(1), hashed_loss(), jobs=20_000, workers=16)
    deepest = max(job.units for _, job in log)
    assert deepest == state.brackets[-1].base
    assert max(state.spent) - min(state.spent) <= 3 * deepest


def test_it_never_waits_however_many_workers_ask() -> None:
    deepening = Deepening(2)
    state = deepening.init()
    jobs = [deepening.ask(state) for _ in range(1000)]
    assert jobs == [Job(trial, 2) for trial in range(1000)]  # nothing told: all on the first rung


def test_the_longest_trial_has_a_fair_share_of_everything(drive: Any, hashed_loss: Any) -> None:
    # A bracket deepens once it has eta trials at the bottom of the deepest: eta * R for each.
    _, log = drive(Deepening(1), hashed_loss(), jobs=3000)
    asked = [job for kind, job in log if kind == "ask"]
    had: dict[int, int] = {}
    for trial, units in asked:
        had[trial] = units
    longest, everything = max(had.values()), sum(had.values())
    levels = 1 + round(math.log(longest, 3))
    assert everything / (3 * 3 * levels) <= longest <= everything / levels
