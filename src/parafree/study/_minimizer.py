"""The sampler of a minimisation: a black-box search as a fold over the journal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from parafree.study._goals import PLAIN, Goals

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
        goals: what the figures are for; a study keeps them by themselves.
    """

    batch: int
    first: list[dict[str, Any]] = field(default_factory=list)
    goals: Goals = PLAIN

    learns = True  # from what it asked and all that it was told, so a replay must ask it again

    def settings(self) -> dict[str, Any]:
        """Return what a study keeps under the sampler's name."""
        return {"batch": self.batch, "first": self.first}

    def init(self, space: Any, seed: int) -> Search | FrontSearch:
        """Return a search of ``space`` that has asked nothing yet."""
        if self.goals.several:
            from parafree.study._front_search import FrontSearch

            return FrontSearch(space, seed, self.goals, self.first)
        from parafree.study._search import Search

        return Search(space, seed, self.batch, self.first, self.goals)

    def ask(self, state: Search | FrontSearch, trial: int) -> dict[str, Any]:
        """Return the configuration of trial number ``trial``."""
        return state.ask(trial)

    def adopt(self, state: Search | FrontSearch, trial: int, config: dict[str, Any]) -> None:
        """Let a trial have another configuration than was asked for: the one in a journal."""
        state.adopt(trial, config)

    def tell(
        self,
        state: Search | FrontSearch,
        trial: int,
        units: int,
        loss: float,
        figures: Mapping[str, float | None] | None = None,
    ) -> None:
        """Take in the value of a trial's configuration, and what else is known of it."""
        state.tell(trial, loss, figures or {})
