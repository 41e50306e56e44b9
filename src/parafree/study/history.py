"""The history of a study: the fold of its journal into trials, curves and the best one."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from parafree.core.errors import StudyError
from parafree.study._goals import PLAIN, Goals
from parafree.study._pick import Candidate, pick
from parafree.study._reports import REPORT, Reports, last_of_each, lowest_of_each
from parafree.study.events import Event

if TYPE_CHECKING:
    from parafree.study.store import Store

__all__ = ["REPORT", "History", "Status", "Trial", "Uncertainty"]

_MANY = 100  # names that trials share where they were read from a journal, each with its own

Status = Literal["paused", "running", "finished", "diverged", "infeasible", "failed"]


@dataclass(slots=True)
class Trial:
    """One configuration and how far it got.

    Args:
        id: its number; trials are numbered 0, 1, 2, ... in the order in which they were made.
        hparams: the configuration, in the user's values.
        repeats: the trial whose configuration this one repeats with a fresh seed, if any.
        status: ``paused`` (may go on), ``running`` (has a job), ``finished``, ``diverged`` (its
            last loss was not finite), ``infeasible`` (its figures are known and one of them is
            beyond its limit) or ``failed``.
        units: units that it has had, by its last report.
        loss: its last loss; ``None`` before the first, when it was not finite, or when the trial
            is infeasible.
        best_loss: its lowest loss.
        metrics: what else its last report said.
        message: why it ended, if something had to be said.
    """

    id: int
    hparams: dict[str, Any]
    repeats: int | None = None
    status: Status = "paused"
    units: int = 0
    loss: float | None = None
    best_loss: float | None = None
    metrics: dict[str, Any] = field(default_factory=dict)
    message: str = ""


class Uncertainty(NamedTuple):
    """What a configuration's loss is worth: measured on repeats with fresh seeds."""

    mean: float  # mean loss of the repeats
    error: float  # standard error of that mean
    repeats: int  # how many; at least 2
    units: int  # after so many units, which may be fewer than the trial itself has had


