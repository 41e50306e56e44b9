"""Finds the claims, measures them, and writes down what came out."""

from __future__ import annotations

import difflib
import importlib
import io
import pkgutil
import shutil
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import parafree.claims
from parafree.claims._claim import Claim, Progress, Result
from parafree.core.card import Card
from parafree.core.catalogue import cards
from parafree.core.errors import MethodError


@cache
def claims() -> tuple[Claim, ...]:
    """Return all claims, sorted by name: the attribute ``claim`` of each file of this package.

    Example:
        >>> [claim.name for claim in claims() if claim.card.name == "Hyperband"]
        ['hyperband']
    """
    found = (
        getattr(importlib.import_module(f"parafree.claims.{module.name}"), "claim", None)
        for module in pkgutil.iter_modules(parafree.claims.__path__)
        if not module.name.startswith("_") and module.name != "run"
    )
    return tuple(
        sorted((each for each in found if isinstance(each, Claim)), key=lambda each: each.name)
    )


def select(names: Sequence[str], room: str | None = None) -> list[Claim]:
    """Return the claims that are asked for, each once, sorted by name.

    Args:
        names: of claims or of methods, in any mixture of cases; none of them means all claims. A
            paper has one claim, whichever of its methods is named.
        room: only claims about methods of this room.

    Raises:
        MethodError: a name or the room has no claim; the message names close ones.

    Example:
        >>> [claim.name for claim in select(["HYPERBAND", "IDHyperband"])]
        ['hyperband', 'id_hyperband']
        >>> [claim.name for claim in select(["ldog"])]
        ['dog']
        >>> [claim.name for claim in select(["CMAES"])]  # a paper about many methods
        ['many_dimensions']
    """
    by_paper = {_paper(each.card): each for each in claims()}
    papers = {card.name.casefold(): _paper(card) for card in cards()}
    by_name = {name: by_paper[paper] for name, paper in papers.items() if paper in by_paper}
    by_name |= {each.name.casefold(): each for each in claims()}
    for name in names:
        if name.casefold() not in by_name:
            raise _unknown(f"there is no claim about {name!r}", name, list(by_name))
    rooms = sorted({each.card.room for each in claims()})
    if room is not None and room not in rooms:
        raise _unknown(f"there is no claim in the room {room!r}", room, rooms)
    wanted = {by_name[name.casefold()].name for name in names} or {each.name for each in claims()}
    return [each for each in claims() if each.name in wanted and room in (None, each.card.room)]


def _paper(card: Card) -> int | str:
    """Return what the methods of one paper have in common."""
    return card.paper if card.seed is None else card.seed


def _unknown(what: str, name: str, known: list[str]) -> MethodError:
    close = difflib.get_close_matches(name.casefold(), known, n=3)
    fix = f"did you mean {' or '.join(close)}?" if close else f"there are {', '.join(known)}"
    return MethodError(what, where="the claims", fix=fix)


def measure(claim: Claim, *, fast: bool = False, progress: Progress | None = None) -> Result:
    """Run a claim's experiment.

    Args:
        claim: which one.
        fast: run the small experiment, under 20 seconds.
        progress: called with a line of text when something slow begins.

    Returns:
        What was found, when, where and how long it took.
    """
    from parafree.claims._machine import describe

    tell = progress or (lambda text: None)
    begin = time.perf_counter()
    measurement = claim.measure(fast, lambda text: tell(f"{claim.name}: {text}"))
    seconds = time.perf_counter() - begin
    date = datetime.now(UTC).date().isoformat()
    return Result(claim, measurement, fast, seconds, date, describe())


def as_dict(result: Result) -> dict[str, Any]:
    """Return a result as plain values, ready for JSON."""
    claim, measurement = result.claim, result.measurement
    return {
        "name": claim.name,
        "method": claim.card.name,
        "source": claim.card.paper,
        "paper": claim.paper,
        "setting": claim.setting,
        "threshold": claim.threshold,
        "fast": result.fast,
        "holds": bool(measurement.holds),
        "summary": measurement.summary,
        "reason": measurement.reason,
        "values": {
            name: [float(value) for value in values] for name, values in measurement.values.items()
        },
        "seconds": round(result.seconds, 1),
        "date": result.date,
        "machine": dict(result.machine),
    }


def table(results: Sequence[Result]) -> str:
    """Return results as a table for the terminal: claim, paper, here, holds."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    shown = Table("claim", "paper", "here", "holds", box=box.SIMPLE_HEAD, show_lines=True)
    for result in results:
        found = result.measurement
        here = f"{found.summary}\n{found.reason}"
        verdict = "yes" if found.holds else "NO"
        size = "\n(fast)" if result.fast else ""
        shown.add_row(result.claim.name + size, result.claim.paper, here, verdict)
    text = io.StringIO()
    width = max(60, min(140, shutil.get_terminal_size().columns))
    Console(file=text, width=width, markup=False).print(shown)
    return text.getvalue().rstrip()


def write_page(results: Sequence[Result], path: Path) -> None:
    """Write results as a page; those of claims that were not measured now stay as they were.

    The figures are kept beside the page in a file of the same name with ``.json``, from which
    the page is made.

    Raises:
        ParafreeError: that file is there and cannot be read.
    """
    from parafree.claims._page import keep, render

    names = [each.name for each in claims()]
    kept = keep([as_dict(result) for result in results], path.with_suffix(".json"), names)
    path.write_text(render(kept), encoding="utf-8")
