"""The live display: a few lines in a terminal that are drawn again and again."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import IO, TYPE_CHECKING, Any

from parafree.study._status import Status, clean, short, stamp

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.live import Live
    from rich.text import Text

    from parafree.study.budget import Budget

_SHOWN = 100  # hyperparameters of the best, more than any window is wide


def start_live(stream: IO[str], render: Callable[[], RenderableType]) -> Live | None:
    """Start a display in a terminal.

    Args:
        stream: where to write.
        render: returns what is shown now; called from the display's own thread.

    Returns:
        The running display; ``None`` where the stream is no terminal that could show one.
    """
    if not stream.isatty():
        return None
    from rich.console import Console
    from rich.live import Live

    console = Console(file=stream)
    if not console.is_terminal or console.is_dumb_terminal:
        return None

    def shown() -> RenderableType:
        try:
            return render()
        except Exception as error:  # the refreshing thread must not die with a traceback
            return f"(progress cannot be shown: {type(error).__name__})"

    # Its own thread refreshes the display, so that time goes on while a program compiles.
    live = Live(
        get_renderable=shown, console=console, refresh_per_second=4, vertical_overflow="ellipsis"
    )
    live.start(refresh=True)
    return live


def panel(
    name: str, objective: str, status: Status, budget: Budget | None, elapsed: float
) -> RenderableType:
    """Lay out what is shown: the head with the bar, the figures, the best, the last events."""
    from rich.console import Group

    lines = [_line(_figures(status)), *_best(objective, status)]
    if status.phase:
        lines.append(_line(f"{status.phase} …", style="yellow"))
    lines += [_line(f"{stamp(moment)} {text}", style="dim") for moment, text in [*status.events]]
    return Group(_head(name, status, budget, elapsed), *lines)


def _head(name: str, status: Status, budget: Budget | None, elapsed: float) -> RenderableType:
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    head = Table.grid(padding=(0, 2), expand=True)
    head.add_column(no_wrap=True, overflow="ellipsis")
    head.add_column(ratio=1)
    head.add_column(justify="right", no_wrap=True)
    bar: RenderableType = Text(status.phase or "searching", style="cyan")
    spent, left = status.spent(budget, elapsed), status.left(budget, elapsed)
    if spent is not None:
        bar = ProgressBar(total=1.0, completed=spent, complete_style="cyan")
    when = short(elapsed) + ("" if left is None else f", {short(left)} left")
    head.add_row(Text(name, style="bold"), bar, Text(when))
    return head


def _figures(status: Status) -> str:
    rate = "-" if status.units_per_second is None else f"{status.units_per_second:,.1f}"
    busy = "-" if status.busy is None else f"{status.busy:.0%}"
    running = f" ({status.running:,} running)" if status.running else ""
    return (
        f"{rate} units/s   {status.units:,} units   {status.trials:,} trials{running}   "
        f"lanes busy {busy}"
    )


def _best(objective: str, status: Status) -> list[Text]:
    best = status.best
    if best is None:
        return []
    some = islice(best.hparams.items(), _SHOWN)
    hparams = "  ".join(f"{clean(name)}={_value(value)}" for name, value in some)
    return [
        _line(
            ("best ", "dim"),
            (f"{objective} {best.value:.6g}", "bold green"),
            f"  trial {best.trial}, {best.units:,} units",
        ),
        _line("     " + hparams),
    ]


def _line(*parts: Any, style: str = "") -> Text:
    """One line that is cut where the window ends; texts are not read as markup."""
    from rich.text import Text

    return Text.assemble(*parts, style=style, overflow="ellipsis", no_wrap=True)


def _value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else clean(value)
