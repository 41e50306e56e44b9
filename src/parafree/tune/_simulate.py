"""Runs a scheduler against recorded learning curves: the decisions and the bill, no training."""

from __future__ import annotations

from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Any, Literal, NamedTuple

import numpy as np

from parafree.core.contracts import Job, Scheduler
from parafree.core.errors import MethodError


class Evaluation(NamedTuple):
    """One job that has ended."""

    trial: int
    units: int  # units that the trial has had
    loss: float
    begin: float  # when the job began, in units of one worker's time
    end: float


@dataclass(frozen=True)
class Trace:
    """What a simulated run did, in the order in which its n jobs ended.

    The arrays are numpy arrays of n elements each.
    """

    evaluations: list[Evaluation]
    used: Any  # int64: units charged for the jobs that have ended so far
    best: Any  # float64: smallest loss so far; infinite before the first finite one
    reason: Literal["budget", "done", "table"]  # why no further job started

    def used_until(self, loss: float) -> float:
        """Return the units used until ``loss`` was reached or beaten; infinite if never.

        Example:
            >>> from parafree.tune import RandomSearch
            >>> trace = simulate(RandomSearch(2), np.array([[0.9, 0.5], [0.8, 0.1]]))
            >>> trace.used_until(0.3), trace.used_until(0.0)
            (4.0, inf)
        """
        reached = np.flatnonzero(self.best <= loss)
        return float(self.used[reached[0]]) if reached.size else float("inf")


def simulate(
    scheduler: Scheduler[Any],
    curves: Any,
    workers: int = 1,
    budget: int | None = None,
    *,
    resume: bool = True,
) -> Trace:
    """Run ``scheduler`` on a table of learning curves, each unit taking one unit of time.

    Args:
        scheduler: with its ``min_units`` set.
        curves: array of (trials, units): ``curves[i, u - 1]`` is the loss of trial i after u units.
        workers: jobs that run at the same time.
        budget: units that may be charged in all; ``None``: no limit.
        resume: charge a promoted trial only for what it has not had yet; if false, each job starts
            from scratch and is charged in full.

    Returns:
        The trace. The run ends when the next job would go over the budget, when the scheduler is
        done, or when it asks for a trial or a number of units that the table does not hold; jobs
        under way are still told.

    Raises:
        MethodError: the table or a number is impossible.

    Example:
        >>> from parafree.tune import ASHA
        >>> trace = simulate(ASHA(min_units=1), np.array([[0.9, 0.6], [0.5, 0.1], [0.7, 0.4]]))
        >>> [evaluation.trial for evaluation in trace.evaluations], trace.reason
        ([0, 1, 2], 'table')
    """
    curves = np.asarray(curves, dtype=float)
    if curves.ndim != 2 or workers < 1 or (budget is not None and budget < 0):
        raise MethodError(
            f"cannot simulate with a table of shape {curves.shape}, {workers} workers and a "
            f"budget of {budget}",
            where="simulate(...)",
            fix="give a table of (trials, units), at least one worker, and a budget of 0 or more",
        )
    state = scheduler.init()
    running: list[tuple[float, int, float, Job, int]] = []  # end, order, begin, job, charge
    had: dict[int, int] = {}
    evaluations: list[Evaluation] = []
    used: list[int] = []
    charged, now, order = 0, 0.0, 0
    reason: Literal["budget", "done", "table"] | None = None
    while True:
        while reason is None and len(running) < workers:
            job = scheduler.ask(state)
            if job is None:
                reason = "done" if scheduler.done(state) else None
                break
            if job.trial >= curves.shape[0] or job.units > curves.shape[1]:
                reason = "table"
                break
            charge = job.units - had.get(job.trial, 0) if resume else job.units
            if budget is not None and charged + charge > budget:
                reason = "budget"
                break
            charged += charge
            had[job.trial] = job.units
            heappush(running, (now + charge, order, now, job, charge))
            order += 1
        if not running:
            break
        now, _, begin, job, charge = heappop(running)
        loss = float(curves[job.trial, job.units - 1])
        scheduler.tell(state, job, loss)
        evaluations.append(Evaluation(job.trial, job.units, loss, begin, now))
        used.append(charge + (used[-1] if used else 0))
    losses = np.array([evaluation.loss for evaluation in evaluations])
    best = np.minimum.accumulate(np.where(np.isfinite(losses), losses, np.inf))
    return Trace(evaluations, np.array(used, dtype=np.int64), best, reason or "done")
