"""The one loop: decide, run, write down, tell.

Everything decided here follows from the journal, so the loop can be killed between any two
instructions: a new process folds the journal and goes on with the same decisions. Wall-clock says
only when to stop (and, under a time budget, when to confirm), and what it said is in the journal.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

from parafree.core.contracts import Job
from parafree.study._executor import Executor
from parafree.study._fold import Fold
from parafree.study.budget import Budget, Interrupt
from parafree.study.events import Event
from parafree.study.history import History, Trial
from parafree.study.store import Clock, Span, Store

_FLUSH_S = 0.25  # reports reach the disk at least this often
_SAVE_S = 60.0  # states are saved this often, so that a killed run has little to compute again
_CONFIRM_SHARE = 0.2  # of a budget, at most, for repeating the winner
_HOPELESS = 100  # trials that may fail before the first loss; they use no budget of units up


class Journal:
    """Buffers events between the loop and the store, and applies them to the fold at once."""

    def __init__(
        self, store: Store, study_id: int, session: int, fold: Fold | History, seq: int
    ) -> None:
        self._store, self._study, self._session = store, study_id, session
        self._fold, self._seq = fold, seq
        self._events: list[Event] = []
        self._spans: list[Span] = []
        self._flushed = time.monotonic()

    def write(self, event: Event) -> None:
        """Apply an event, and keep it for the next flush."""
        self._fold.apply(event)
        self._events.append(event)

    def span(self, span: Span) -> None:
        """Keep the time line of one job for the next flush."""
        self._spans.append(span)

    def flush(self, elapsed: float, force: bool = False) -> None:
        """Write what is buffered as one transaction, unless the last one is very recent."""
        now = time.monotonic()
        if (self._events or self._spans) and (force or now - self._flushed >= _FLUSH_S):
            # Emptied first: if the write is interrupted the journal is read again anyway.
            events, spans, self._events, self._spans = self._events, self._spans, [], []
            clock = Clock(self._session, elapsed) if events else None
            self._seq = self._store.append(self._study, self._seq, events, clock, spans)
            self._flushed = now


class _Begin(NamedTuple):
    """When a job began, the units that its trial had then, and its lane once it has one."""

    when: float
    units: int
    lane: int | None


class Driver:
    """Drives one study in one process until its budget is spent.

    Args:
        fold: the study's state, with its journal taken in.
        executor: runs the jobs.
        journal: where events go.
        budget: when to stop.
        repeats: fresh-seed runs of the winner at the end; 0 for none.
        session: the session's number, for time lines.
        clock: seconds since the call began.
        progress: shows what is going on.
        interrupt: requests to stop.
        sign: -1 where larger is better, otherwise 1.
    """

    def __init__(
        self,
        fold: Fold,
        executor: Executor,
        journal: Journal,
        budget: Budget,
        *,
        repeats: int,
        session: int,
        clock: Any,
        progress: Any,
        interrupt: Interrupt,
        sign: float,
    ) -> None:
        self._fold, self._executor, self._journal = fold, executor, journal
        self._budget, self._repeats, self._session = budget, repeats, session
        self._clock, self._progress, self._interrupt = clock, progress, interrupt
        self._goal = None if budget.target is None else sign * budget.target
        self._began: dict[int, _Begin] = {}
        plan = executor.plan  # units that one `advance` may report at most
        self._stride = plan.get("lanes", 1) * plan.get("devices", 1) * plan.get("chunk", 1)
        self._reached = self._confirmed = False  # the target; the winner, in this call
        self._failed, self._any_loss = 0, fold.history.best() is not None
        self._ended: str | None = None
        self._saved = time.monotonic()

    def run(self) -> str:
        """Run the loop; return why it ended."""
        try:
            self._submit_all()
            while (reason := self._reason()) is None:
                self._top_up()
                if self._ended is not None:
                    continue
                if not self._executor.running():
                    self._nothing_left()
                    continue
                began = self._clock()
                for event in self._executor.advance():
                    self._enter_lane(event.trial, began)
                    self._record(event)
                self._journal.flush(self._clock())
                self._progress(self._fold, self._executor)
                self._save_now_and_then()
            return reason
        finally:
            for trial in list(self._began):
                self._end_span(trial)
            self._journal.flush(self._clock(), force=True)

    # When to stop -------------------------------------------------------------------------

    def _reason(self) -> str | None:
        budget = self._budget
        if self._interrupt.reason is not None:
            return self._interrupt.reason
        if self._reached:
            return "target"
        if budget.seconds is not None and self._clock() >= budget.seconds:
            return "time"
        if budget.units is not None and self._fold.units >= budget.units:
            return "units"
        if self._failed >= _HOPELESS and not self._any_loss:
            return "failed"
        return self._ended

    def _nothing_left(self) -> None:
        """Confirm the winner once nothing else can be done; then stop."""
        best = self._unconfirmed()
        if best is not None and self._confirm(best, best.units):
            return
        capped = self._budget.trials is not None and self._fold.asked >= self._budget.trials
        self._ended = "trials" if capped else "done"

    # What to run --------------------------------------------------------------------------

    def _submit_all(self) -> None:
        """Hand every job in flight to the executor, repeats of the winner first.

        Both a resumed run and one that begins to confirm pass here, so they go on alike.
        """
        fold = self._fold
        for job in list(fold.repeating.values()):
            self._submit(job, urgent=True)
        if not (fold.repeating and self._alone):
            for job in list(fold.jobs.values()):
                self._submit(job)

    def _top_up(self) -> None:
        fold, budget = self._fold, self._budget
        self._confirm_in_time()
        if self._ended is not None:
            return
        while not (fold.repeating and self._alone) and self._executor.wants():
            may_start = budget.trials is None or fold.asked < budget.trials
            events = fold.decide(new=may_start)
            if not events:
                return
            for event in events:
                self._journal.write(event)
            job = fold.jobs.get(events[-1].trial)
            if job is not None:  # a trial that ended by itself is over as soon as it starts
                self._submit(job)

    def _submit(self, job: Job, urgent: bool = False) -> None:
        trial = self._fold.history.trials[job.trial]
        seed = self._fold.trial_seed(job.trial)
        self._executor.submit(job, trial.hparams, seed, trial.units, urgent=urgent)
        lane = self._executor.lane_of(job.trial)
        self._began[job.trial] = _Begin(self._clock(), trial.units, lane)

    def _record(self, event: Event) -> None:
        fold = self._fold
        self._journal.write(event)
        self._any_loss = self._any_loss or event.loss is not None
        self._failed += event.kind == "end"
        if event.loss is not None and self._goal is not None and event.loss <= self._goal:
            self._reached = True
        if event.trial not in fold.jobs and event.trial not in fold.repeating:
            self._end_span(event.trial)

    def _enter_lane(self, trial: int, when: float) -> None:
        """Begin the time line of a job that waited for a lane until now."""
        if trial in self._began and self._began[trial].lane is None:
            lane = self._executor.lane_of(trial)
            self._began[trial] = self._began[trial]._replace(when=when, lane=lane)

    def _end_span(self, trial: int) -> None:
        if trial not in self._began:
            return
        begin, units, lane = self._began.pop(trial)
        had = self._fold.history.trials[trial].units - units
        if lane is not None and had:
            self._journal.span(Span(self._session, lane, trial, begin, self._clock(), had))

    def _save_now_and_then(self) -> None:
        if time.monotonic() - self._saved > _SAVE_S:
            self._executor.save()
            self._saved = time.monotonic()

    # Confirming the winner ----------------------------------------------------------------

    @property
    def _alone(self) -> bool:
        """Whether repeats run alone: under a budget of units all others would use theirs up."""
        return self._budget.units is not None

    def _unconfirmed(self) -> Trial | None:
        """Return the winner so far, unless it was repeated already or shall not be."""
        history = self._fold.history
        if not self._repeats or self._goal is not None or self._fold.repeating:
            return None
        best = history.best()
        return None if best is None or history.repeats_of(best.id) else best

    def _confirm_in_time(self) -> None:
        """Begin to confirm when what is left of the budget is just enough for it."""
        budget, fold = self._budget, self._fold
        if budget.units is not None:
            left, most = budget.units - fold.units, _CONFIRM_SHARE * budget.units
            if left > most + self._stride:
                return
            best = fold.history.best()  # looks at every trial, so only near the end
            if best is None or left > min(most, self._repeats * best.units) + self._stride:
                return
            if self._unconfirmed() is not None:
                self._confirm(best, left / max(self._repeats, 1))
            elif fold.history.repeats_of(best.id) and not fold.repeating:
                self._ended = "units"
        elif budget.seconds is not None:
            left_s, most_s = budget.seconds - self._clock(), _CONFIRM_SHARE * budget.seconds
            if left_s > most_s or (best := self._unconfirmed()) is None:
                return
            needed_s = 1.2 * self._executor.estimate(self._repeats, best.units)
            if left_s <= min(most_s, needed_s) and not self._confirmed:
                self._confirm(best, best.units * left_s / max(needed_s, 1e-9))

    def _confirm(self, best: Trial, affordable: float) -> bool:
        """Start repeats of the winner; return whether there are any.

        Args:
            best: the winner so far.
            affordable: units that each repeat may have at most.
        """
        step = self._fold.scheduler.min_units or 1
        units = int(min(best.units, affordable) // step * step)
        if units < step:
            return False
        self._confirmed = True
        data: dict[str, Any] = {"trial": best.id, "units": units}
        self._journal.write(Event("confirm", best.id, units, data=data))
        for _ in range(self._repeats):
            trial = len(self._fold.history.trials)
            data = {"hparams": dict(best.hparams), "repeats": best.id}
            self._journal.write(Event("trial", trial, data=data))
            self._journal.write(Event("start", trial, units))
        self._executor.pause_all()
        self._submit_all()
        return True
