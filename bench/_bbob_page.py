"""The share of targets reached after so many evaluations, as tables, figures and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from _bbob_plot import plot
from _bbob_problems import TARGETS

BUDGETS = (10, 30, 100, 300, 1000, 3000)  # evaluations for each dimension
OURS, JUDGE = "parafree", "pycma"


class Shares:
    """The runs of a suite, or of one dimension of it, and the shares of targets reached."""

    def __init__(self, found: dict[str, Any], dimension: int | None = None) -> None:
        self.budget: int = found["budget"]
        self.runs = [run for run in found["runs"] if dimension in (None, run["dimension"])]
        self.solvers = list(dict.fromkeys(run["solver"] for run in self.runs))
        self.dimensions = sorted({run["dimension"] for run in self.runs})
        # Those that both sides of the goal have run; a solver without some of them says so.
        sides = [self._names(solver) for solver in (OURS, JUDGE) if solver in self.solvers]
        self.problems = set.intersection(*sides) if sides else {r["problem"] for r in self.runs}

    def _names(self, solver: str) -> set[str]:
        return {run["problem"] for run in self.runs if run["solver"] == solver}

    def own(self, solver: str) -> list[dict[str, Any]]:
        """Return the runs of a solver on these problems."""
        return [r for r in self.runs if r["solver"] == solver and r["problem"] in self.problems]

    def share(self, solver: str, budgets: Any) -> np.ndarray:
        """Return the shares of all targets that a solver reached within so many evaluations."""
        own = self.own(solver)
        hits = np.sort(np.concatenate([np.array(r["hits"]) / r["dimension"] for r in own] or [[]]))
        reached = np.searchsorted(hits, np.asarray(budgets), side="right")
        return np.asarray(reached / max(1, len(own) * len(TARGETS)))

    def label(self, solver: str) -> str:
        """Return the name of a solver, with how many of the problems it has run if not all."""
        ran, all_of_them = len(self.own(solver)), len(self.problems)
        return solver if ran == all_of_them else f"{solver} ({ran} of {all_of_them})"

    def table_budgets(self) -> list[int]:
        return sorted({*(budget for budget in BUDGETS if budget < self.budget), self.budget})

    def curve_budgets(self) -> np.ndarray:
        return np.geomspace(0.5, self.budget, 121)

    def goal(self) -> tuple[float, float] | None:
        """Return the budget at which we are furthest behind the judge, and by how much."""
        if not {OURS, JUDGE} <= set(self.solvers) or not self.problems:
            return None
        budgets = self.curve_budgets()
        ahead = self.share(OURS, budgets) - self.share(JUDGE, budgets)
        worst = int(np.argmin(ahead))
        return float(budgets[worst]), float(ahead[worst])


def tables(results: dict[str, Any]) -> str:
    """Return one table for each suite, with rows for all dimensions and for each."""
    return "\n\n".join(_table(suite, found) for suite, found in results.items() if found["runs"])


def _table(suite: str, found: dict[str, Any]) -> str:
    whole = Shares(found)
    budgets = whole.table_budgets()
    lines = [
        f"**{suite}**: {len(whole.problems)} problems in dimensions "
        f"{', '.join(map(str, whole.dimensions))}; share of "
        f"{len(whole.problems) * len(TARGETS):,} targets reached after so many evaluations\n",
        f"| solver | {' | '.join(f'{b} d' for b in budgets)} |\n|---|{'---|' * len(budgets)}",
    ]
    for dimension in [None, *whole.dimensions]:
        some = Shares(found, dimension)
        for solver in some.solvers:
            if some.own(solver):
                cells = " | ".join(f"{share:.3f}" for share in some.share(solver, budgets))
                name = some.label(solver) + (f", d = {dimension}" if dimension else "")
                lines.append(f"| {name} | {cells} |")
    notes = [_goal(whole), *_failures(whole), _versions(found)]
    return "\n".join(lines) + "\n\n" + "\n".join(f"- {note}" for note in notes if note)


def _goal(shares: Shares) -> str:
    worst = shares.goal()
    if worst is None:
        return ""
    return (
        f"{OURS} less {JUDGE}, at the budget of all where that is least: {worst[1]:+.3f} after "
        f"{worst[0]:.3g} evaluations for each dimension"
    )


def _failures(shares: Shares) -> list[str]:
    """Say which solvers ended early, and why one of their runs did."""
    said = []
    for solver in shares.solvers:
        own = shares.own(solver)
        early = [run["failure"] for run in own if "failure" in run]
        if early:
            text = early[0].replace("\n", " ").replace("|", "/")
            said.append(f"{solver} ended early in {len(early)} of {len(own)} runs, in one: {text}")
    return said


def _versions(found: dict[str, Any]) -> str:
    known = sorted(found.get("versions", {}).items())
    return ", ".join(f"{package} {number}" for package, number in known)


def seconds(results: dict[str, Any]) -> str:
    """Return the mean seconds of a run on a problem, for each suite, dimension and solver."""
    lines = []
    for suite, found in results.items():
        for dimension in Shares(found).dimensions:
            some = Shares(found, dimension)
            each = {s: np.mean([run["seconds"] for run in some.own(s)]) for s in some.solvers}
            told = ", ".join(f"{solver} {mean:.1f}" for solver, mean in each.items())
            lines.append(f"seconds for a problem of {suite}, d = {dimension}: {told}")
    return "\n".join(lines)


def figures(results: dict[str, Any]) -> dict[str, Any]:
    """Return the figures for programs."""
    told = {}
    for suite, found in results.items():
        shares = Shares(found)
        budgets, worst = shares.table_budgets(), shares.goal()
        told[suite] = {
            solver: dict(zip(budgets, shares.share(solver, budgets).round(4).tolist(), strict=True))
            for solver in shares.solvers
        }
        if worst is not None:
            told[suite]["worst"] = {"budget": round(worst[0], 2), "ahead": round(worst[1], 4)}
    return told


def write(page: Path, results: dict[str, Any], kind: str = "") -> None:
    """Put the tables between their marks, with a picture before each, in a folder beside.

    ``kind`` tells apart what stands in several places of the page.
    """
    parts = []
    for suite, found in results.items():
        if not found["runs"]:
            continue
        shares = Shares(found)
        words = suite.removeprefix("bbob").strip("-") or "noiseless", kind
        name = f"bbob-{'-'.join(word for word in words if word)}.svg"
        budgets = shares.curve_budgets()
        # A line of fewer problems would look higher or lower than it is.
        whole = [s for s in shares.solvers if len(shares.own(s)) == len(shares.problems)]
        curves = {s: shares.share(s, budgets) for s in whole}
        (page.parent / "images" / name).write_text(plot(suite, budgets, curves))
        parts.append(f"![share of targets on {suite}](images/{name})\n\n{_table(suite, found)}")
    begin, end = (f"<!-- {kind or 'usual'} tables: {edge} -->" for edge in ("begin", "end"))
    before, found_begin, rest = page.read_text().partition(begin)
    _, found_end, after = rest.partition(end)
    if not (found_begin and found_end):
        raise ValueError(f"{page} has no place for these tables: {begin} and {end}")
    body = "\n\n".join(parts)
    page.write_text(f"{before}{begin}\n\n{body}\n\n{end}{after}")
