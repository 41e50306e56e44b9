"""What a minimisation has found, what it did, and how far to trust it."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from parafree.study._values import text_of
from parafree.study.history import Trial
from parafree.study.study import Study

if TYPE_CHECKING:
    from parafree.study._search import Search


class Minimum(Study):
    """A minimisation: a study whose trials are evaluations.

    Args:
        study: the study, as ``parafree.minimize`` has run it.
    """

    def __init__(self, study: Study) -> None:
        super().__init__(study.store, study.name)
        self._history, self._fold = study._history, study._fold

    def __repr__(self) -> str:
        best = self.best
        found = "nothing found yet" if best is None else f"{best.loss:.6g} at {best.hparams}"
        return f"Minimum({self.name!r}: {self.evaluations} evaluations, {found})"

    @property
    def best(self) -> Trial | None:
        """The evaluation to recommend; ``None`` before any value was finite.

        Where there is noise its loss is the mean over all evaluations of its configuration.
        """
        values = self._search.values
        key = values.best()
        if key is None:
            return None
        told = set(values.told[key])
        trial = next(t for t in self.trials if t.loss in told and text_of(t.hparams) == key)
        return replace(trial, loss=values.mean(key))

    @property
    def error(self) -> float:
        """The standard error of the best value; 0 where there is no noise."""
        values = self._search.values
        key = values.best()
        return 0.0 if key is None or not values.noisy else values.error(key)

    @property
    def evaluations(self) -> int:
        """How often the function was asked, or is being asked."""
        return len(self.trials)

    @property
    def reason(self) -> str:
        """Why the last call stopped: time, evaluations, target, interrupted, terminated, failed."""
        reason = self.sessions[-1].reason or "killed"
        return "evaluations" if reason == "trials" else reason

    @property
    def method(self) -> str:
        """The method that searched."""
        return self._search.method

    @property
    def restarts(self) -> int:
        """How often the search began again elsewhere."""
        return len(self._search.runs) - 1

    @property
    def found_again(self) -> int:
        """How many other starts have come to the best value too, as far as noise lets tell."""
        runs = [run.best for run in self._search.runs if math.isfinite(run.best)]
        if not runs:
            return 0
        best = min(runs)
        near = max(1e-6 * max(abs(best), max(runs) - best), self.noise or 0.0)
        return sum(each - best <= near for each in runs) - 1

    @property
    def noise(self) -> float | None:
        """The standard deviation of values of one configuration; ``None``: never asked twice."""
        return self._search.values.noise

    def explain(self) -> list[str]:
        """Say in a few lines what the search did, and how sure it is."""
        runs, values = self._search.runs, self._search.values
        begun = _count(len(runs), "run")
        lines = [f"{self.method}: {begun}, stopped by {self.reason}"]
        if len(runs) > 1:
            ends = Counter(run.ended.lower().replace("_", " ") for run in runs if run.ended)
            why = ", ".join(f"{number} of {name}" for name, number in ends.most_common())
            lines.append(
                f"{_count(1 + self.found_again, 'run')} came to the best value; ends: {why}"
            )
        else:
            lines.append("no run has ended, so a lower value may well be near")
        if values.noisy:
            lines.append(
                f"noise of {self.noise:.3g} in a single value; the best is a mean with "
                f"error {self.error:.2g}; the population grew to {self._search.population}"
            )
        elif values.asked_again:
            lines.append(
                f"no noise: {_count(values.asked_again, 'point')} asked again, same values"
            )
        if self.failures:
            lines.append(f"{_count(len(self.failures), 'evaluation')} without a finite value")
        return lines

    @property
    def _search(self) -> Search:
        found: Any = self._fold._sampling
        return found


def _count(number: int, thing: str) -> str:
    return f"{number:,} {thing}" + ("s" if number != 1 else "")
