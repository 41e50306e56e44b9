"""Random search: every trial gets the full budget, one after the other.

James Bergstra and Yoshua Bengio, "Random Search for Hyper-Parameter Optimization", JMLR 2012.
"""

from __future__ import annotations

from dataclasses import dataclass

from parafree.core.card import Card
from parafree.core.contracts import Job
from parafree.tune._settings import require_integer


@dataclass
class RandomSearchState:
    """How far a random search has come."""

    trials: int = 0  # trials asked for so far


@dataclass(frozen=True)
class RandomSearch:
    """Give every trial ``max_units`` and never compare; the baseline of every other scheduler.

    Args:
        max_units: units that every trial gets; an integer of at least 1.

    Returns:
        A scheduler. It never waits and is never done.

    Raises:
        MethodError: ``max_units`` is not a positive integer.

    Cost:
        O(1) a decision; the state is one number.

    Source:
        Bergstra and Bengio 2012, JMLR 13, section 2: independent draws, each trained in full.

    Differs:
        Which points are drawn is the sampler's business, so this class also serves
        quasi-random search.

    Example:
        >>> search = RandomSearch(max_units=9)
        >>> state = search.init()
        >>> search.ask(state), search.ask(state)
        (Job(trial=0, units=9), Job(trial=1, units=9))
    """

    max_units: int

    def __post_init__(self) -> None:
        require_integer(self, "max_units", self.max_units, 1)

    @property
    def min_units(self) -> int:
        """Units of every job."""
        return self.max_units

    @property
    def finite(self) -> bool:
        """Whether it comes to an end by itself."""
        return False

    def init(self) -> RandomSearchState:
        """Return the state in which nothing has been asked yet."""
        return RandomSearchState()

    def ask(self, state: RandomSearchState, new: bool = True) -> Job | None:
        """Return the job of a new trial; there is no other kind."""
        if not new:
            return None
        state.trials += 1
        return Job(state.trials - 1, self.max_units)

    def tell(self, state: RandomSearchState, job: Job, loss: float) -> None:
        """Take in that ``job`` has ended; no later decision depends on it."""

    def done(self, state: RandomSearchState) -> bool:
        """Return False: there is always another point to try."""
        return False


card = Card(
    method=RandomSearch,
    contract="scheduler",
    paper="Bergstra, Bengio 2012, JMLR 13:281-305",
    reference="the definition: trial i, and only trial i, is trained in full as the i-th job",
    free_of={"comparison rule"},
    example=lambda: RandomSearch(max_units=9),
)
