"""Hyperband: successive halving from several starting points, the same resource for each.

Lisha Li, Kevin Jamieson, Giulia DeSalvo, Afshin Rostamizadeh, Ameet Talwalkar, "Hyperband: A Novel
Bandit-Based Approach to Hyperparameter Optimization", JMLR 2018.
"""

from __future__ import annotations

from dataclasses import dataclass

from parafree.core.card import Card
from parafree.core.contracts import Job
from parafree.tune._bracket import Bracket
from parafree.tune._in_order import InOrder
from parafree.tune._settings import bracket_size, count_powers, require_integer, require_order


@dataclass(frozen=True)
class Hyperband:
    """Hedge between many short trials and few long ones.

    Args:
        max_units: R, the most units that a trial may get.
        min_units: units of the first rung of the first bracket; an integer of at least 1.
        eta: one in ``eta`` trials of a rung goes on, to ``eta`` times the units; at least 2.
        sweeps: how often all brackets are run, with new trials each time; ``None``: for ever.

    Returns:
        A scheduler. While a rung waits, it starts on the next brackets; it only waits itself where
        ``sweeps`` leaves nothing else to start.

    Raises:
        MethodError: a setting is no integer in its range, or ``min_units > max_units``.

    Cost:
        Amortised O(log n) a decision; memory for the brackets under way, not for past ones.

    Source:
        Li et al. 2018, arXiv:1603.06560, algorithm 1, with ``min_units`` as the unit of resource;
        a trial goes on from where it paused.

    Differs:
        Brackets have the sizes of algorithm 1; table 1 of the paper, for R = 81, rounds
        differently and prints smaller ones for s = 3, 2 and 1 (27, 9 and 6 instead of 34, 15 and
        8). The number of brackets is found with integers, where a floating-point logarithm drops
        one for R = 243. Ties are broken by the number of the trial. A trial whose loss is not
        finite counts in the size of its rung and is never promoted. A ``max_units`` that is not
        ``min_units`` times a power of ``eta`` is rounded down to one.

    Example:
        >>> hyperband = Hyperband(max_units=3)
        >>> state = hyperband.init()
        >>> [hyperband.ask(state) for _ in range(4)]  # the rung of three waits, so bracket 2 starts
        [Job(trial=0, units=1), Job(trial=1, units=1), Job(trial=2, units=1), Job(trial=3, units=3)]
    """

    max_units: int
    min_units: int = 1
    eta: int = 3
    sweeps: int | None = None

    def __post_init__(self) -> None:
        require_integer(self, "eta", self.eta, 2)
        require_integer(self, "min_units", self.min_units, 1)
        require_integer(self, "max_units", self.max_units, 1)
        require_order(self, self.min_units, self.max_units)
        if self.sweeps is not None:
            require_integer(self, "sweeps", self.sweeps, 1)

    @property
    def _s_max(self) -> int:
        return count_powers(self.max_units // self.min_units, self.eta)

    @property
    def finite(self) -> bool:
        """Whether it comes to an end by itself."""
        return self.sweeps is not None

    def init(self) -> InOrder:
        """Return the state in which nothing has been asked yet."""
        return InOrder()

    def ask(self, state: InOrder, new: bool = True) -> Job | None:
        """Return the next job of the earliest bracket that has one."""
        return state.ask(self._open_next, new)

    def tell(self, state: InOrder, job: Job, loss: float) -> None:
        """Take in that ``job`` has ended with ``loss``."""
        name = state.tell(job, loss)
        if state.brackets[name].complete:
            del state.brackets[name]

    def done(self, state: InOrder) -> bool:
        """Whether all sweeps are over."""
        return self._exhausted(state) and state.complete()

    def _exhausted(self, state: InOrder) -> bool:
        return self.sweeps is not None and state.runs >= self.sweeps * (self._s_max + 1)

    def _open_next(self, state: InOrder) -> bool:
        if self._exhausted(state):
            return False
        s_max = self._s_max
        s = s_max - state.runs % (s_max + 1)  # line 1: from s_max down to 0
        base = self.min_units * self.eta ** (s_max - s)  # line 2: r = R eta^-s
        state.open(state.runs, Bracket(base, self.eta), bracket_size(s, s_max, self.eta), top=s)
        return True


card = Card(
    method=Hyperband,
    contract="scheduler",
    paper="Li et al. 2018, arXiv:1603.06560",
    seed=135,
    reference="algorithm 1 as printed, one evaluation after the other; the figures of table 1",
    free_of={"number of trials", "stopping rule"},
    example=lambda: Hyperband(max_units=27),
)
