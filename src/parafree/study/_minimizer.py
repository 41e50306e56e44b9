"""The sampler of a minimisation: a black-box search as a fold over the journal."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
