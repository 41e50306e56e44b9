"""Turns what was measured into ratios, goals and tables."""

from __future__ import annotations

import importlib.metadata
import statistics
from pathlib import Path
from typing import Any

from _optim_speed_report import machine as any_machine

PACKAGES = ("parafree", "jax", "numpy", "cma", "pypop7", "evosax")
TIMES = {"pycma": 20.0, "pypop7": 20.0, "evosax": 1.0}  # evaluations per second over a peer's
COMPILE_S, HOST_S = 2.0, 1e-3

Rows = list[dict[str, Any]]


def ratios_of(rows: Rows) -> dict[str, dict[str, dict[str, float]]]:
    """Return, by case and peer, our evaluations per second over the peer's.

    ``pycma`` is without our compiling, ``pycma, compiled`` with it, in a run of 1000 d evaluations.
    """
    found: dict[str, dict[str, dict[str, float]]] = {}
    for row in rows:
        for peer, speed in row["peers"].items():
            ratios = found.setdefault(peer, {}), found.setdefault(f"{peer}, compiled", {})
            ratios[0][_case(row)] = row["per_s"] / speed["per_s"]
            ratios[1][_case(row)] = _from_start(row, row) / _from_start(row, speed)
    return found


def goals_of(rows: Rows, compiles: Rows, hosts: Rows) -> dict[str, dict[str, Any]]:
    """Return the goals: the worst value, its bound, and who misses it."""
    ratios, goals = ratios_of(rows), {}
    for peer, bound in TIMES.items():
        if peer in ratios:
            goals[f"evaluations per second, times {peer}"] = _goal(ratios[peer], bound, least=True)
    seconds = {_short(row): row["compile_s"] for row in compiles}
    goals["seconds to compile"] = _goal(seconds, COMPILE_S, least=False)
    seconds = {_short(row): row["batch_s"] for row in hosts}
    goals["seconds of a batch on the host"] = _goal(seconds, HOST_S, least=False)
    return goals


def machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    versions = {}
    for package in PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return any_machine() | {"versions": versions}


def speed_table(rows: Rows, seconds: float, others: float) -> str:
    """Return the table of evaluations per second, one row for a method, dimension, population."""
    lines = [
        _told(f"Turns of {seconds} s. ", others),
        "",
        "| method | d | population | evaluations per s | with compiling | over pycma "
        "| over PyPop7 | over evosax | compile, s | evosax's |",
        "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    groups: dict[tuple[Any, ...], Rows] = {}
    for row in rows:
        groups.setdefault((row["method"], row["d"], row["population"]), []).append(row)
    for (method, d, population), group in groups.items():
        speeds = [row["per_s"] for row in group]
        began = [_from_start(row, row) for row in group]
        cells = [
            f"{statistics.median(speeds):,.0f}",
            f"{statistics.median(began):,.0f}",
            *(_worst(group, peer) for peer in TIMES),
            _bold(max(row["compile_s"] for row in group), COMPILE_S, least=False),
        ]
        peer = [row["peers"]["evosax"]["compile_s"] for row in group if "evosax" in row["peers"]]
        cells.append(f"{max(peer):.2f}" if peer else "")
        lines.append(f"| {method} | {d} | {population} | {' | '.join(cells)} |")
    return "\n".join(lines)


def cost_table(compiles: Rows, hosts: Rows, others: float) -> str:
    """Return the table of compiling, and of batches whose values come from the host."""
    dimensions = sorted({row["d"] for row in compiles})
    heads = [f"compile at d = {d}, s" for d in dimensions]
    heads += [f"batch at d = {d}, ms" for d in dimensions]
    lines = [_told("", others), "", f"| method | {' | '.join(heads)} |"]
    lines.append("|---" + "|---:" * len(heads) + "|")
    compile_s = {(row["method"], row["d"]): row["compile_s"] for row in compiles}
    batch_s = {(row["method"], row["d"]): row["batch_s"] for row in hosts}
    for method in dict.fromkeys(row["method"] for row in compiles):
        cells = [_bold(compile_s.get((method, d)), COMPILE_S, least=False) for d in dimensions]
        for d in dimensions:
            seconds = batch_s.get((method, d))
            cells.append(_bold(seconds and 1e3 * seconds, 1e3 * HOST_S, least=False))
        lines.append(f"| {method} | {' | '.join(cells)} |")
    return "\n".join(lines)


def write(path: Path, name: str, table: str) -> None:
    """Put a table into its place in a Markdown file."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    head, rest = path.read_text().split(begin)
    tail = rest.split(end)[1]
    path.write_text(f"{head}{begin}\n{table}\n{end}{tail}")


def _from_start(row: dict[str, Any], speed: dict[str, Any]) -> float:
    """Return evaluations per second in a run of 1000 d of them that must compile first."""
    budget = 1000 * row["d"]
    return budget / (speed["compile_s"] + budget / speed["per_s"])


def _case(row: dict[str, Any]) -> str:
    return f"{_short(row)}, population {row['population']}, {row['objective']}"


def _short(row: dict[str, Any]) -> str:
    return f"{row['method']}, d {row['d']}"


def _goal(values: dict[str, float], bound: float, *, least: bool) -> dict[str, Any]:
    worst = (min if least else max)(values, key=values.__getitem__)
    missed = sorted(name for name, x in values.items() if (x < bound if least else x > bound))
    told = {"value": values[worst], "at": worst, "goal": bound, "met": not missed}
    return told | {"missed": missed, "of": len(values)}


def _worst(group: Rows, peer: str) -> str:
    """Return the smallest ratio over the objectives."""
    speeds = [row["per_s"] / row["peers"][peer]["per_s"] for row in group if peer in row["peers"]]
    return _bold(min(speeds), TIMES[peer], least=True) if speeds else ""


def _bold(value: float | None, bound: float, *, least: bool) -> str:
    if value is None:
        return ""
    text = f"{value:,.0f}" if value >= 100 else f"{value:.2f}"
    return f"**{text}**" if (value < bound if least else value > bound) else text


def _told(first: str, others: float) -> str:
    told = machine()
    versions = ", ".join(f"{name} {version}" for name, version in told["versions"].items())
    return (
        f"{first}Other programs used {others:.2f} cores. {told['date']}, {told['machine']}, "
        f"Python {told['python']}, {versions}."
    )
