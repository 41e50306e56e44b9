"""Runs of brackets that start one after the other and may end in any order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heapify, heappush

from parafree.core.contracts import Job
from parafree.tune._bracket import Bracket


@dataclass
class InOrder:
    """All open runs of brackets, asked in the order in which they were opened.

    A run is opened only when no job of an earlier one can start, and a bracket decides on nothing
    but its own trials. So any number of workers leads to the same trials, rungs and promotions as
    one worker that does everything in sequence; only the times differ.
    """

    brackets: dict[int, Bracket] = field(default_factory=dict)
    ready: list[tuple[int, int]] = field(default_factory=list)  # heap of (run, bracket)
    home: dict[int, tuple[int, int]] = field(default_factory=dict)  # running trial -> the same
    runs: int = 0  # opened so far
    trials: int = 0  # asked for so far

    def open(self, name: int, bracket: Bracket, trials: int, top: int) -> None:
        """Open the next run: of ``bracket``, with ``trials`` in all, up to rung ``top``."""
        self.brackets[name] = bracket
        bracket.open(trials, top)
        if bracket.startable:
            heappush(self.ready, (self.runs, name))
        self.runs += 1

    def ask(self, open_next: Callable[[InOrder], bool], new: bool = True) -> Job | None:
        """Return the first job that can start; ``open_next`` opens a run, or returns False."""
        if not new:
            return self._ask_known()
        while not self.ready:
            if not open_next(self):
                return None
        return self._start(*self.ready[0])

    def _ask_known(self) -> Job | None:
        """Return the first job of a known trial; brackets that wait for new trials are passed."""
        known = [run for run in self.ready if not self.brackets[run[1]].fresh]
        return self._start(*min(known)) if known else None

    def _start(self, run: int, name: int) -> Job:
        bracket = self.brackets[name]
        trial, units = bracket.start(self.trials)
        self.trials += trial == self.trials
        self.home[trial] = run, name
        if not bracket.startable:
            self.ready.remove((run, name))
            heapify(self.ready)
        return Job(trial, units)

    def tell(self, job: Job, loss: float) -> int:
        """Take in that ``job`` has ended with ``loss``; return the name of its bracket."""
        run, name = self.home.pop(job.trial)
        bracket = self.brackets[name]
        waited = not bracket.startable
        bracket.finish(job.trial, loss)
        if waited and bracket.startable:
            heappush(self.ready, (run, name))
        return name

    def complete(self) -> bool:
        """Whether every run that has been opened is over."""
        return all(bracket.complete for bracket in self.brackets.values())
