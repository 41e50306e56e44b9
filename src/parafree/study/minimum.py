"""What a minimisation has found, what it did, and how far to trust it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

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
        """How many other starts have ended at the best value too."""
        runs = [run.best for run in self._search.runs if math.isfinite(run.best)]
        if not runs:
            return 0
        best = min(runs)
        near = 1e-6 * max(abs(best), max(runs) - best)
        return sum(each - best <= near for each in runs) - 1

    @property
    def noise(self) -> float | None:
        """The standard deviation of values of one configuration; ``None``: never asked twice."""
        return self._search.values.noise

    def explain(self) -> list[str]:
        """Say in a few lines what the search did, and how sure it is."""
        lines = [f"{self.method}; {self.restarts} restarts, stopped by {self.reason}"]
        if self.restarts:
            lines.append(f"the best value was found by {1 + self.found_again} of them")
        return lines

    @property
    def _search(self) -> Search:
        found: Any = self._fold._sampling
        return found
