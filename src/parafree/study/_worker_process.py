"""One worker process: a child of the study's process, and the socket to it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

R = TypeVar("R")

_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)


@dataclass
class WorkerProcess(Generic[R]):
    """A child process and the socket to it.

    Args:
        number: which of the study's workers it is.
        logs: the folder for what it writes while it trains nothing.
        environment: its environment variables.
        run: what it does now.
        loaded: whether it has imported what it runs.
    """

    number: int
    logs: Path
    environment: Mapping[str, str]
    run: R | None = None
    loaded: bool = False
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
                [*arguments, str(theirs.fileno()), str(os.getpid())],
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
        """Close the socket, which ends the child, and make sure of it and all it started.

        A program that it runs is ended by its keeper, which notices the child's end.
        """
        self.connection.close()
        if self.run is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(1.0)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


def environment_of(workers: int) -> dict[str, str]:
    """Return the workers' environment: cores are shared out, unless the user has decided."""
    threads = str(max(1, (os.cpu_count() or 1) // workers))
    return {**dict.fromkeys(_THREADS, threads), **os.environ, "PARAFREE_WORKER": "1"}


def _plain(value: Any) -> Any:
    """Turn a numpy scalar into the number that JSON knows."""
    return value.item() if hasattr(value, "item") else str(value)


def describe_exit(code: int) -> str:
    """Say in words how a process with this exit status ended."""
    if code >= 0:
        return f"ended with status {code}"
    if -code == signal.SIGKILL:
        return "was killed (SIGKILL; too little memory is the usual reason)"
    return f"was ended by {signal.Signals(-code).name}"
