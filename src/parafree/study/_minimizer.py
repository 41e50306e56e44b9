"""The sampler of a minimisation: a black-box search as a fold over the journal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from parafree.study._goals import Goals

if TYPE_CHECKING:
    from parafree.study._front_search import FrontSearch
    from parafree.study._search import Search


@dataclass(frozen=True)
class Minimizer:
    """Lets a black-box search decide which configuration comes next.

    Args:
        batch: candidates that the search may have under way at least, so that all workers have
            something to do.
        first: configurations to try first; the search begins around the first of them.
    """

    batch: int
    first: list[dict[str, Any]] = field(default_factory=list)

    learns = True  # from what it asked, so a replay of the journal must ask it again

    def init(self, space: Any, seed: int) -> Search:
        """Return a search of ``space`` that has asked nothing yet."""
        from parafree.study._search import Search

        return Search(space, seed, self.batch, self.first)

    def ask(self, state: Search, trial: int) -> dict[str, Any]:
        """Return the configuration of trial number ``trial``."""
        return state.ask(trial)

    def tell(self, state: Search, trial: int, units: int, loss: float) -> None:
        """Take in the value of a trial's configuration."""
        state.tell(trial, loss)


@dataclass(frozen=True)
class GoalMinimizer:
    """Lets a search decide where several figures count: objectives, or limits.

    Args:
        settings: those of a :class:`Minimizer`, which are all that a study keeps of it.
        goals: what the figures are for; a study keeps them by themselves.
    """

    settings: Minimizer
    goals: Goals

    def init(self, space: Any, seed: int) -> Search | FrontSearch:
        """Return a search of ``space`` that has asked nothing yet."""
        first = self.settings.first
        if self.goals.several:
            from parafree.study._front_search import FrontSearch

            return FrontSearch(space, seed, self.goals, first)
        from parafree.study._search import Search

        return Search(space, seed, self.settings.batch, first, self.goals)

    def ask(self, state: Search | FrontSearch, trial: int) -> dict[str, Any]:
        """Return the configuration of trial number ``trial``."""
        return state.ask(trial)

    def tell(
        self,
        state: Search | FrontSearch,
        trial: int,
        units: int,
        loss: float,
        figures: Mapping[str, float | None],
    ) -> None:
        """Take in the figures of a trial's configuration."""
        state.tell(trial, loss, figures)
