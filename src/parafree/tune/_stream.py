"""A seeded stream of points, of which the i-th feasible one belongs to trial i."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from parafree.core.errors import SpaceError

BLOCK = 1024  # points drawn at once
PATIENCE = 100  # blocks without any feasible point before giving up

Draw = Callable[[int], np.ndarray]
"""``draw(block) -> (BLOCK, dimension)`` points of the unit cube, a pure function of the number."""


@dataclass
class Stream:
    """The feasible points of a stream; any of them can be asked for, in any order.

    Only one block is held at a time. A point depends on the stream and its number alone.
    """

    space: Any
    draw: Draw = field(compare=False, repr=False)
    counts: list[int] = field(default_factory=list)  # feasible points up to and with each block
    held: int = -1  # the number of the block in `points`
    points: Any = field(default=None, compare=False, repr=False)  # feasible rows of that block

    def point(self, i: int) -> np.ndarray:
        """Return the i-th feasible point of the unit cube."""
        while not self.counts or self.counts[-1] <= i:
            self._hold(len(self.counts))
            before = self.counts[-1] if self.counts else 0
            self.counts.append(before + len(self.points))
            self._give_up_if_barren()
        block = bisect_right(self.counts, i)
        if block != self.held:
            self._hold(block)
        return self.points[i - self.counts[block]]  # counted from the end of the block

    def _hold(self, block: int) -> None:
        points = self.draw(block)
        feasible = np.asarray(self.space.feasible(self.space.decode(points)))
        self.points = points[np.broadcast_to(feasible, (BLOCK,))]
        self.held = block

    def _give_up_if_barren(self) -> None:
        before = self.counts[-PATIENCE - 1] if len(self.counts) > PATIENCE else 0
        if len(self.counts) >= PATIENCE and self.counts[-1] == before:
            raise SpaceError(
                f"none of {PATIENCE * BLOCK} points drawn one after the other is feasible",
                where="the constraints of the space",
                fix="loosen the constraints, or narrow the parameters to where they hold",
            )
