"""Successive halving: train all a little, keep the best 1/eta, train those eta times as long.

Kevin Jamieson and Ameet Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter
Optimization", AISTATS 2016.
"""

from __future__ import annotations

from dataclasses import dataclass

from parafree.core.card import Card
from parafree.core.contracts import Job
from parafree.core.errors import MethodError
from parafree.tune._bracket import Bracket
from parafree.tune._in_order import InOrder
from parafree.tune._settings import count_powers, require_integer, require_order


@dataclass(frozen=True)
class SuccessiveHalving:
    """Spend the same on every rung, on ever fewer trials.

    Args:
        trials: trials on the lowest rung; enough of them for one to reach ``max_units``.
        min_units: units of the lowest rung; an integer of at least 1.
        max_units: most units that a trial may get.
        eta: one in ``eta`` trials of a rung goes on, to ``eta`` times the units; at least 2.

    Returns:
        A scheduler. It waits for a rung to fill before it promotes, and is done after the top.

    Raises:
        MethodError: a setting is no integer in its range, ``min_units > max_units``, or too few
            ``trials`` for any to reach the top.

    Cost:
        Amortised O(log n) a decision, by sorting each rung once; O(n) memory.

    Source:
        Jamieson and Talwalkar 2016, arXiv:1502.07943, figure 3, in the form of algorithm 1 of
        Li et al. 2018, arXiv:1603.06560, lines 3 to 9: a trial goes on from where it paused.

    Differs:
        Ties are broken by the number of the trial. A trial whose loss is not finite counts in the
        size of its rung and is never promoted. A ``max_units`` that is not ``min_units`` times a
        power of ``eta`` is rounded down to one.

    Example:
        >>> halving = SuccessiveHalving(trials=3, min_units=1, max_units=3)
        >>> state = halving.init()
        >>> for loss in (0.3, 0.1, 0.2):
        ...     halving.tell(state, halving.ask(state), loss)
        >>> halving.ask(state)
        Job(trial=1, units=3)
    """

    trials: int
    min_units: int
    max_units: int
    eta: int = 3

    def __post_init__(self) -> None:
        require_integer(self, "eta", self.eta, 2)
        require_integer(self, "min_units", self.min_units, 1)
        require_integer(self, "max_units", self.max_units, 1)
        require_order(self, self.min_units, self.max_units)
        require_integer(self, "trials", self.trials, 1)
        if self.trials < self.eta**self._top:
            raise MethodError(
                f"of {self.trials} trials none can reach {self.max_units} units",
                where="SuccessiveHalving(trials=...)",
                fix=f"give at least {self.eta**self._top} trials, or a smaller max_units",
            )

    @property
    def _top(self) -> int:
        return count_powers(self.max_units // self.min_units, self.eta)

    @property
    def finite(self) -> bool:
        """Whether it comes to an end by itself."""
        return True

    def init(self) -> InOrder:
        """Return the state in which nothing has been asked yet."""
        state = InOrder()
        state.open(0, Bracket(self.min_units, self.eta), self.trials, self._top)
        return state

    def ask(self, state: InOrder, new: bool = True) -> Job | None:
        """Return the next job of the rung, or ``None`` while the rung waits or after the end."""
        return state.ask(lambda _: False, new)

    def tell(self, state: InOrder, job: Job, loss: float) -> None:
        """Take in that ``job`` has ended with ``loss``."""
        state.tell(job, loss)

    def done(self, state: InOrder) -> bool:
        """Whether the top rung is full, or nobody is left to climb to it."""
        return state.complete()


card = Card(
    method=SuccessiveHalving,
    contract="scheduler",
    paper="Jamieson, Talwalkar 2016, arXiv:1502.07943",
    reference="the loop of the paper, one evaluation after the other",
    free_of={"stopping rule"},
    example=lambda: SuccessiveHalving(trials=27, min_units=1, max_units=27),
)
