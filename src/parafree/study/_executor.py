"""What the driver asks of an executor, whichever way trials are run."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from parafree.core.contracts import Job
from parafree.study.events import Event
from parafree.study.history import History


class Usage(NamedTuple):
    """What an executor has spent since it began."""

    compile_s: float  # seconds of compiling
    work_s: float  # seconds in which trials were advanced
    busy: float  # share of the lanes' time that advanced a trial, 0 to 1


class Executor(Protocol):
    """Runs jobs and reports on them; knows nothing of schedulers or of the store.

    A job is over when its trial has had the job's units, has diverged (a report without a loss),
    or has ended for good (an event of kind ``end``).
    """

    def recall(self, history: History) -> None:
        """Learn what happened before this process began, before anything is submitted."""
        ...

    def wants(self) -> bool:
        """Whether there is room for one more job."""
        ...

    def submit(
        self,
        job: Job,
        hparams: dict[str, Any],
        seed: int,
        units_done: int,
        *,
        urgent: bool = False,
    ) -> None:
        """Take a job for a trial that has had ``units_done`` units; urgent ones run first.

        Any number of jobs is taken; those that find no room wait in order.
        """
        ...

    def advance(self) -> list[Event]:
        """Work until something can be reported; return events of kind report and end, in order."""
        ...

    @property
    def plan(self) -> dict[str, Any]:
        """What a resumed study must keep to take the same decisions."""
        ...

    def lane_of(self, trial: int) -> int | None:
        """Return the lane in which ``trial`` runs, if any."""
        ...

    def estimate(self, jobs: int, units: int) -> float:
        """Return about how many seconds so many jobs of so many units will take together."""
        ...

    def running(self) -> int:
        """Return how many jobs are not over."""
        ...

    def pause_all(self) -> None:
        """Drop every job; their trials can be submitted again and go on where they stopped."""
        ...

    def save(self) -> None:
        """Keep what would be dear to compute again."""
        ...

    def usage(self) -> Usage:
        """Return what was spent."""
        ...

    def close(self) -> None:
        """Give everything back."""
        ...
