"""Deepening: Hyperband without a maximum budget and without waiting; the default scheduler.

Ours: the asynchronous limit of Iterative Deepening Hyperband (Brandt, Wever, Bengs and
Hüllermeier 2023, arXiv:2302.00511), with the promotion rule of ASHA (Li et al. 2020,
arXiv:1810.05934) inside every bracket.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from parafree.core.card import Card
from parafree.core.contracts import Job
from parafree.tune._ladder import Ladder
from parafree.tune._settings import require_integer, require_known


@dataclass
class DeepeningState:
    """All brackets; bracket s starts its trials at ``min_units * eta**s``."""

    brackets: list[Ladder]
    spent: list[int]  # units given to each bracket so far, running jobs included
    bracket_of: list[int] = field(default_factory=list)  # trial -> bracket
    ready: set[int] = field(default_factory=set)  # brackets with a trial to promote


@dataclass(frozen=True)
class Deepening:
    """Hedge over all starting points, as Hyperband does, and go deeper for as long as time lasts.

    Every bracket is an asynchronous ladder without a top. Bracket 0 starts its trials at
    ``min_units``. Whenever a trial is first promoted to a new deepest rung, a bracket opens that
    starts its trials right there. A new trial goes to the bracket that has been given the fewest
    units, so brackets share the resource equally, as in Hyperband; promotions come before new
    trials, from the deepest rung down.

    Args:
        min_units: units of the lowest rung; an integer of at least 1, or ``None`` to have
            ``parafree.tune`` measure what is cheap.
        eta: one in ``eta`` trials of a rung goes on, to ``eta`` times the units; at least 2.

    Returns:
        A scheduler. It never waits and is never done: no maximum budget, no number of trials.

    Raises:
        MethodError: a setting is no integer in its range.

    Cost:
        O(log n) a decision after n trials; the state keeps one or two entries per trial and rung.
        After U units in all, the longest trial has had about ``U / (eta * log(U))`` of them.

    Source:
        Iterative Deepening Hyperband, arXiv:2302.00511, section 4, for deepening by ``eta`` and
        for the bracket that each deepening adds; ASHA, arXiv:1810.05934, algorithm 2, for
        promotion; Hyperband, arXiv:1603.06560, algorithm 1, for equal shares.

    Differs:
        From Iterative Deepening Hyperband: no round has to be complete before the next begins, so
        nothing waits; a bracket grows by single trials instead of up to a computed number; and it
        deepens when a trial has earned it, not when a maximum is raised.

    Example:
        >>> deepening = Deepening(min_units=1)
        >>> state = deepening.init()
        >>> for loss in (0.3, 0.1, 0.2):
        ...     deepening.tell(state, deepening.ask(state), loss)
        >>> deepening.ask(state)  # the best of three goes on ...
        Job(trial=1, units=3)
        >>> deepening.ask(state)  # ... and a second bracket starts its trials there
        Job(trial=3, units=3)
    """

    min_units: int | None = None
    eta: int = 3

    def __post_init__(self) -> None:
        require_integer(self, "eta", self.eta, 2)
        if self.min_units is not None:
            require_integer(self, "min_units", self.min_units, 1)

    @property
    def finite(self) -> bool:
        """Whether it comes to an end by itself."""
        return False

    def init(self) -> DeepeningState:
        """Return the state in which nothing has been asked yet."""
        base = require_known(self, self.min_units)
        return DeepeningState(brackets=[Ladder(base, self.eta)], spent=[0])

    def ask(self, state: DeepeningState, new: bool = True) -> Job | None:
        """Return the deepest promotion there is, or else a new trial of the poorest bracket."""
        if state.ready:
            return self._promote(state)
        if not new:
            return None
        s = state.spent.index(min(state.spent))
        trial = len(state.bracket_of)
        state.bracket_of.append(s)
        units = state.brackets[s].start(trial)
        state.spent[s] += units
        return Job(trial, units)

    def _promote(self, state: DeepeningState) -> Job:
        # Rung k of bracket s lies at the level s + k; the highest bit of `ready` is the rung.
        depth = {s: s + state.brackets[s].ready.bit_length() for s in state.ready}
        s = min(depth, key=lambda s: (-depth[s], state.spent[s], s))
        trial, units = state.brackets[s].promote()
        if not state.brackets[s].ready:
            state.ready.remove(s)
        state.spent[s] += units - units // self.eta  # it goes on from where it paused
        if units > state.brackets[-1].base:  # the deepest rung has deepened
            state.brackets.append(Ladder(units, self.eta))
            state.spent.append(0)
        return Job(trial, units)

    def tell(self, state: DeepeningState, job: Job, loss: float) -> None:
        """Take in that ``job`` has ended with ``loss``."""
        s = state.bracket_of[job.trial]
        ladder = state.brackets[s]
        ladder.finish(job.trial, loss)
        if ladder.ready:
            state.ready.add(s)

    def done(self, state: DeepeningState) -> bool:
        """Return False: it goes deeper for as long as it is asked to."""
        return False


card = Card(
    method=Deepening,
    contract="scheduler",
    paper="parafree, after Brandt et al. 2023, arXiv:2302.00511 and Li et al. 2020, "
    "arXiv:1810.05934",
    reference="the rule above on plain lists, every choice searched for anew at every question",
    free_of={"maximum budget", "number of trials", "number of brackets", "waiting for stragglers"},
    example=lambda: Deepening(min_units=1),
)
