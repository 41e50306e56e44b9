"""Runs Python functions and commands as trials in worker processes, one trial in each."""

from __future__ import annotations

import itertools
import os
import selectors
import shutil
import sys
import time
import warnings
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from parafree.core.contracts import Job
from parafree.core.errors import StoreError
from parafree.study._evaluation import Evaluation
from parafree.study._executor import Usage
from parafree.study._worker_process import WorkerProcess, describe_exit, environment_of
from parafree.study._worker_run import Run, Spent, Told
from parafree.study.events import Event
from parafree.study.history import History
from parafree.study.trainables import Source

_TICK = 0.5  # seconds that advance() waits at most
_LITTLE = 1 << 16  # bytes free on a disk that is full
_PAUSE = 5.0  # seconds that a trial has to reach its next report when all are paused


_Worker = WorkerProcess[Run]


class WorkerExecutor:
    """Trains every trial in a process of its own choosing among a few that are kept alive.

    Args:
        trainable: a function of ``trial``, a :class:`Command`, or an :class:`Evaluation`.
        folder: where the states and logs of this study's trials go.
        workers: how many trials at once; as many as there are cores by default.
        objective: which of the reported metrics is the loss.
        maximize: whether larger is better; the loss is then the metric's negative.

    Raises:
        TrainableError: the function cannot be sent to another process.
        StoreError: while it runs: the disk is full.

    Example:
        >>> import tempfile
        >>> def train(trial):
        ...     while True:
        ...         trial.report(loss=trial.hparams["x"] / (trial.units + 1))
        >>> executor = WorkerExecutor(train, Path(tempfile.mkdtemp()), workers=1)
        >>> executor.submit(Job(trial=0, units=2), {"x": 1.0}, seed=0, units_done=0)
        >>> events = []
        >>> while executor.running():
        ...     events += executor.advance()
        >>> [(event.units, event.loss) for event in events]
        [(1, 1.0), (2, 0.5)]
        >>> executor.close()
    """

    def __init__(
        self,
        trainable: Any,
        folder: Path,
        workers: int | None = None,
        *,
        objective: str = "loss",
        maximize: bool = False,
    ) -> None:
        self._source = asdict(Source.of(trainable))
        self._evaluates = isinstance(trainable, Evaluation)
        self._timeout = trainable.timeout if self._evaluates else None
        self._folder = folder.resolve()
        self._count = workers or os.cpu_count() or 1
        self._workers: list[_Worker | None] = [None] * self._count
        self._objective, self._maximize = objective, maximize
        self._urgent: deque[Run] = deque()
        self._waiting: deque[Run] = deque()
        self._told: deque[Told] = deque()
        self._orders = itertools.count(1)
        self._spent = Spent(time.monotonic())
        self._ready = selectors.DefaultSelector()
        self._environment = environment_of(self._count)
        (self._folder / "logs").mkdir(parents=True, exist_ok=True)

    @property
    def plan(self) -> dict[str, Any]:
        """What a resumed study must keep to take the same decisions."""
        return {"executor": "workers", "workers": self._count}

    def wants(self) -> bool:
        """Whether there is room for one more job now."""
        return self.running() < self._count

    def running(self) -> int:
        """How many jobs are neither done nor ended."""
        ending = sum(told.last for told in self._told)
        return len(self._busy()) + len(self._urgent) + len(self._waiting) + ending

    def lane_of(self, trial: int) -> int | None:
        """Return which worker trains ``trial`` now, counted from 0."""
        for worker in self._busy():
            if worker.run and worker.run.job.trial == trial:
                return worker.number
        return None

    def submit(
        self,
        job: Job,
        hparams: Mapping[str, Any],
        seed: int,
        units_done: int,
        *,
        urgent: bool = False,
    ) -> None:
        """Start a job in a free worker, or as soon as one is free.

        Args:
            job: the trial and the units that it shall have had.
            hparams: the trial's configuration in the user's values.
            seed: the trial's own seed.
            units_done: units whose reports the study has; they are not told again.
            urgent: whether it goes before the jobs that wait and are not.
        """
        queue = self._urgent if urgent else self._waiting
        queue.append(Run(job, hparams, seed, units_done))
        self._fill()

    def advance(self) -> list[Event]:
        """Wait until something was reported, half a second at most; return it in order.

        Returns:
            Events of the kinds "report" and "end". A job is over with the report that reaches its
            units, with a report without a loss (the trial diverged), or with an "end".
        """
        begin = time.monotonic()
        while not self._told and self.running():
            left = begin + _TICK - time.monotonic()
            for key, _ in self._ready.select(max(0.0, left)):
                self._hear(key.data)
            self._end_overdue()
            if left <= 0:
                self._bury()
                break
        self._spent.waited_s += time.monotonic() - begin
        # One at a time: the study decides after each report, not after as many as happened to come.
        return [self._told.popleft().event] if self._told else []

    def pause_all(self) -> None:
        """Let every trial pause at its next report, and drop its job.

        What does not report within a few seconds is ended, and goes on later from its last save.
        What is reported meanwhile is told again when the trial goes on: when it was reported says
        nothing about the trial, and a journal must not depend on it.
        """
        self._urgent.clear()
        self._waiting.clear()
        for worker in self._busy():
            if worker.run is not None:
                worker.send(kind="stop", number=worker.run.number)
        deadline = time.monotonic() + _PAUSE
        while self.running() and time.monotonic() < deadline:
            self.advance()
        for worker in self._busy():
            self._let_go(worker, "paused")
            self._drop(worker)
        self._told.clear()

    def estimate(self, jobs: int, units: int) -> float:
        """Return about how many seconds so many jobs of so many units will take together."""
        rounds = -(-jobs // self._count)
        return rounds * units * self._spent.per_unit(self._running())

    def recall(self, history: History) -> None:
        """Learn nothing: the trials' own files remember what a trial needs."""

    def save(self) -> None:
        """Do nothing: functions and commands save their own states as they go."""

    def usage(self) -> Usage:
        """Return what was spent; nothing is compiled here."""
        elapsed = time.monotonic() - self._spent.began
        busy = self._spent.total(self._running()) / max(1e-9, elapsed * self._count)
        return Usage(compile_s=0.0, work_s=self._spent.waited_s, busy=min(1.0, busy))

    def close(self) -> None:
        """End every worker process that this executor started, and wait for them."""
        for worker in self._workers:
            if worker is not None:
                self._drop(worker)
        self._ready.close()

    def _busy(self) -> list[_Worker]:
        return [worker for worker in self._workers if worker and worker.run]

    def _running(self) -> list[Run]:
        return [worker.run for worker in self._workers if worker and worker.run]

    def _fill(self) -> None:
        for number in range(self._count):
            worker, queue = self._workers[number], self._urgent or self._waiting
            if queue and (worker is None or worker.run is None):
                self._order(worker or self._start(number), queue.popleft())

    def _start(self, number: int) -> _Worker:
        worker = _Worker(number, self._folder / "logs", self._environment)
        self._workers[number] = worker
        self._ready.register(worker.connection, selectors.EVENT_READ, worker)
        worker.send(kind="hello", path=sys.path, source=self._source)
        return worker

    def _order(self, worker: _Worker, run: Run) -> None:
        worker.run = run
        run.begin(next(self._orders))
        worker.send(
            kind="train",
            number=run.number,
            trial=run.job.trial,
            target=run.job.units,
            units=run.units,
            hparams=dict(run.hparams),
            seed=run.seed,
            objective=self._objective,
            maximize=self._maximize,
            evaluates=self._evaluates,
            directory=str(self._directory(worker, run)),
            log=str(self._log(worker, run)),
        )

    def _directory(self, worker: _Worker, run: Run) -> Path:
        # An evaluation leaves nothing behind, so there may be millions of them.
        if self._evaluates:
            return worker.log.with_suffix(".output")
        return self._folder / "states" / str(run.job.trial)

    def _log(self, worker: _Worker, run: Run) -> Path:
        if self._evaluates:
            return worker.log
        return self._folder / "logs" / f"trial-{run.job.trial}.log"

    def _hear(self, worker: _Worker) -> None:
        messages = worker.receive()
        if messages is None:
            self._mourn(worker)
            return
        for message in messages:
            match message.pop("kind"):
                case "idle":
                    self._let_go(worker, **message)
                    self._fill()
                case "warning":
                    # Not in the journal, which must not depend on what was damaged.
                    warnings.warn(message["message"], stacklevel=2)
                case "loaded" if worker.run is not None and not worker.loaded:
                    worker.loaded, worker.run.begun = True, time.monotonic()
                case "report" if worker.run and (event := worker.run.take(**message)):
                    self._told.append(Told(event, last=False))

    def _let_go(
        self, worker: _Worker, status: str, message: str = "", loss: float | None = None
    ) -> None:
        """Take in how a worker's run ended."""
        run, worker.run = worker.run, None
        if run is None:
            return
        self._spent.add(run)
        if run.last is not None and status != "failed":
            self._over(run.last)
        elif status != "paused":
            if status == "full" or (status == "failed" and _is_full(self._folder)):
                raise _full(self._folder, message)
            self._over(run.end(status, message, loss if run.loss is None else run.loss))

    def _over(self, event: Event) -> None:
        self._told.append(Told(event, last=True))

    def _bury(self) -> None:
        """Notice dead workers whose sockets something that they started still holds open."""
        for worker in self._busy():
            if worker.process.poll() is not None:
                self._hear(worker)
                if worker.run is not None and worker is self._workers[worker.number]:
                    self._mourn(worker)

    def _end_overdue(self) -> None:
        """End the workers whose evaluation takes longer than it may, and count it as failed."""
        if self._timeout is None:
            return
        for worker in self._busy():
            run = worker.run
            if run is None or not worker.loaded:
                continue
            if time.monotonic() - run.begun > self._timeout:
                self._drop(worker)
                worker.run = None
                message = f"the evaluation took longer than {self._timeout:g} s and was ended"
                self._over(run.end("failed", message, None))
                self._fill()

    def _mourn(self, worker: _Worker) -> None:
        """Replace a worker that died; its trial goes on from its last save.

        It fails when the new worker dies too before anything more was reported.
        """
        run, worker.run = worker.run, None
        self._drop(worker)
        if run is None:
            return
        run.deaths += 1
        self._spent.add(run)
        if run.last is not None:
            self._over(run.last)
        elif run.deaths == 1:
            self._order(self._start(worker.number), run)
        else:
            how = describe_exit(worker.process.returncode)
            message = (
                f"the worker process {how}, twice at the same unit;"
                f" the logs are {self._log(worker, run)} and {worker.log}"
            )
            if _is_full(self._folder):
                raise _full(self._folder, message)
            self._over(run.end("failed", message, run.loss))
        self._fill()

    def _drop(self, worker: _Worker) -> None:
        self._ready.unregister(worker.connection)
        self._workers[worker.number] = None
        worker.end()


def _is_full(folder: Path) -> bool:
    """Whether next to nothing can be written, so that a trial's failure is none of its own."""
    return shutil.disk_usage(folder).free < _LITTLE


def _full(folder: Path, message: str) -> StoreError:
    return StoreError(
        f"the disk is full; nothing that was reported before is lost ({message})",
        where=str(folder),
        fix="free some space and run the same command again; it goes on where it stopped",
    )
