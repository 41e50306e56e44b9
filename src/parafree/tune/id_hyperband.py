"""Iterative Deepening Hyperband: raise the maximum budget afterwards and use everything again.

Jasmin Brandt, Marcel Wever, Dimitrios Iliadis, Viktor Bengs, Eyke Hüllermeier, "Iterative
Deepening Hyperband", 2023.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from parafree.core.card import Card
from parafree.core.contracts import Job
from parafree.core.errors import MethodError
from parafree.tune._bracket import Bracket, Variant
from parafree.tune._in_order import InOrder
from parafree.tune._settings import bracket_size, count_powers, require_integer, require_order


@dataclass(frozen=True)
class IDHyperband:
    """Run Hyperband, multiply its maximum by ``eta``, and go on as if that had been the maximum.

    Each deepening gives every bracket one rung more and as many new trials as it takes to reach
    the size that Hyperband gives it for the new maximum, and adds a bracket that starts at the
    new maximum. What is known already is not evaluated again.

    Args:
        max_units: the first maximum; raised by ``eta`` at every deepening.
        min_units: units of the first rung of the first bracket; an integer of at least 1.
        eta: one in ``eta`` trials of a rung goes on, to ``eta`` times the units; at least 2.
        variant: who goes on from a rung that earlier rounds have promoted from. ``"efficient"``:
            whoever went on before goes on again, the best others fill up. ``"conservative"``: the
            best of all that have ever been on the rung, so that early promotions that would not be
            made now are not followed up. ``"discarding"``: the best of those that are on
            the rung in this round.
        deepenings: how often the maximum is raised; ``None``: for ever.

    Returns:
        A scheduler. While a rung waits, it starts on the next brackets, and on the next round
        where the bracket's part of this one is over.

    Raises:
        MethodError: a setting is no integer in its range, ``min_units > max_units``, or an unknown
            ``variant``.

    Cost:
        Amortised O(log n) a decision: a rung is sorted once a round, and rounds grow like powers
        of ``eta``. The state keeps the loss of every trial on every rung.

    Source:
        Brandt et al. 2023, arXiv:2302.00511, algorithms 1 and 2 (the paper calls the conservative
        variant "preserving").

    Differs:
        The number of brackets is found with integers, not with a floating-point logarithm. Ties
        are broken by the number of the trial. A trial whose loss is not finite counts in the size
        of its rung and is never promoted. A ``max_units`` that is not ``min_units`` times a power
        of ``eta`` is rounded down to one. A bracket may begin its next round before the last
        bracket has ended this one; no decision depends on that.

    Example:
        >>> deepening = IDHyperband(max_units=3, deepenings=1)
        >>> state = deepening.init()
        >>> jobs = []
        >>> while (job := deepening.ask(state)) is not None:
        ...     jobs.append(job)
        ...     deepening.tell(state, job, loss=job.trial / job.units)
        >>> max(job.units for job in jobs), deepening.done(state)
        (9, True)
    """

    max_units: int
    min_units: int = 1
    eta: int = 3
    variant: Variant = "efficient"
    deepenings: int | None = None

    def __post_init__(self) -> None:
        require_integer(self, "eta", self.eta, 2)
        require_integer(self, "min_units", self.min_units, 1)
        require_integer(self, "max_units", self.max_units, 1)
        require_order(self, self.min_units, self.max_units)
        if self.deepenings is not None:
            require_integer(self, "deepenings", self.deepenings, 0)
        if self.variant not in get_args(Variant):
            raise MethodError(
                f"there is no variant {self.variant!r}",
                where="IDHyperband(variant=...)",
                fix=f"choose one of {', '.join(get_args(Variant))}",
            )

    @property
    def _first_s_max(self) -> int:
        return count_powers(self.max_units // self.min_units, self.eta)

    @property
    def finite(self) -> bool:
        """Whether it comes to an end by itself."""
        return self.deepenings is not None

    def init(self) -> InOrder:
        """Return the state in which nothing has been asked yet."""
        return InOrder()

    def ask(self, state: InOrder, new: bool = True) -> Job | None:
        """Return the next job of the earliest bracket that has one."""
        return state.ask(self._open_next, new)

    def tell(self, state: InOrder, job: Job, loss: float) -> None:
        """Take in that ``job`` has ended with ``loss``."""
        state.tell(job, loss)

    def done(self, state: InOrder) -> bool:
        """Whether the last round is over."""
        return self._position(state.runs) is None and state.complete()

    def _position(self, run: int) -> tuple[int, int] | None:
        """Return (s_max of its round, number of its bracket) of a run; None after the last."""
        s_max = self._first_s_max
        while run > s_max:  # a round has s_max + 1 runs; there are O(log n) rounds
            run -= s_max + 1
            s_max += 1
        if self.deepenings is not None and s_max > self._first_s_max + self.deepenings:
            return None
        return s_max, run

    def _open_next(self, state: InOrder) -> bool:
        position = self._position(state.runs)
        if position is None:
            return False
        s_max, i = position  # bracket i starts its trials at min_units * eta**i
        bracket = state.brackets.get(i)
        if bracket is None:
            bracket = Bracket(self.min_units * self.eta**i, self.eta, self.variant)
        elif not bracket.complete:
            return False
        s = s_max - i
        state.open(i, bracket, bracket_size(s, s_max, self.eta), top=s)
        return True


card = Card(
    method=IDHyperband,
    contract="scheduler",
    paper="Brandt, Wever et al. 2023, arXiv:2302.00511",
    seed=33,
    reference="every evaluation of the authors' implementation on recorded learning curves",
    free_of={"maximum budget", "number of trials", "stopping rule"},
    example=lambda: IDHyperband(max_units=9),
)
