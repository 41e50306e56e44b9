"""Progress of a search: a live display in a terminal, plain lines everywhere else.

Showing progress must never harm the search: whatever goes wrong in here switches the display off,
and the terminal is given back as it was, also when the search raises or is interrupted.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import IO, TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live

    from parafree.study._executor import Executor
    from parafree.study._fold import Fold
    from parafree.study.budget import Budget

_REFRESH_S = 0.2
_LINE_S = 2.0
_EVENTS = 5
_RATE_S = 5.0  # units per second are averaged over this long
_SHARE = 50  # looking at the study may take one part in so many of the time


class Best(NamedTuple):
    """The best so far, as it is shown."""

    value: float  # in the objective's own sign
    trial: int
    units: int
    hparams: Mapping[str, Any]


@dataclass
class Status:
    """What is shown at one moment; ``None`` is not known yet."""

    units: int = 0
    units_per_second: float | None = None
    busy: float | None = None  # share of the lanes' time in use, 0 to 1
    trials: int = 0
    running: int = 0
    best: Best | None = None
    time_left: float | None = None  # seconds
    phase: str = ""
    events: deque[tuple[float, str]] = field(default_factory=lambda: deque(maxlen=_EVENTS))


class Progress:
    """Shows how a search is going; a context manager.

    Args:
        name: the study's name.
        budget: what the bar fills towards; ``None`` shows no bar.
        quiet: show nothing at all.
        objective: the metric's name.
        maximize: whether losses are the metric with its sign turned.
        stream: where to write; standard output by default.
        clock: returns seconds; for tests.

    Example:
        >>> with Progress("digits", quiet=True) as progress:
        ...     progress.announce("compiling width=64")
        ...     progress.update(units=12, trials=3)
        >>> progress.status.units
        12
    """

    def __init__(
        self,
        name: str,
        budget: Budget | None = None,
        *,
        quiet: bool = False,
        objective: str = "loss",
        maximize: bool = False,
        stream: IO[str] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.status = Status()
        self._name, self._objective, self._sign = _clean(name), _clean(objective), 1.0
        if maximize:
            self._sign = -1.0
        self._budget, self._clock = budget, clock
        self._stream = sys.stdout if stream is None else stream
        self._on = not quiet
        self._live: Live | None = None
        self._begin = self._shown = clock()
        self._looked, self._pause = -float("inf"), _REFRESH_S
        self._marks: deque[tuple[float, int]] = deque()
        self._unsaid: list[tuple[float, str]] = []
        self._counts = (0, 0)  # trials that failed, deepest units
        self._confirming = False

    def __enter__(self) -> Progress:
        self._safely(self._start)
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is None:
            self._safely(self._print_line, force=True)
        live, self._live = self._live, None
        if live is not None:
            try:
                live.stop()
            except Exception:
                # The terminal may be gone; show the cursor if anything is left of it.
                self._safely(self._stream.write, "\x1b[?25h")
        self._on = False

    def announce(self, text: str) -> None:
        """Say that something slow begins, such as compiling; empty text ends it."""
        self.status.phase = _clean(text)
        if text:
            self._safely(self._say, self.status.phase)

    def update(
        self,
        *,
        units: int | None = None,
        units_per_second: float | None = None,
        busy: float | None = None,
        best: Best | None = None,
        trials: int | None = None,
        running: int | None = None,
        time_left: float | None = None,
        events: Iterable[str] = (),
    ) -> None:
        """Take in what has changed; shown at once or a moment later. Never raises.

        Args:
            units: units spent by all trials together.
            units_per_second: the present speed; measured here if left out.
            busy: share of the lanes' time in use, 0 to 1.
            best: the best so far.
            trials: how many trials have begun.
            running: how many are training now.
            time_left: seconds; worked out from the budget if left out.
            events: what has happened since the last call.
        """
        status = self.status
        given = {"units": units, "busy": busy, "best": best, "trials": trials, "running": running}
        for name, value in given.items():
            if value is not None:
                setattr(status, name, value)
        if units is not None:
            status.units_per_second = self._rate(units)
        if units_per_second is not None:
            status.units_per_second = units_per_second
        status.time_left = self._time_left() if time_left is None else time_left
        for text in events:
            self._safely(self._say, _clean(text))
        if self._live is None:
            self._safely(self._print_line)

    def __call__(self, fold: Fold, executor: Executor) -> None:
        """Look at a running search, if it is time to; the driver calls this after every tick."""
        begin = self._clock()
        if not self._on or begin - self._looked < self._pause:
            return
        self._safely(self._look, fold, executor)
        self._looked = self._clock()
        # Finding the best takes longer in a large study: then look less often.
        self._pause = max(_REFRESH_S, _SHARE * (self._looked - begin))

    def _look(self, fold: Fold, executor: Executor) -> None:
        history = fold.history
        found = history.best()
        best = None
        if found is not None and found.loss is not None:
            best = Best(self._sign * found.loss, found.id, found.units, found.hparams)
        events = self._news(fold, best)
        self.status.phase = ""
        self.update(
            units=fold.units,
            trials=len(history.trials),
            running=executor.running(),
            busy=executor.usage().busy,
            best=best,
            events=events,
        )

    def _news(self, fold: Fold, best: Best | None) -> list[str]:
        """Compare the search with what was shown last, and put the difference into words."""
        trials = fold.history.trials
        bad = sum(t.status in ("failed", "diverged") for t in trials)
        deepest = max((t.units for t in trials), default=0)
        news = []
        if bad > self._counts[0]:
            more = bad - self._counts[0]
            last = next(t for t in reversed(trials) if t.status in ("failed", "diverged"))
            which = f"trial {last.id}" if more == 1 else f"{more} trials"
            news.append(
                f"{which} {last.status if more == 1 else 'failed or diverged'}"
                + (f": {last.message}" if last.message else "")
            )
        if deepest < 1.5 * self._counts[1]:  # not worth a line yet
            deepest = self._counts[1]
        elif self._counts[1]:
            news.append(f"a trial went as deep as {deepest:,} units")
        old = self.status.best
        if best is not None and (old is None or best.trial != old.trial):
            news.append(
                f"best {self._objective} {best.value:.6g} by trial {best.trial} "
                f"after {best.units:,} units"
            )
        if fold.repeating and not self._confirming:
            news.append("repeating the best configuration with fresh seeds")
        self._counts, self._confirming = (bad, deepest), bool(fold.repeating)
        return news

    def _rate(self, units: int) -> float | None:
        now = self._clock()
        self._marks.append((now, units))
        while len(self._marks) > 2 and now - self._marks[1][0] >= _RATE_S:
            self._marks.popleft()
        passed = now - self._marks[0][0]
        return (units - self._marks[0][1]) / passed if passed > 0 else None

    def _spent(self) -> float | None:
        """Share of the budget that is spent, by whichever limit is nearest."""
        if self._budget is None:
            return None
        elapsed = self._clock() - self._begin
        limits = [
            (elapsed, self._budget.seconds),
            (self.status.units, self._budget.units),
            (self.status.trials, self._budget.trials),
        ]
        parts = [done / limit for done, limit in limits if limit]
        return min(max(parts), 1.0) if parts else None

    def _time_left(self) -> float | None:
        budget, status = self._budget, self.status
        if budget is None:
            return None
        left = []
        if budget.seconds:
            left.append(budget.seconds - (self._clock() - self._begin))
        if budget.units and status.units_per_second:
            left.append((budget.units - status.units) / status.units_per_second)
        return max(min(left), 0.0) if left else None

    def _safely(self, action: Callable[..., Any], *args: Any, **more: Any) -> None:
        """Do something about the display; if it fails, show nothing from then on."""
        if not self._on:
            return
        try:
            action(*args, **more)
        except Exception:
            self._on = False

    # Plain lines --------------------------------------------------------------------------

    def _say(self, text: str) -> None:
        elapsed = self._clock() - self._begin
        self.status.events.append((elapsed, text))
        if self._live is not None:
            return
        self._unsaid = [*self._unsaid, (elapsed, text)][-_EVENTS:]
        if text == self.status.phase:  # what comes next may take long: say it before
            self._print_line(force=True)

    def _print_line(self, force: bool = False) -> None:
        now = self._clock()
        if not force and now - self._shown < _LINE_S:
            return
        self._shown = now
        for moment, text in self._unsaid:
            self._write(f"{_stamp(moment)} {text}")
        self._unsaid = []
        if not self.status.phase and self.status.trials:
            self._write(f"{_stamp(now - self._begin)} {self._line()}")

    def _line(self) -> str:
        s = self.status
        parts = [f"{s.units:,} units", f"{s.trials:,} trials"]
        if s.units_per_second is not None:
            parts.append(f"{s.units_per_second:,.1f} units/s")
        if s.busy is not None:
            parts.append(f"lanes busy {s.busy:.0%}")
        if s.best is not None:
            parts.append(f"best {self._objective} {s.best.value:.6g} (trial {s.best.trial})")
        if s.time_left is not None:
            parts.append(f"{_short(s.time_left)} left")
        return " | ".join(parts)

    def _write(self, line: str) -> None:
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        self._stream.write(line.encode(encoding, "replace").decode(encoding) + "\n")
        self._stream.flush()

    # Live display -------------------------------------------------------------------------

    def _start(self) -> None:
        self._begin = self._shown = self._clock()
        if not self._stream.isatty():
            return
        from rich.console import Console
        from rich.live import Live

        console = Console(file=self._stream)
        if not console.is_terminal or console.is_dumb_terminal:
            return
        # Its own thread refreshes the display, so that time goes on while a program compiles.
        live = Live(
            get_renderable=self._render,
            console=console,
            refresh_per_second=4,
            vertical_overflow="ellipsis",
        )
        live.start(refresh=True)
        self._live = live

    def _render(self) -> RenderableType:
        try:
            return self._panel()
        except Exception as error:  # the refreshing thread must not die with a traceback
            return f"(progress cannot be shown: {type(error).__name__})"

    def _panel(self) -> RenderableType:
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        elapsed, spent = self._clock() - self._begin, self._spent()
        head = Table.grid(padding=(0, 2), expand=True)
        head.add_column(no_wrap=True, overflow="ellipsis")
        head.add_column(ratio=1)
        head.add_column(justify="right", no_wrap=True)
        bar: RenderableType = Text(self.status.phase or "searching", style="cyan")
        if spent is not None:
            bar = ProgressBar(total=1.0, completed=spent, complete_style="cyan")
        left = self._time_left()
        when = _short(elapsed) + ("" if left is None else f", {_short(left)} left")
        head.add_row(Text(self._name, style="bold"), bar, Text(when))
        return Group(head, Text(self._now(), overflow="ellipsis", no_wrap=True), *self._details())

    def _now(self) -> str:
        s = self.status
        rate = "-" if s.units_per_second is None else f"{s.units_per_second:,.1f}"
        busy = "-" if s.busy is None else f"{s.busy:.0%}"
        running = f" ({s.running:,} running)" if s.running else ""
        return (
            f"{rate} units/s   {s.units:,} units   {s.trials:,} trials{running}   lanes busy {busy}"
        )

    def _details(self) -> list[RenderableType]:
        from rich.text import Text

        lines: list[RenderableType] = []
        best = self.status.best
        if best is not None:
            lines.append(
                Text.assemble(
                    ("best ", "dim"),
                    (f"{self._objective} {best.value:.6g}", "bold green"),
                    f"  trial {best.trial}, {best.units:,} units",
                    no_wrap=True,
                    overflow="ellipsis",
                )
            )
            shown = "  ".join(f"{_clean(k)}={_value(v)}" for k, v in best.hparams.items())
            lines.append(Text("     " + shown, overflow="ellipsis", no_wrap=True))
        if self.status.phase:
            lines.append(Text(f"{self.status.phase} …", style="yellow"))
        for moment, text in list(self.status.events):
            lines.append(
                Text(f"{_stamp(moment)} {text}", style="dim", overflow="ellipsis", no_wrap=True)
            )
        return lines


def _clean(text: object) -> str:
    """One line without control characters, so that no name can steer the terminal."""
    return "".join(c if c.isprintable() else " " for c in str(text))


def _value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else _clean(value)


def _stamp(elapsed: float) -> str:
    return f"[{elapsed:7.1f} s]"


def _short(seconds: float) -> str:
    minutes, rest = divmod(int(max(seconds, 0.0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
