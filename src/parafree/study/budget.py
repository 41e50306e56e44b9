"""When a study stops: budgets, targets and signals."""

from __future__ import annotations

import math
import re
import signal
import threading
import time
from dataclasses import dataclass
from types import FrameType
from typing import Any

from parafree.core.errors import StudyError

_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True)
class Budget:
    """What a user is ready to spend. Empty fields do not limit.

    Args:
        seconds: wall-clock of this call, compiling included.
        units: units of resource of the whole study, over all calls.
        trials: trials of the whole study; promising ones still go on when no new one may start.
        target: stop as soon as a report is at least this good, in the objective's own sign.
    """

    seconds: float | None = None
    units: int | None = None
    trials: int | None = None
    target: float | None = None

    def __post_init__(self) -> None:
        for name in ("seconds", "units", "trials"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise StudyError(f"{name} must be positive, not {value}", where="budget")
        if self.target is not None and math.isnan(self.target):
            raise StudyError("target is not a number", where="budget")

    @property
    def empty(self) -> bool:
        """Whether nothing at all limits the study."""
        return (self.seconds, self.units, self.trials, self.target) == (None,) * 4


def require_end(budget: Budget) -> None:
    """Refuse a budget that limits nothing.

    Raises:
        StudyError: it is empty.
    """
    if budget.empty:
        raise StudyError(
            "nothing says when to stop",
            where="budget",
            fix="give a time, units, trials or a target",
        )


def seconds(duration: str | float) -> float:
    """Read a duration.

    Args:
        duration: seconds as a number, or text such as ``"90"``, ``"60s"``, ``"1h30m"``.

    Returns:
        Seconds.

    Raises:
        StudyError: the text is no duration.

    Example:
        >>> seconds("1h30m"), seconds("60s"), seconds(5)
        (5400.0, 60.0, 5.0)
    """
    text = str(duration).strip().lower().replace(" ", "")
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    if re.fullmatch(r"(\d+(\.\d+)?[smhd])+", text):
        parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", text)
        return sum(float(number) * _SECONDS[unit] for number, unit in parts)
    raise StudyError(
        f"{duration!r} is not a duration", where="time", fix="write 90, 60s, 10m or 1h30m"
    )


class Interrupt:
    """Turns the first Ctrl-C (or a termination signal) into a request to stop.

    The request is looked at between chunks; a second Ctrl-C raises ``KeyboardInterrupt`` at once.
    Outside of the main thread, where signals cannot be caught, it does nothing.
    """

    def __init__(self) -> None:
        self.reason: str | None = None
        self._old: dict[int, Any] = {}

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._old[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.reason is not None:
            raise KeyboardInterrupt
        self.reason = "interrupted" if number == signal.SIGINT else "terminated"


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._begin = time.monotonic()

    def __call__(self) -> float:
        """Return the seconds."""
        return time.monotonic() - self._begin
