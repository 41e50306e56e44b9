"""Runs Python functions and commands as trials in worker processes, one trial in each."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from parafree.core.contracts import Job
from parafree.study.events import Event
from parafree.study.trainables import Source

_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
_TICK = 0.5  # seconds that advance() waits at most


@dataclass
class _Run:
    """A job in a worker, and what the study has heard of it."""

    job: Job
    hparams: Mapping[str, Any]
    seed: int
    units: int
    loss: float | None = None
    last: Event | None = None  # the report that ends the job, kept until the worker lets go of it
    deaths: int = 0


class WorkerExecutor:
    """Trains every trial in a process of its own choosing among a few that are kept alive.

    Args:
        trainable: a function of ``trial``, or a :class:`Command`.
        folder: where the states and logs of this study's trials go.
        workers: how many trials at once; as many as there are cores by default.

    Raises:
        TrainableError: the function cannot be sent to another process.

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

    def __init__(self, trainable: Any, folder: Path, workers: int | None = None) -> None:
        self._source = asdict(Source.of(trainable))
        self._folder = folder.resolve()
        self._count = workers or os.cpu_count() or 1
        self._workers: list[_Worker | None] = [None] * self._count
        self._events: deque[Event] = deque()
        self._ready = selectors.DefaultSelector()
        self._environment = _environment(self._count)
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
        return sum(worker is not None and worker.run is not None for worker in self._workers)

    def lane_of(self, trial: int) -> int | None:
        """Return which worker trains ``trial`` now, counted from 0."""
        for number, worker in enumerate(self._workers):
            if worker and worker.run and worker.run.job.trial == trial:
                return number
        return None

    def submit(self, job: Job, hparams: Mapping[str, Any], seed: int, units_done: int) -> None:
        """Start a job in a free worker.

        Args:
            job: the trial and the units that it shall have had.
            hparams: the trial's configuration in the user's values.
            seed: the trial's own seed.
            units_done: units whose reports the study has; they are not told again.
        """
        number = next(n for n, w in enumerate(self._workers) if w is None or w.run is None)
        worker = self._workers[number] or self._start(number)
        self._order(worker, _Run(job, hparams, seed, units_done))

    def advance(self) -> list[Event]:
        """Wait until something was reported, half a second at most; return it in order.

        Returns:
            Events of the kinds "report" and "end". A job is over with the report that reaches its
            units, with a report without a loss (the trial diverged), or with an "end".
        """
        deadline = time.monotonic() + _TICK
        while not self._events and self.running():
            for key, _ in self._ready.select(max(0.0, deadline - time.monotonic())):
                self._hear(key.data)
            if time.monotonic() >= deadline:
                self._bury()
                break
        events = list(self._events)
        self._events.clear()
        return events

    def pause_all(self, grace: float = 5.0) -> None:
        """Let every trial pause at its next report; the next :meth:`advance` returns the last ones.

        Args:
            grace: seconds to wait; what still runs then is ended, and goes on later from its last
                save.
        """
        for worker in self._busy():
            worker.send(kind="stop")
        held: list[Event] = []
        deadline = time.monotonic() + grace
        while self.running() and time.monotonic() < deadline:
            held += self.advance()
        for worker in self._busy():
            self._let_go(worker, "paused", "")
            self._drop(worker)
        self._events.extendleft(reversed(held))

    def close(self) -> None:
        """End every worker process that this executor started, and wait for them."""
        for worker in self._workers:
            if worker is not None:
                self._drop(worker)
        self._ready.close()

    def _busy(self) -> list[_Worker]:
        return [worker for worker in self._workers if worker and worker.run]

    def _start(self, number: int) -> _Worker:
        worker = _Worker(number, self._folder / "logs", self._environment)
        self._workers[number] = worker
        self._ready.register(worker.connection, selectors.EVENT_READ, worker)
        worker.send(kind="hello", path=sys.path, source=self._source)
        return worker

    def _order(self, worker: _Worker, run: _Run) -> None:
        worker.run = run
        worker.send(
            kind="train",
            trial=run.job.trial,
            target=run.job.units,
            units=run.units,
            hparams=dict(run.hparams),
            seed=run.seed,
            directory=str(self._folder / "states" / str(run.job.trial)),
            log=str(self._log(run.job.trial)),
        )

    def _log(self, trial: int) -> Path:
        return self._folder / "logs" / f"trial-{trial}.log"

    def _hear(self, worker: _Worker) -> None:
        messages = worker.receive()
        if messages is None:
            self._mourn(worker)
            return
        for message in messages:
            if message["kind"] == "program":
                worker.program = message["group"]
            elif message["kind"] == "idle":
                self._let_go(worker, message["status"], message["message"])
            elif worker.run is not None:
                self._take(worker.run, message)

    def _take(self, run: _Run, message: dict[str, Any]) -> None:
        units, loss = message["units"], message["loss"]
        if units <= run.units or run.last is not None:
            return
        run.units, run.loss = units, loss
        event = Event("report", run.job.trial, units, loss, message["metrics"] or None)
        # The job's last report frees the trial for the next job, so it waits until the worker has
        # saved the state and let go.
        if units >= run.job.units or loss is None:
            run.last = event
        else:
            self._events.append(event)

    def _let_go(self, worker: _Worker, status: str, message: str) -> None:
        run, worker.run = worker.run, None
        if run is None:
            return
        if run.last is not None and status != "failed":
            self._events.append(run.last)
        elif status != "paused":
            data = {"status": status, "message": message}
            self._events.append(Event("end", run.job.trial, run.units, run.loss, data))

    def _bury(self) -> None:
        """Notice dead workers whose sockets something that they started still holds open."""
        for worker in self._busy():
            if worker.process.poll() is not None:
                self._hear(worker)
                if worker.run is not None and worker is self._workers[worker.number]:
                    self._mourn(worker)

    def _mourn(self, worker: _Worker) -> None:
        """Replace a worker that died; its trial goes on once from its last save, then fails."""
        run, worker.run = worker.run, None
        self._drop(worker)
        if run is None:
            return
        run.deaths += 1
        if run.last is not None:
            self._events.append(run.last)
        elif run.deaths == 1:
            self._order(self._start(worker.number), run)
        else:
            how = _how(worker.process.returncode)
            message = (
                f"the worker process {how}, twice in the same job;"
                f" the logs are {self._log(run.job.trial)} and {worker.log}"
            )
            data = {"status": "failed", "message": message}
            self._events.append(Event("end", run.job.trial, run.units, run.loss, data))

    def _drop(self, worker: _Worker) -> None:
        self._ready.unregister(worker.connection)
        self._workers[worker.number] = None
        worker.end()


