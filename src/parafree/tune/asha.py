"""Asynchronous successive halving: promote a trial as soon as it is among the best 1/eta.

Liam Li, Kevin Jamieson, Afshin Rostamizadeh, Ekaterina Gonina, Moritz Hardt, Benjamin Recht,
Ameet Talwalkar, "A System for Massively Parallel Hyperparameter Tuning", MLSys 2020.
"""

from __future__ import annotations

from dataclasses import dataclass

from parafree.core.card import Card
from parafree.core.contracts import Job
from parafree.tune._ladder import Ladder
from parafree.tune._settings import count_powers, require_integer, require_known, require_order


@dataclass
class ASHAState:
    """The ladder that trials climb."""

    ladder: Ladder
    trials: int = 0  # trials asked for so far


@dataclass(frozen=True)
class ASHA:
    """Promote without waiting for a rung to fill, so that no worker is ever idle.

    Args:
        min_units: units of the lowest rung; an integer of at least 1, or ``None`` to have
            ``parafree.tune`` measure what is cheap.
        max_units: most units that a trial may get; ``None``: the ladder has no top.
        eta: one in ``eta`` trials of a rung goes on, to ``eta`` times the units; at least 2.

    Returns:
        A scheduler. It never waits and is never done.

    Raises:
        MethodError: a setting is no integer in its range, or ``min_units > max_units``.

    Cost:
        O(log n) a decision after n trials; the state keeps one or two entries per trial and rung.

    Source:
        Li et al. 2020, arXiv:1810.05934, algorithm 2 with s = 0: ``ask`` is ``get_job``. A ladder
        without a top is the infinite horizon of its section 3.2.

    Differs:
        Ties are broken by the number of the trial. A trial whose loss is not finite counts in the
        size of its rung and is never promoted. A ``max_units`` that is not ``min_units`` times a
        power of ``eta`` is rounded down to one, so that every job is a multiple of ``min_units``.

    Example:
        >>> asha = ASHA(min_units=1, max_units=9)
        >>> state = asha.init()
        >>> for loss in (0.3, 0.1, 0.2):
        ...     asha.tell(state, asha.ask(state), loss)
        >>> asha.ask(state)
        Job(trial=1, units=3)
    """

    min_units: int | None = None
    max_units: int | None = None
    eta: int = 3

    def __post_init__(self) -> None:
        require_integer(self, "eta", self.eta, 2)
        if self.min_units is not None:
            require_integer(self, "min_units", self.min_units, 1)
        if self.max_units is not None:
            require_integer(self, "max_units", self.max_units, 1)
            require_order(self, self.min_units or 1, self.max_units)

    @property
    def finite(self) -> bool:
        """Whether it comes to an end by itself."""
        return False

    def init(self) -> ASHAState:
        """Return the state in which nothing has been asked yet."""
        base = require_known(self, self.min_units)
        top = None if self.max_units is None else count_powers(self.max_units // base, self.eta)
        return ASHAState(Ladder(base, self.eta, top))

    def ask(self, state: ASHAState, new: bool = True) -> Job | None:
        """Return the promotion from the deepest rung that has one, or else a new trial."""
        if state.ladder.ready:
            return Job(*state.ladder.promote())
        if not new:
            return None
        trial = state.trials
        state.trials += 1
        return Job(trial, state.ladder.start(trial))

    def tell(self, state: ASHAState, job: Job, loss: float) -> None:
        """Take in that ``job`` has ended with ``loss``."""
        state.ladder.finish(job.trial, loss)

    def done(self, state: ASHAState) -> bool:
        """Return False: there is always another point to try."""
        return False


card = Card(
    method=ASHA,
    contract="scheduler",
    paper="Li et al. 2020, arXiv:1810.05934",
    reference="algorithm 2 as printed, on lists sorted anew at every question",
    free_of={"waiting for stragglers", "number of trials"},
    example=lambda: ASHA(min_units=1, max_units=27),
)
