"""A ladder of rungs up which trials are promoted as soon as they may be, without waiting."""

from __future__ import annotations

from dataclasses import dataclass, field

from parafree.tune._rung import Rung


@dataclass
class Ladder:
    """Asynchronous successive halving for the trials of one bracket.

    Rung ``k`` holds the losses at ``base * eta**k`` units. A ladder without a top grows as trials
    climb it. ``ready`` is a set of bits: bit k says that rung k has a trial to promote. New
    entries never take that away (whoever pushes a trial out of the best takes its place), so the
    bits change only where a trial ends or leaves.
    """

    base: int  # units of the lowest rung
    eta: int
    top: int | None = None  # number of the highest rung; None: no top
    rungs: list[Rung] = field(default_factory=list)
    ready: int = 0
    at: dict[int, int] = field(default_factory=dict)  # running trial -> the rung it runs to

    def start(self, trial: int) -> int:
        """Start a new trial; return the units it should have."""
        self.at[trial] = 0
        return self.base

    def promote(self) -> tuple[int, int]:
        """Promote from the deepest rung that is ready; return (trial, units it should have)."""
        k = self.ready.bit_length() - 1
        rung = self.rungs[k]
        trial = rung.promote()
        if not rung.promotable():
            self.ready &= ~(1 << k)
        self.at[trial] = k + 1
        return trial, self.base * self.eta ** (k + 1)

    def finish(self, trial: int, loss: float) -> None:
        """Take in that the running ``trial`` has ended at its rung with ``loss``."""
        k = self.at.pop(trial)
        if k == len(self.rungs):
            self.rungs.append(Rung())
        rung = self.rungs[k]
        rung.add(trial, loss, self.eta)
        if k != self.top and rung.promotable():
            self.ready |= 1 << k
