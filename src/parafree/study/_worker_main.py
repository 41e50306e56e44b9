"""A worker process: ``python -m parafree.study._worker_main FD PARENT`` trains what it is told to.

The study's process and this one speak JSON, one message a line, over a socket. When the socket
closes the study has no more use for it, and this process ends itself, whatever it is doing. When
the study is killed the kernel ends it, though it be deep in code that lets no other thread run.
"""

from __future__ import annotations

import errno
import json
import os
import queue
import socket
import sys
import threading
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

from parafree.core.errors import ParafreeError
from parafree.study._alone import alone_in
from parafree.study._keeper import Keeper
from parafree.study._parent import die_with
from parafree.study._printed import Place
from parafree.study._reports_file import Report
from parafree.study._trial import Stop, Trial
from parafree.study.trainables import Source

_OURS = str(Path(__file__).parent)


class Link:
    """The worker's end of the socket."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self.orders: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self.stopped = 0  # the number of the latest order that shall stop early
        threading.Thread(target=self._listen, daemon=True).start()

    def send(self, kind: str, **message: Any) -> None:
        """Send one message; the study may be gone already, and then so is this process soon."""
        line = json.dumps({"kind": kind, **message}).encode() + b"\n"
        with self._lock:
            self._connection.sendall(line)

    def warn(self, trial: int, text: str) -> None:
        """Say what was damaged and is done again, in the trial's log and to the study."""
        print(f"warning: {text}", flush=True)
        self.send("warning", message=f"trial {trial}: {text}")

    def _listen(self) -> None:
        try:
            with self._connection.makefile("r", encoding="utf-8") as lines:
                for line in lines:
                    order = json.loads(line)
                    if order["kind"] == "stop":
                        self.stopped = order["number"]
                    else:
                        self.orders.put(order)
        finally:
            os._exit(0)


def main(descriptor: int, parent: int) -> None:
    """Train what is ordered, one trial after the other, for ever."""
    die_with(parent)
    keeper = Keeper(os.getpid())  # this process leads its group
    link = Link(socket.socket(fileno=descriptor))
    load: Callable[[], Any] | None = None
    while True:
        order = link.orders.get()
        if order["kind"] == "hello":
            sys.path.extend(path for path in order["path"] if path not in sys.path)
            load = _once(Source(**order["source"]))
            continue
        assert load is not None
        _write_to(order["log"])
        print(f"--- trial {order['trial']}, to unit {order['target']}", flush=True)
        work = _evaluate if order["evaluates"] else _train
        idle = work(load, order, link, keeper)
        sys.stdout.flush()
        sys.stderr.flush()
        link.send("idle", **idle)


def _once(source: Source) -> Callable[[], Any]:
    """Load at the first trial, so that a failing import is told as that trial's failure."""
    loaded: list[Any] = []

    def load() -> Any:
        if not loaded:
            loaded.append(source.load())
        return loaded[0]

    return load


def _train(
    load: Callable[[], Any], order: dict[str, Any], link: Link, keeper: Keeper
) -> dict[str, Any]:
    """Train one trial to the end of its job; return how it ended."""

    def send(report: Report) -> None:
        link.send("report", units=report.units, loss=report.loss, metrics=report.metrics)

    def ended(status: str, message: str = "") -> dict[str, Any]:
        return {"status": status, "message": message, "loss": trial.loss}

    trial = Trial(
        order["trial"],
        order["hparams"],
        order["seed"],
        Path(order["directory"]),
        known=order["units"],
        target=order["target"],
        objective=order["objective"],
        maximize=order["maximize"],
        send=send,
        # By its number: it may come when the order is done, and must not stop the next one.
        stopping=lambda: link.stopped == order["number"],
        warn=partial(link.warn, order["trial"]),
        keeper=keeper,
    )
    try:
        with alone_in(trial.directory) as trial.lock:
            if not trial.recover():
                load()(trial)
    except Stop:
        pass
    except BaseException as error:
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        return ended("full" if full else "failed", _explain(error, order["log"]))
    if trial.stopped:
        return ended("paused")
    if not trial.reported:
        return ended("failed", f"the trainable ended without ever reporting its {trial.objective}")
    return ended("finished", f"the trainable ended by itself after {trial.units} units")


def _evaluate(
    load: Callable[[], Any], order: dict[str, Any], link: Link, keeper: Keeper
) -> dict[str, Any]:
    """Ask for the value of one configuration; return how that ended."""
    place = Place(order["trial"], order["seed"], Path(order["directory"]), keeper)
    try:
        evaluation = load()
        link.send("loaded")  # from here on the time counts that an evaluation may take
        loss, metrics = evaluation.value(order["hparams"], place)
    except BaseException as error:
        return {"status": "failed", "message": _explain(error, order["log"]), "loss": None}
    link.send("report", units=1, loss=loss, metrics=metrics)
    return {"status": "paused", "message": "", "loss": loss}


def _explain(error: BaseException, log: str) -> str:
    """Say in one line what went wrong in the user's code and where; the log gets the rest."""
    # The frames above the user's code are the worker's own and tell the user nothing.
    frames = error.__traceback__
    while frames is not None and frames.tb_next is not None and _is_ours(frames):
        frames = frames.tb_next
    traceback.print_exception(type(error), error, frames)
    if isinstance(error, ParafreeError):
        text = "; ".join(part for part in (error.what, error.where, error.fix) if part)
    else:
        text = traceback.format_exception_only(error)[-1].strip()
    last = next(
        (f for f in reversed(traceback.extract_tb(frames)) if not f.filename.startswith(_OURS)),
        None,
    )
    place = f" ({last.filename}:{last.lineno})" if last else ""
    return f"{text}{place}; the log is {log}"


def _is_ours(frame: TracebackType) -> bool:
    file = frame.tb_frame.f_code.co_filename
    return file.startswith(_OURS) or "importlib" in file


def _write_to(log: str) -> None:
    """Let everything that this process and its children print go to the trial's log."""
    sys.stdout.flush()
    sys.stderr.flush()
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