@dataclass
class _Worker:
    """A child process and the socket to it."""

    number: int
    logs: Path
    environment: Mapping[str, str]
    run: _Run | None = None
    program: int | None = None
    process: subprocess.Popen[bytes] = field(init=False)
    connection: socket.socket = field(init=False)
    _partial: bytes = b""

    def __post_init__(self) -> None:
        self.connection, theirs = socket.socketpair()
        # -P keeps the working folder, and modules that happen to lie there, off the path until
        # the study says which path its own process has.
        arguments = [sys.executable, "-P", "-m", "parafree.study._worker_main"]
        with theirs, self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*arguments, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[theirs.fileno()],
                env=self.environment,
                start_new_session=True,  # Ctrl-C in the terminal is for the study alone
            )

    @property
    def log(self) -> Path:
        """Where it writes while it trains nothing."""
        return self.logs / f"worker-{self.number}.log"

    def send(self, **message: Any) -> None:
        """Send one message; a worker that is dead is noticed when it is listened to."""
        line = json.dumps(message, default=_plain).encode() + b"\n"
        with contextlib.suppress(OSError):
            self.connection.sendall(line)

    def receive(self) -> list[dict[str, Any]] | None:
        """Return the messages that have come, or ``None`` when none will come any more."""
        try:
            chunk = self.connection.recv(1 << 20, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return []
        except OSError:
            return None
        if not chunk:
            return None
        *lines, self._partial = (self._partial + chunk).split(b"\n")
        return [json.loads(line) for line in lines]

    def end(self) -> None:
        """Close the socket, which ends the child, and make sure of it and all it started."""
        self.connection.close()
        if self.run is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(1.0)
        for group in (self.program, self.process.pid):
            if group is not None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(group, signal.SIGKILL)
        self.process.wait()


def _environment(workers: int) -> dict[str, str]:
    """Share the cores out among the workers, except where the user has decided."""
    threads = str(max(1, (os.cpu_count() or 1) // workers))
    return {**dict.fromkeys(_THREADS, threads), **os.environ, "PARAFREE_WORKER": "1"}


def _plain(value: Any) -> Any:
    """Turn a numpy scalar into the number that JSON knows."""
    return value.item() if hasattr(value, "item") else str(value)


def _how(code: int) -> str:
    if code >= 0:
        return f"ended with status {code}"
    if -code == signal.SIGKILL:
        return "was killed (SIGKILL; too little memory is the usual reason)"
    return f"was ended by {signal.Signals(-code).name}"
