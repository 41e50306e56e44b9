"""The page of claims: results kept as JSON, shown as Markdown."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from parafree.core.errors import ParafreeError

_HEAD = """# Claims

What the papers say, measured again. `parafree verify` repeats every experiment, and
`parafree verify --write docs/claims.md` writes this page. Thresholds are written before the first
run, and a claim that does not hold stays here as such. Claims that are measured in one run share
their learning curves, so the first one takes the time of all.
"""


def keep(
    results: Sequence[dict[str, Any]], path: Path, names: Sequence[str]
) -> list[dict[str, Any]]:
    """Merge results into the file that keeps them, and return all of them.

    A small experiment never takes the place of a full one; it is kept beside it.

    Args:
        results: as plain values.
        path: of the JSON file; made if it is not there.
        names: of the claims that exist; results of others are dropped.

    Raises:
        ParafreeError: the file is there and holds something else.
    """
    kept = {(each["name"], each["fast"]): each for each in [*_read(path), *results]}
    merged = [kept[key] for key in sorted(kept) if key[0] in names]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(merged, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    return merged


def _read(path: Path) -> list[dict[str, Any]]:
    if not path.exists():
        return []
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return [each for each in kept if (each["name"], each["fast"]) is not None]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ParafreeError(
            "the results of earlier claims cannot be read",
            where=str(path),
            fix="mend the file, or move it away to begin anew",
        ) from error


def render(results: Sequence[dict[str, Any]]) -> str:
    """Return the page: a table of all claims, then each with its figures."""
    rows = [
        f"| [{each['method']}](#{each['name']}){_size(each)} | {each['paper']} | "
        f"{each['summary']} | {_verdict(each)} | {each['date']} |"
        for each in results
    ]
    head = ["| claim | paper | here | holds | measured |", "|---|---|---|---|---|"]
    return "\n".join([_HEAD, *head, *rows, "", *map(_section, results)]).rstrip() + "\n"


def _section(each: dict[str, Any]) -> str:
    figures = [
        f"| {name} | {len(values)} | " + " | ".join(f"{v:.3g}" for v in _three(values)) + " |"
        for name, values in each["values"].items()
    ]
    machine = ", ".join(f"{name} {value}" for name, value in each["machine"].items())
    return "\n".join(
        [
            f"## {each['name']}{_size(each)}",
            "",
            f"*{each['source']}*",
            "",
            f"**The paper.** {each['paper']}",
            "",
            f"**Here.** {each['setting']}",
            "",
            f"**Holds if** {each['threshold']}.",
            "",
            f"**Holds: {_verdict(each)}.** {each['summary']}. {each['reason']}",
            "",
            "| figure | seeds | median | lowest | highest |",
            "|---|---|---|---|---|",
            *figures,
            "",
            f"Measured on {each['date']} in {each['seconds']:.0f} s: {machine}.",
            "",
        ]
    )


def _three(values: Sequence[float]) -> list[float]:
    return [float(np.median(values)), min(values), max(values)]


def _size(each: dict[str, Any]) -> str:
    return " (fast)" if each["fast"] else ""


def _verdict(each: dict[str, Any]) -> str:
    return "yes" if each["holds"] else "no"