class History:
    """The fold of a journal: made empty, then told one event after the other.

    Folding a journal in one go, in pieces, or by :meth:`load` gives equal histories.

    Args:
        goals: what the figures are for, where the study is a minimisation.

    Example:
        >>> history = History.from_events([
        ...     Event("trial", 0, data={"hparams": {"lr": 0.1}}),
        ...     Event("start", 0, 9),
        ...     Event("report", 0, 9, 0.25),
        ... ])
        >>> best = history.best()
        >>> best.hparams, best.units, best.loss, best.status
        ({'lr': 0.1}, 9, 0.25, 'paused')
    """

    def __init__(self, goals: Goals = PLAIN) -> None:
        self._goals = goals
        self.trials: list[Trial] = []
        self.repeats: set[int] = set()  # trials that repeat another one's configuration
        self.plan: dict[str, Any] | None = None  # what the executor measured
        self.confirmed: dict[str, Any] | None = None  # the last "confirm": trial, units
        self.units = 0  # units that all trials have had
        self.seq = 0  # events folded; the place of the last one in the journal
        self._targets: list[int] = []  # trial -> units at which its job ends
        self._reports = Reports()
        self._best: tuple[int, Trial | None] = (0, None)  # and the seq at which it was so

    @classmethod
    def from_events(cls, events: Iterable[Event], goals: Goals = PLAIN) -> History:
        """Fold a journal."""
        history = cls(goals)
        for event in events:
            history.apply(event)
        return history

    @classmethod
    def load(cls, store: Store, study_id: int, goals: Goals = PLAIN) -> History:
        """Fold a stored journal by columns, several times faster than event by event.

        Args:
            store: an open store.
            study_id: the study.
            goals: what its figures are for.

        Cost:
            About a second for a million reports; reads metrics of each trial's last report only.
        """
        history = cls(goals)
        end = store.last_seq(study_id)  # a writer may add more while we read
        reports = store.reports(study_id)
        reports = reports[reports["seq"] <= end]
        last = last_of_each(reports["trial"])
        metrics = store.report_data(study_id, reports["seq"][last].tolist())
        decisions = [each for each in store.decisions(study_id) if each[0] <= end]
        history._fold_columns(reports, last, metrics, decisions)
        history.seq = end
        return history

    def _fold_columns(
        self,
        reports: np.ndarray,
        last: np.ndarray,
        metrics: dict[int, dict[str, Any]],
        decisions: list[tuple[int, Event]],
    ) -> None:
        """Fold the decisions, with each trial's last report among them at its own place."""
        self._reports.extend(reports)
        lowest = lowest_of_each(reports)
        last_reports = [
            (seq, Event("report", trial, units, _none_if_nan(loss), metrics.get(seq)))
            for trial, units, loss, seq in reports[last].tolist()
        ]
        for _, event in sorted([*decisions, *last_reports], key=lambda each: each[0]):
            if event.kind == "report":
                self._take_report(event)
                self.trials[event.trial].best_loss = lowest.get(event.trial)
            else:
                self.apply(event)

    def apply(self, event: Event) -> None:
        """Take in the journal's next event.

        Raises:
            StudyError: it is about a trial that does not exist, so the journal is damaged.
        """
        self.seq += 1
        kind = event.kind
        if kind == "report":
            self._take_report(event)
            self._reports.append(event.trial, event.units, event.loss, self.seq)
        elif kind == "trial":
            self._take_trial(event)
        elif kind == "start":
            self._trial_of(event).status = "running"
            self._targets[event.trial] = event.units
        elif kind == "end":
            data = event.data or {}
            trial = self._trial_of(event)
            trial.status = data["status"]
            trial.message = data.get("message") or ""
        elif kind == "plan":
            self.plan = event.data
        elif kind == "confirm":
            self.confirmed = event.data

    def _take_trial(self, event: Event) -> None:
        if event.trial != len(self.trials):
            raise _damaged(f"trial {event.trial} is made when {len(self.trials)} exist")
        data = event.data or {}
        hparams = data["hparams"]
        if len(hparams) > _MANY:
            hparams = {sys.intern(name): value for name, value in hparams.items()}
        trial = Trial(event.trial, hparams, data.get("repeats"))
        if trial.repeats is not None:
            self.repeats.add(trial.id)
        self.trials.append(trial)
        self._targets.append(0)

    def _take_report(self, event: Event) -> None:
        trial = self._trial_of(event)
        loss = event.loss
        self.units += event.units - trial.units
        trial.units = event.units
        trial.loss = loss
        trial.metrics = event.data or {}
        if loss is None:
            trial.status = "infeasible" if self._goals.measured(trial.metrics) else "diverged"
            return
        if trial.best_loss is None or loss < trial.best_loss:
            trial.best_loss = loss
        trial.status = "paused" if event.units >= self._targets[event.trial] else "running"

    def _trial_of(self, event: Event) -> Trial:
        if 0 <= event.trial < len(self.trials):
            return self.trials[event.trial]
        raise _damaged(f"{event.kind!r} is about trial {event.trial}, which was never made")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, History):
            return NotImplemented
        mine, theirs = (
            (each.seq, each.trials, each.repeats, each.plan, each.confirmed, each.units)
            for each in (self, other)
        )
        return mine == theirs and self.reports.tobytes() == other.reports.tobytes()

    __hash__ = None  # type: ignore[assignment]

    @property
    def reports(self) -> np.ndarray:
        """Every report, in order, as a structured array of :data:`REPORT`."""
        return self._reports.array()

    def best(self) -> Trial | None:
        """Return the trial to recommend, by the rule of :func:`pick`; repeats do not compete."""
        if self._best[0] != self.seq:
            found = pick(
                Candidate(trial.id, trial.units, trial.loss, trial.status == "failed")
                for trial in self.trials
                if trial.repeats is None and trial.loss is not None
            )
            self._best = (self.seq, None if found is None else self.trials[found.trial])
        return self._best[1]

    def curve(self, trial: int) -> tuple[np.ndarray, np.ndarray]:
        """Return a trial's learning curve.

        Args:
            trial: its number.

        Returns:
            Units and losses (NaN where not finite), in the order in which they were reported.
        """
        return self._reports.curve(trial)

    def repeats_of(self, trial: int) -> list[Trial]:
        """Return the trials that repeat the configuration of ``trial`` with fresh seeds."""
        repeats = (self.trials[each] for each in sorted(self.repeats))
        return [each for each in repeats if each.repeats == trial]

    def uncertainty(self, trial: int) -> Uncertainty | None:
        """Say what the configuration of ``trial`` is worth, from repeats with fresh seeds.

        The trial itself does not count: it was picked for being low, so its loss is too good.
        Repeats are compared after the most units that two of them have reached, at most those of
        the trial. Those that diverged are left out of the mean; :meth:`repeats_of` shows them.

        Args:
            trial: its number.

        Returns:
            Mean, standard error, number of repeats and units; ``None`` when there are not two.
        """
        repeats = [each for each in self.repeats_of(trial) if each.loss is not None]
        if len(repeats) < 2:
            return None
        reached = sorted((each.units for each in repeats), reverse=True)
        units = min(reached[1], self.trials[trial].units)
        losses = [
            loss for repeat in repeats if math.isfinite(loss := self.loss_at(repeat.id, units))
        ]
        if len(losses) < 2:
            return None
        error = float(np.std(losses, ddof=1)) / math.sqrt(len(losses))
        return Uncertainty(float(np.mean(losses)), error, len(losses), units)

    def loss_at(self, trial: int, units: int) -> float:
        """Return a trial's loss at its first report after ``units`` units; NaN: none so far."""
        reached, losses = self.curve(trial)
        there = np.flatnonzero(reached >= units)
        return float(losses[there[0]]) if len(there) else math.nan


def _none_if_nan(loss: float) -> float | None:
    return None if math.isnan(loss) else loss


def _damaged(what: str) -> StudyError:
    return StudyError(
        f"the journal contradicts itself: {what}",
        where="the study's journal",
        fix="restore a copy of the database, or start another study",
    )
