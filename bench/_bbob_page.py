"""The share of targets reached after so many evaluations, as tables and as figures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from _bbob_problems import TARGETS

BUDGETS = (10, 30, 100, 300, 1000, 3000)  # evaluations for each dimension
_BEGIN, _END = "<!-- tables: begin -->", "<!-- tables: end -->"


def share(runs: list[dict[str, Any]], solver: str, budget: int) -> float:
    """Return the share of all targets that a solver reached within so many evaluations."""
    own = [run for run in runs if run["solver"] == solver]
    reached = sum(sum(hit <= budget * run["dimension"] for hit in run["hits"]) for run in own)
    return reached / (len(own) * len(TARGETS))


def tables(results: dict[str, Any]) -> str:
    """Return one table for each suite, and one by dimension."""
    parts = []
    for suite, found in results.items():
        runs, budgets = found["runs"], [b for b in BUDGETS if b <= found["budget"]]
        solvers = list(dict.fromkeys(run["solver"] for run in runs))
        dimensions = sorted({run["dimension"] for run in runs})
        problems = len({run["problem"] for run in runs})
        head = " | ".join(f"{b} d" for b in budgets)
        parts.append(
            f"**{suite}**: {problems} problems in dimensions {', '.join(map(str, dimensions))}; "
            f"share of {problems * len(TARGETS):,} targets reached after so many evaluations\n\n"
            f"| solver | {head} |\n|---|{'---|' * len(budgets)}"
        )
        for dimension in [None, *dimensions]:
            some = [r for r in runs if dimension in (None, r["dimension"])]
            for solver in solvers:
                cells = " | ".join(f"{share(some, solver, b):.3f}" for b in budgets)
                name = solver if dimension is None else f"{solver}, d = {dimension}"
                parts.append(f"| {name} | {cells} |")
        parts.append("")
    return "\n".join(parts)


def figures(results: dict[str, Any]) -> dict[str, Any]:
    """Return the figures for programs."""
    return {
        suite: {
            solver: {b: round(share(found["runs"], solver, b), 4) for b in BUDGETS
                     if b <= found["budget"]}
            for solver in dict.fromkeys(run["solver"] for run in found["runs"])
        }
        for suite, found in results.items()
    }  # fmt: skip


def write(page: Path, results: dict[str, Any]) -> None:
    """Put the tables between their marks."""
    text = page.read_text()
    before, _, rest = text.partition(_BEGIN)
    after = rest.partition(_END)[2]
    page.write_text(f"{before}{_BEGIN}\n\n{tables(results)}\n{_END}{after}")
