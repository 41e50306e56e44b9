"""What a minimisation has found, what it did, and how far to trust it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from parafree.study._values import text_of
from parafree.study.history import Trial
from parafree.study.study import Study

if TYPE_CHECKING:
    from parafree.study._compiled import Compiled
    from parafree.study._search import Search


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
        """
        return self._facts.best

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
        runs = _count(1 + facts.restarts, "run")
        lines = [f"{facts.method}, {facts.place}: {runs}, stopped by {self.reason}"]
        if facts.restarts:
            named = Counter({name.lower().replace("_", " "): n for name, n in facts.ends.items()})
            why = ", ".join(f"{number} of {name}" for name, number in named.most_common())
            same = _count(1 + self.found_again, "run")
            lines.append(f"{same} came to the best value; ends: {why}")
        else:
            lines.append("no run has ended, so a lower value may well be near")
        if self.noise:
            lines.append(
                f"noise of {self.noise:.3g} in a single value; the best is a mean with "
                f"error {self.error:.2g}; the population grew to {facts.population}"
            )
        elif facts.asked_again:
            again = _count(facts.asked_again, "point")
            lines.append(f"no noise: {again} asked again gave the same value")
        if self.failures:
            lines.append(f"{_count(len(self.failures), 'evaluation')} without a finite value")
        return lines


def of_search(study: Study, search: Search) -> Minimum:
    """Return what a search in worker processes has found."""
    values = search.values
    key, workers = values.best(), (study.history.plan or {}).get("workers", 1)
    best = None
    if key is not None:
        told = set(values.told[key])
        trial = next(t for t in study.trials if t.loss in told and text_of(t.hparams) == key)
        best = replace(trial, loss=values.mean(key))
    facts = Facts(
        method=search.method,
        place=f"in {_count(workers, 'worker process')}",
        best=best,
        evaluations=len(study.trials),
        restarts=len(search.runs) - 1,
        bests=[run.best for run in search.runs],
        ends=Counter(run.ended for run in search.runs if run.ended),
        population=search.population,
        asked_again=values.asked_again,
        noise=values.noise,
        error=values.error(key) if key is not None and values.noisy else 0.0,
    )
    return Minimum(study, facts)


def of_compiled(study: Study, search: Compiled) -> Minimum:
    """Return what a search on the device has found."""
    trials = study.trials
    facts = Facts(
        method=search.name,
        place="compiled on the device",
        best=trials[-1] if trials and trials[-1].loss is not None else None,
        evaluations=search.evaluations,
        restarts=search.restarts,
        bests=search.bests,
        ends=search.ends,
        population=search.population,
    )
    return Minimum(study, facts)


def _count(number: int, thing: str) -> str:
    ending = "" if number == 1 else "es" if thing.endswith("s") else "s"
    return f"{number:,} {thing}{ending}"
