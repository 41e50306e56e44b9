"""Writes the tables and the plot of the no-knob suite."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from _noknob_freeze import FAMILIES
from _noknob_score import FURTHEST, TUNED, Scores, setting_in_words
from _noknob_suite import build
from _strokes import stroke

BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"


def tables(scores: Scores) -> str:
    """Return the page's generated part: methods, workloads, and one column for each method."""
    return "\n\n".join([_methods(scores), _workloads(scores), _every_pair(scores)])


def _methods(scores: Scores) -> str:
    number = len(scores.workloads)
    walls, costs = scores.steps * scores.slower, scores.total_cost()
    reference = costs[scores.methods.index(TUNED[0])]
    times = walls / walls[scores.methods.index(TUNED[0])]
    by_steps, by_wall = scores.area(scores.steps), scores.area(walls)
    rows = []
    for i in np.argsort(-by_steps, kind="stable"):
        method = scores.methods[i]
        rows.append(
            [
                method,
                f"{np.isfinite(scores.steps[i]).sum()} of {number}",
                f"{scores.runs[i].sum()} of {number * scores.seeds(method)}",
                _ratio(np.median(scores.relative[i])),
                _ratio(scores.relative[i].max()),
                _ratio(np.median(times[i])),
                f"{by_steps[i]:.3f}",
                f"{by_wall[i]:.3f}",
                f"{np.median(scores.slower[i]):.2f}",
                f"{np.median(costs[i] / reference):.3f}",
            ]
        )
    heads = (
        "method, as shipped|workloads solved|runs that reach the target|steps, median|steps, worst"
        "|time, median|score, steps|score, time|time of a step|total cost"
    )
    return _table(heads.split("|"), rows)


def _workloads(scores: Scores) -> str:
    rows = []
    for name in scores.workloads:
        entry, workload = scores.frozen[name], build(name)
        cells = [
            workload.name,
            workload.stresses,
            f"{entry['parameters']:,}",
            f"{entry['steps']:,}",
        ]
        cells += [f"{entry['first_loss']:.4g}", f"{entry['target']:.4g}"]
        for family in FAMILIES:
            own = entry[family]
            fast = own["fastest"]
            cells.append(
                f"{fast['schedule']} {fast['learning_rate']:g}: {_median_step(own['steps'])}"
            )
        rows.append(cells)
    heads = "workload|what is hard|parameters|steps|first loss|target"
    return _table([*heads.split("|"), *(f"{f}, tuned: steps" for f in FAMILIES)], rows)


def _median_step(steps: list[int | None]) -> str:
    """Return the median of the seeds' steps; one that never got there counts as infinite."""
    median = float(np.median([np.inf if step is None else step for step in steps]))
    return f"{median:.0f}" if np.isfinite(median) else "–"


def _every_pair(scores: Scores) -> str:
    rows = [
        [method, *(_ratio(x) for x in scores.relative[i])]
        for i, method in enumerate(scores.methods)
    ]
    return _table(["steps over tuned NadamW's", *(build(n).name for n in scores.workloads)], rows)


def _ratio(value: float) -> str:
    return f"{value:.2f}" if np.isfinite(value) else "–"


def _table(heads: list[str], rows: Iterable[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def figures(scores: Scores) -> dict[str, Any]:
    """Return the figures that goals are held against, for each method."""
    costs = scores.total_cost()
    reference = costs[scores.methods.index(TUNED[0])]
    return {
        "bench": "noknob",
        "workloads": len(scores.workloads),
        "one_setting": {f: setting_in_words(scores.frozen, f) for f in FAMILIES},
        "methods": {
            method: {
                "solved": int(np.isfinite(scores.steps[i]).sum()),
                "steps_median": _finite(np.median(scores.relative[i])),
                "steps_worst": _finite(scores.relative[i].max()),
                "step_time_median": _finite(np.median(scores.slower[i])),
                "total_cost_worst": _finite((costs[i] / reference).max()),
                "score_steps": _finite(scores.area(scores.steps)[i]),
                "score_time": _finite(scores.area(scores.steps * scores.slower)[i]),
            }
            for i, method in enumerate(scores.methods)
        },
    }


def _finite(value: float) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None


def write(page: Path, scores: Scores) -> None:
    """Put the tables between the page's marks, and the plot beside the page."""
    text = page.read_text()
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    picture = "![performance profiles](images/noknob.svg)"
    page.write_text(f"{before}{BEGIN}\n{picture}\n\n{tables(scores)}\n{END}{after}")
    (page.parent / "images" / "noknob.svg").write_text(plot(scores))


def plot(scores: Scores) -> str:
    """Return performance profiles, by steps and by time, as a picture in SVG."""
    panels = [("steps", scores.steps), ("time", scores.steps * scores.slower)]
    areas = scores.area(scores.steps)
    # Variants of one method, and what solves nothing, are in the tables alone.
    order = [
        i
        for i in np.argsort(-areas, kind="stable")
        if areas[i] > 0 and not scores.methods[i].startswith("auto: ")
    ]
    body = []
    for number, (what, costs) in enumerate(panels):
        left = 50 + 330 * number
        body.append(_axes(left, what))
        lines = scores.profile(costs, TIMES)
        for rank, i in enumerate(order):
            body.append(_line(left, lines[i], rank))
    for rank, i in enumerate(order):
        y = 24 + 15 * rank
        body.append(f'<path d="M700 {y - 4}h22" {stroke(rank)}/>')
        body.append(f'<text x="728" y="{y}">{scores.methods[i]}</text>')
    height = max(330, 40 + 15 * len(order))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 930 {height}" '
        f'font-family="sans-serif" font-size="11">\n'
        f'<rect width="930" height="{height}" fill="white"/>\n' + "\n".join(body) + "\n</svg>\n"
    )


TIMES = np.geomspace(1, FURTHEST, 121)


def _across(times: float) -> float:
    return 290 * float(np.log(times) / np.log(FURTHEST))


def _axes(left: int, what: str) -> str:
    marks = [
        f'<text x="{left + _across(t):.0f}" y="296" text-anchor="middle">{t:g}</text>'
        for t in (1, 1.5, 2, 3, 4)
    ]
    marks += [
        f'<text x="{left - 6}" y="{284 - 260 * share:.0f}" text-anchor="end">{share:g}</text>'
        f'<path d="M{left} {280 - 260 * share:.0f}h290" stroke="#ddd"/>'
        for share in (0, 0.25, 0.5, 0.75, 1)
    ]
    title = f"share of workloads solved within this many times the best method's {what}"
    marks.append(
        f'<text x="{left + 145}" y="314" text-anchor="middle" font-size="9">{title}</text>'
    )
    return "".join(marks)


def _line(left: int, shares: np.ndarray, rank: int) -> str:
    points = " ".join(
        f"{left + _across(t):.1f},{280 - 260 * share:.1f}"
        for t, share in zip(TIMES, shares, strict=True)
    )
    return f'<polyline points="{points}" {stroke(rank)}/>'
