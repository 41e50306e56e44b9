"""What a minimisation has found, what it did, and how far to trust it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from parafree.study._findings import front, recommended, volume
from parafree.study._front_search import FrontSearch
from parafree.study._goals import PLAIN, Goals
from parafree.study.history import Trial
from parafree.study.study import Study

if TYPE_CHECKING:
    from parafree.study._compiled import Compiled
    from parafree.study._search import Search

_ON_DEVICE = "compiled on the device"
_ENDS = {  # by the name of their Status
    "OK": "their share of evaluations was spent",
    "NOT_FINITE": "no value was finite",
    "SMALL_STEPS": "steps were too small",
    "FLAT": "values did not differ",
    "STAGNATED": "values did not fall",
    "DIVERGED": "steps grew beyond all bounds, or were no numbers",
    "ILL_CONDITIONED": "the covariance was too narrow",
}


@dataclass(frozen=True)
class Facts:
    """What a search knows about itself, wherever it ran."""

    method: str
    place: str  # where the function was evaluated
    best: Trial | None
    evaluations: int
    restarts: int
    bests: Sequence[float]  # the best values of the runs
    ends: Mapping[str, int]  # why runs have ended, and how many
    population: int
    asked_again: int = 0
    noise: float | None = None
    error: float = 0.0
    goals: Goals = PLAIN
    noisy: bool = False  # with several objectives, of which none has a noise of its own here


class Minimum(Study):
    """A minimisation: a study whose trials are evaluations, or chunks of them on a device.

    Args:
        study: the study, as it was run.
        facts: what the search says about itself.
    """

    def __init__(self, study: Study, facts: Facts) -> None:
        super().__init__(study.store, study.name)
        self._history, self._facts = study._history, facts

    def __repr__(self) -> str:
        best = self.best
        found = "nothing found yet" if best is None else f"{best.loss:.6g} at {best.hparams}"
        return f"Minimum({self.name!r}: {self.evaluations} evaluations, {found})"

    @property
    def best(self) -> Trial | None:
        """The evaluation to recommend; ``None`` before any value was finite.

        Where there is noise its loss is the mean over the evaluations of its configuration, but
        for the first: that is the one for which it was picked, so luck has had a part in it.

        With several objectives it is the compromise of the front, whose largest loss against the
        best in any objective, as a share of the front's extent, is smallest. Where no evaluation
        kept all constraints it is the one that is least beyond them, and ``feasible`` is false.
        """
        return self._facts.best

    @property
    def feasible(self) -> bool:
        """Whether the best keeps all constraints; false before there is one."""
        best, goals = self.best, self._facts.goals
        if best is None or not goals.limits:
            return best is not None
        return goals.kept(goals.outcome(best.metrics))

    @cached_property
    def front(self) -> list[Trial]:
        """The evaluations that cannot be improved in one objective without loss in another one.

        Sorted by the first objective; all figures are in ``trial.metrics``. With one objective
        it is the best alone.
        """
        if not self._facts.goals.several:
            return [self.best] if self.best is not None and self.feasible else []
        return front(self.trials, self._facts.goals)

    def hypervolume(self, corner: Sequence[float] | None = None) -> float:
        """Return the volume that the front dominates, up to a corner.

        Args:
            corner: one number for each objective, in their order; by default a tenth of the
                front's extent beyond its ends.
        """
        return volume(self.front, self._facts.goals, corner)

    @property
    def error(self) -> float:
        """The standard error of the best value; 0 where there is no noise."""
        return self._facts.error

    @property
    def noise(self) -> float | None:
        """The standard deviation of a single value; ``None``: no configuration was asked again."""
        return self._facts.noise

    @property
    def evaluations(self) -> int:
        """How often the function was asked, or is being asked."""
        return self._facts.evaluations

    @property
    def reason(self) -> str:
        """Why the last call stopped: time, evaluations, target, interrupted, terminated, failed."""
        reason = self.sessions[-1].reason or "killed"
        return "evaluations" if reason == "trials" else reason

    @property
    def method(self) -> str:
        """The method that searched."""
        return self._facts.method

    @property
    def restarts(self) -> int:
        """How often the search began again elsewhere."""
        return self._facts.restarts

    @property
    def found_again(self) -> int:
        """How many other starts have come to the best value too, as far as noise lets tell."""
        runs = [value for value in self._facts.bests if math.isfinite(value)]
        if not runs:
            return 0
        best = min(runs)
        near = max(1e-6 * max(abs(best), max(runs) - best), self.noise or 0.0)
        return sum(each - best <= near for each in runs) - 1

    def explain(self) -> list[str]:
        """Say in a few lines what the search did, and how sure it is."""
        facts = self._facts
        if facts.goals.several:
            return _about_front(self, facts)
        runs = _count(1 + facts.restarts, "run")
        lines = [f"{facts.method}, {facts.place}: {runs}, stopped by {self.reason}"]
        if facts.restarts:
            why = ", ".join(f"{_ENDS[name]} ({n})" for name, n in Counter(facts.ends).most_common())
            same = _count(1 + self.found_again, "run")
            lines.append(f"{same} came to the best value; runs ended because {why}")
        else:
            lines.append("no run has ended, so a lower value may well be near")
        lines += _about_goals(self, facts.goals)
        if self.noise:
            lines.append(
                f"noise of {self.noise:.3g} in a single value; the best is a mean with "
                f"error {self.error:.2g}; populations have {facts.population} candidates by now"
            )
        elif facts.asked_again:
            again = _count(facts.asked_again, "point")
            lines.append(f"no noise: {again} asked again gave the same value")
        if self.failures:
            lines.append(f"{_count(len(self.failures), 'evaluation')} without a finite value")
        return lines


def _about_goals(found: Minimum, goals: Goals) -> list[str]:
    if not goals.limits:
        return []
    best = found.best
    if best is not None and not found.feasible:
        broken = "; ".join(goals.broken(best.metrics))
        return [f"no evaluation kept all constraints; the one nearest to them has: {broken}"]
    if found._facts.place != _ON_DEVICE:
        tried = [t for t in found.trials if goals.measured(t.metrics)]
        kept = sum(goals.kept(goals.outcome(t.metrics)) for t in tried)
        return [f"{kept:,} of {_count(len(tried), 'evaluation')} kept all constraints"]
    return []


def _about_front(found: Minimum, facts: Facts) -> list[str]:
    names = ", ".join(facts.goals.objectives)
    size = _count(len(found.front), "point")
    lines = [f"{facts.method}, {facts.place}, stopped by {found.reason}"]
    lines.append(f"{size} in the front of {names}; the best is a compromise among them")
    lines += _about_goals(found, facts.goals)
    if facts.noisy:
        lines.append("asked again, points gave something else: their figures are means")
    elif facts.asked_again:
        lines.append(f"no noise: {_count(facts.asked_again, 'point')} asked again gave the same")
    if found.failures:
        lines.append(f"{_count(len(found.failures), 'evaluation')} without finite values")
    return lines


def of_search(study: Study, search: Search | FrontSearch, goals: Goals = PLAIN) -> Minimum:
    """Return what a search in worker processes has found."""
    workers = (study.history.plan or {}).get("workers", 1)
    place = f"in {_count(workers, 'worker process')}"
    if isinstance(search, FrontSearch):
        return _of_front(study, search, goals, place)
    values = search.values
    key, best = values.best(), recommended(study, values)
    facts = Facts(
        method=search.method,
        place=place,
        best=best,
        evaluations=len(study.trials),
        restarts=len(search.runs) - 1,
        bests=[run.best for run in search.runs],
        ends=Counter(run.ended for run in search.runs if run.ended),
        population=search.population,
        asked_again=values.asked_again,
        noise=values.noise,
        error=values.error(key) if key is not None and values.noisy else 0.0,
        goals=goals,
    )
    return Minimum(study, facts)


def _of_front(study: Study, search: FrontSearch, goals: Goals, place: str) -> Minimum:
    facts = Facts(
        method=search.method,
        place=place,
        best=recommended(study),
        evaluations=len(study.trials),
        restarts=0,
        bests=[],
        ends={},
        population=len(search.points),
        asked_again=search.asked_again,
        noise=0.0 if search.asked_again and not search.noisy else None,
        noisy=search.noisy,
        goals=goals,
    )
    return Minimum(study, facts)


def of_compiled(study: Study, search: Compiled, goals: Goals = PLAIN) -> Minimum:
    """Return what a search on the device has found."""
    facts = Facts(
        method=search.name,
        place=_ON_DEVICE,
        best=recommended(study),
        evaluations=search.evaluations,
        restarts=search.restarts,
        bests=search.bests,
        ends=search.ends,
        population=search.population,
        goals=goals,
    )
    return Minimum(study, facts)


def _count(number: int, thing: str) -> str:
    ending = "" if number == 1 else "es" if thing.endswith("s") else "s"
    return f"{number:,} {thing}{ending}"
