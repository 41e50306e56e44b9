"""A rung: the losses of all trials at one number of units, and who may go on from there."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from heapq import heappop, heappush, heappushpop

Entry = tuple[float, int]
"""(loss, trial): entries compare by loss, and ties by the number of the trial."""


@dataclass
class Rung:
    """Who is among the best ``1/eta`` of a growing set, in O(log n) a question.

    The losses are kept in two heaps that meet at the quota: ``top`` holds the best
    ``floor(size / eta)`` with the worst of them in front, ``rest`` the others with the best of them
    in front. A third heap holds whoever has ever been in ``top`` and has not been promoted; its
    front may be promoted if and only if it is not worse than the front of ``top``.
    """

    size: int = 0  # trials that have ended here, diverged ones included
    top: list[Entry] = field(default_factory=list)  # negated: (-loss, -trial)
    rest: list[tuple[float, int, bool]] = field(default_factory=list)  # ..., never in `top` yet
    waiting: list[Entry] = field(default_factory=list)

    def add(self, trial: int, loss: float, eta: int) -> None:
        """Take in that ``trial`` has ended here; a loss that is not finite only counts."""
        self.size += 1
        if math.isfinite(loss):
            worst = heappushpop(self.top, (-loss, -trial))
            outside = -worst[1] == trial
            heappush(self.rest, (-worst[0], -worst[1], outside))
            if not outside:
                heappush(self.waiting, (loss, trial))
        if len(self.top) < self.size // eta and self.rest:
            loss, trial, first_time = heappop(self.rest)
            heappush(self.top, (-loss, -trial))
            if first_time:
                heappush(self.waiting, (loss, trial))

    def promotable(self) -> bool:
        """Whether a trial among the best ``1/eta`` has not been promoted yet."""
        if not (self.top and self.waiting):
            return False
        loss, trial = self.top[0]
        return self.waiting[0] <= (-loss, -trial)

    def promote(self) -> int:
        """Return the best trial not promoted yet and remember that it has been."""
        return heappop(self.waiting)[1]
