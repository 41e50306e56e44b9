"""A bracket of synchronous successive halving that can be run again with a higher top."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

Variant = Literal["efficient", "conservative", "discarding"]
"""What a run does with trials that earlier runs of the same bracket have promoted."""


@dataclass
class Bracket:
    """Successive halving over ``base * eta**k`` units, one complete rung after the other.

    The first run is successive halving as everybody knows it. A later run adds trials to the
    lowest rung, has one rung more, and uses again whatever earlier runs have found out.
    """

    base: int  # units of the lowest rung
    eta: int
    variant: Variant = "efficient"
    losses: list[dict[int, float]] = field(default_factory=list)  # rung -> trial -> loss
    top: int = -1  # number of the highest rung of the current run
    rung: int = 0  # where the current run is
    candidates: list[int] = field(default_factory=list)  # who takes part in that rung
    fresh: int = 0  # new trials still to be started
    queue: list[int] = field(default_factory=list)  # trials still to be promoted, best one last
    running: int = 0

    def open(self, trials: int, top: int) -> None:
        """Begin a run of ``trials`` in all, old ones included, up to rung ``top``."""
        self.losses += [{} for _ in range(len(self.losses), top + 1)]
        self.top, self.rung = top, 0
        self.candidates = list(self.losses[0])
        self.fresh = max(0, trials - len(self.candidates))
        self._advance()

    @property
    def startable(self) -> bool:
        """Whether a job can start now."""
        return bool(self.fresh or self.queue)

    @property
    def complete(self) -> bool:
        """Whether the current run is over."""
        return self.rung > self.top

    def start(self, new_trial: int) -> tuple[int, int]:
        """Start a job; return (trial, units). Without promotions the trial is ``new_trial``."""
        if self.fresh:
            self.fresh -= 1
            self.candidates.append(new_trial)
            trial = new_trial
        else:
            trial = self.queue.pop()
        self.running += 1
        return trial, self.base * self.eta**self.rung

    def finish(self, trial: int, loss: float) -> None:
        """Take in that the running ``trial`` has ended with ``loss``."""
        self.running -= 1
        self.losses[self.rung][trial] = loss if math.isfinite(loss) else math.inf
        self._advance()

    def _advance(self) -> None:
        """Move up as long as the rung holds everything that it waits for."""
        while not (self.complete or self.startable or self.running):
            if self.rung < self.top:
                self.candidates = self._promoted()
                above = self.losses[self.rung + 1]
                self.queue = [trial for trial in reversed(self.candidates) if trial not in above]
            self.rung += 1

    def _promoted(self) -> list[int]:
        """Return who goes on from this rung, the best of those who had not before last."""
        here, above = self.losses[self.rung], self.losses[self.rung + 1]
        count = len(self.candidates) // self.eta
        pool = self.candidates
        kept: list[int] = []
        if self.variant == "efficient":  # whoever went on before goes on again
            kept = [trial for trial in pool if trial in above]
            pool = [trial for trial in pool if trial not in above]
        elif self.variant == "conservative":  # whoever has been here before competes again
            pool = list(here)
        finite = sorted(trial for trial in pool if here[trial] < math.inf)
        finite.sort(key=here.__getitem__)  # stable, so ties stay in the order of the trials
        return kept + finite[: max(0, count - len(kept))]
