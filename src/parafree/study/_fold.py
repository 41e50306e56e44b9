"""What a study's journal says, folded: the scheduler's state, the jobs in flight, the history."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from parafree.core.contracts import Job, Sampler, Scheduler
from parafree.core.errors import StudyError
from parafree.core.keys import integer_from_names
from parafree.core.space import Space
from parafree.study._goals import PLAIN, Goals
from parafree.study.events import Event, plain
from parafree.study.history import History


class Fold:
    """The state of a study as a function of its journal, and the decisions that follow from it.

    Schedulers count their own trials, and repeats of the winner are none of theirs, so a study's
    trial numbers and the scheduler's are kept apart here.

    Args:
        scheduler: decides which trial gets the next units; its ``min_units`` is known.
        sampler: decides on configurations.
        space: the search space.
        seed: of the study.
        first: configurations that the first trials get, before the sampler is asked.
        goals: what the figures of a minimisation are for.
    """

    def __init__(
        self,
        scheduler: Scheduler[Any],
        sampler: Sampler[Any],
        space: Space,
        seed: int,
        first: Sequence[Mapping[str, Any]] = (),
        goals: Goals = PLAIN,
    ) -> None:
        self.scheduler, self.sampler, self.seed = scheduler, sampler, seed
        self._first = first
        self._scheduling = scheduler.init()
        self._sampling = sampler.init(space, seed)
        self._trials: list[int] = []  # the scheduler's number -> the study's trial
        self._numbers: dict[int, int] = {}  # and back
        self._finished: set[int] = set()  # trials that ended by themselves
        self.history = History(goals)
        self.jobs: dict[int, Job] = {}  # trial -> the job it is in, in the order asked
        self.repeating: dict[int, Job] = {}  # the same for repeats of the winner
        self.units = 0  # of all trials together

    @property
    def asked(self) -> int:
        """Trials that the scheduler asked for."""
        return len(self._trials)

    def replay(self, events: Iterable[Event]) -> None:
        """Take in a journal, and check that the scheduler decides again as it did.

        Raises:
            StudyError: it does not, because the program has changed since.
        """
        for event in events:
            if event.kind == "start" and event.trial in self._numbers:
                new = (event.data or {}).get("new", True)
                job = self.scheduler.ask(self._scheduling, new=new)
                if job != Job(self._numbers[event.trial], event.units):
                    raise StudyError(
                        f"the scheduler decides {job}, but the journal says {event}",
                        where="the study's journal",
                        fix="go on with the version of parafree that began the study",
                    )
            elif event.kind == "trial" and self._learns and not _repeats(event):
                self._ask_again(event)
            self.apply(event)

    @property
    def _learns(self) -> bool:
        """Whether the sampler's state depends on what it was asked."""
        return bool(getattr(self.sampler, "learns", False))

    def _ask_again(self, event: Event) -> None:
        number = len(self._trials)
        if number < len(self._first):
            return
        config, said = self.sampler.ask(self._sampling, number), (event.data or {})["hparams"]
        if not _alike(config, said):
            # Another version of parafree, or another processor: what was tried stays what it was.
            adopt = getattr(self.sampler, "adopt", None)
            if adopt is None:
                raise StudyError(
                    f"the sampler decides {config}, but the journal says {event}",
                    where="the study's journal",
                    fix="go on with the version of parafree that began the study",
                )
            adopt(self._sampling, number, dict(said))

    def decide(self, new: bool) -> list[Event]:
        """Ask the scheduler for a job, and the sampler for a configuration where it is new.

        Args:
            new: whether a new trial may start.

        Returns:
            The events that say so, not applied yet; none when there is nothing to start.
        """
        job = self.scheduler.ask(self._scheduling, new=new)
        if job is None:
            return []
        if job.trial < self.asked:
            # Said only where it matters: replaying the journal must ask the same question.
            data = None if new else {"new": False}
            return [Event("start", self._trials[job.trial], job.units, data=data)]
        trial = len(self.history.trials)
        hparams = self._configuration(job.trial)
        return [Event("trial", trial, data={"hparams": hparams}), Event("start", trial, job.units)]

    def _configuration(self, number: int) -> dict[str, Any]:
        if number < len(self._first):
            return dict(self._first[number])
        return self.sampler.ask(self._sampling, number)

    def exhausted(self) -> bool:
        """Whether the scheduler will never ask for anything again."""
        return self.scheduler.done(self._scheduling)

    def trial_seed(self, trial: int) -> int:
        """Return the seed of a trial; repeats have seeds of their own."""
        return integer_from_names(self.seed, "trial", trial)

    def apply(self, event: Event) -> None:
        """Take in one event."""
        before = self._had(event.trial) if event.kind == "report" else 0
        self.history.apply(event)
        match event.kind:
            case "trial":
                if not _repeats(event):
                    self._numbers[event.trial] = len(self._trials)
                    self._trials.append(event.trial)
            case "start":
                self._start(event)
            case "report":
                self.units += max(0, event.units - before)
                job = self._job(event.trial)
                if event.loss is None:
                    self._over(event.trial, math.inf)
                elif job is not None and event.units >= job.units:
                    self._over(event.trial, event.loss)
            case "end":
                self._end(event)

    def _had(self, trial: int) -> int:
        return self.history.trials[trial].units

    def _job(self, trial: int) -> Job | None:
        return self.jobs.get(trial) or self.repeating.get(trial)

    def _start(self, event: Event) -> None:
        job = Job(event.trial, event.units)
        if event.trial not in self._numbers:
            self.repeating[event.trial] = job
            return
        self.jobs[event.trial] = job
        if event.trial in self._finished:  # it has no more to give: its last loss stands
            loss = self.history.trials[event.trial].loss
            self._over(event.trial, math.inf if loss is None else loss)

    def _end(self, event: Event) -> None:
        finished = (event.data or {}).get("status") == "finished" and event.loss is not None
        if finished:
            self._finished.add(event.trial)
        self._over(event.trial, event.loss if finished and event.loss is not None else math.inf)

    def _over(self, trial: int, loss: float) -> None:
        self.repeating.pop(trial, None)
        job = self.jobs.pop(trial, None)
        if job is not None:
            self.scheduler.tell(self._scheduling, Job(self._numbers[trial], job.units), loss)
            # One that learns is told all figures: a minimisation may have several that count.
            more = (self.history.trials[trial].metrics,) if self._learns else ()
            self.sampler.tell(self._sampling, self._numbers[trial], job.units, loss, *more)


def _repeats(event: Event) -> bool:
    return (event.data or {}).get("repeats") is not None


def _alike(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    """Whether two configurations differ by no more than processors differ in rounding."""
    plain_a, plain_b = plain(a), plain(b)
    return plain_a.keys() == plain_b.keys() and all(
        math.isclose(x, y, rel_tol=1e-6, abs_tol=1e-12)
        if isinstance(x, float) and isinstance(y, float)
        else x == y
        for x, y in zip(plain_a.values(), (plain_b[name] for name in plain_a), strict=True)
    )
