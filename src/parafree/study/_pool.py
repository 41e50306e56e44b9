"""Which slot of a program's pool holds which trial, and who leaves when the pool is full."""

from __future__ import annotations

import heapq


class Pool:
    """Slots of one device for one static group.

    The trial that leaves a full pool is the one that is cheapest to compute again and least likely
    to be asked for: fewest units first, and among those the highest loss.

    Example:
        >>> pool = Pool(2)
        >>> pool.place(7), pool.place(8)
        (0, 1)
        >>> pool.rest(7, units=9, loss=0.5); pool.rest(8, units=3, loss=0.1)
        >>> pool.victim()
        8
    """

    def __init__(self, slots: int) -> None:
        self._free = list(range(slots - 1, -1, -1))
        self._slot: dict[int, int] = {}
        self.units: dict[int, int] = {}
        self._resting: dict[int, tuple[int, float]] = {}
        self._queue: list[tuple[int, float, int]] = []

    def __contains__(self, trial: int) -> bool:
        return trial in self._slot

    def __iter__(self):  # type: ignore[no-untyped-def]
        return iter(list(self._slot))

    @property
    def full(self) -> bool:
        """Whether nobody can be placed before somebody leaves."""
        return not self._free

    def slot(self, trial: int) -> int:
        """Return the slot that holds ``trial``."""
        return self._slot[trial]

    def place(self, trial: int) -> int:
        """Give ``trial`` a free slot, with no units in it yet."""
        self._slot[trial] = slot = self._free.pop()
        self.units[trial] = 0
        return slot

    def rest(self, trial: int, units: int, loss: float) -> None:
        """Say that ``trial`` is paused, so that it may leave."""
        self._resting[trial] = (units, -loss)
        heapq.heappush(self._queue, (units, -loss, trial))

    def wake(self, trial: int) -> None:
        """Say that ``trial`` runs again, so that it may not leave."""
        self._resting.pop(trial, None)

    def victim(self) -> int | None:
        """Return the trial that should leave next, or ``None`` when all of them run."""
        while self._queue:
            units, loss, trial = self._queue[0]
            if self._resting.get(trial) == (units, loss):
                return trial
            heapq.heappop(self._queue)  # it woke up, or left, since it was queued
        return None

    def remove(self, trial: int) -> None:
        """Free the slot of ``trial``."""
        self._free.append(self._slot.pop(trial))
        del self.units[trial]
        self._resting.pop(trial, None)
