"""Solve COCO's functions beside pycma: ``python bench/bbob.py [--quick]``.

Every solver gets every problem with the same budget; what counts is the share of targets that it
has reached after so many evaluations (the ECDF of COCO). The rules are told in ``docs/bbob.md``.
What was run before with the same budget is kept where it is not run again.
Needs the packages ``coco-experiment`` and ``cma``. The last line of standard output is JSON.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import _bbob_page as page
from _bbob_problems import SUITES, Recorder, problems
from _bbob_solvers import SOLVERS

PAGE = Path(__file__).parents[1] / "docs" / "bbob.md"
RESULTS = Path(__file__).with_name("bbob_results.json")
QUICK = {"dimensions": (2, 5), "instances": (1,), "budget": 300}
WHOLE = {"dimensions": (2, 3, 5, 10, 20, 40), "instances": tuple(range(1, 16)), "budget": 3000}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few problems, under ten minutes")
    parser.add_argument("--suites", default="bbob,bbob-noisy,bbob-mixint", help="of COCO")
    parser.add_argument("--solvers", default=",".join(SOLVERS), help="names with commas between")
    parser.add_argument("--dimensions", help="numbers with commas between")
    parser.add_argument("--instances", help="numbers with commas between")
    parser.add_argument("--functions", help="numbers with commas between; all by default")
    parser.add_argument("--budget", type=int, help="evaluations for each dimension")
    parser.add_argument("--write", action="store_true", help=f"put the tables into {PAGE.name}")
    parser.add_argument("--table", action="store_true", help="print what is stored")
    given = parser.parse_args()
    chosen = QUICK if given.quick else WHOLE
    dimensions = _numbers(given.dimensions) or chosen["dimensions"]
    instances = _numbers(given.instances) or chosen["instances"]
    budget = given.budget or chosen["budget"]
    results = json.loads(RESULTS.read_text()) if given.table or RESULTS.is_file() else {}
    if not given.table:
        for suite in given.suites.split(","):
            found = run(
                suite, given.solvers.split(","), dimensions, instances, budget, given.functions
            )
            results[suite] = {"budget": budget, "runs": merged(results.get(suite), found, budget)}
            RESULTS.write_text(json.dumps(results))
    print(page.tables(results))
    if given.write:
        page.write(PAGE, results)
    print(json.dumps(page.figures(results)))


def run(
    suite: str,
    solvers: list[str],
    dimensions: tuple[int, ...],
    instances: tuple[int, ...],
    budget: int,
    functions: str | None,
) -> list[dict[str, object]]:
    """Let every solver loose on every problem of a suite; return when targets were reached."""
    found: list[dict[str, object]] = []
    sizes = SUITES[suite] or dimensions
    for dimension in dimensions if sizes is dimensions else sizes[: len(dimensions)]:
        for problem in problems(suite, dimension, instances, _numbers(functions)):
            for name in solvers:
                begin = time.perf_counter()
                recorder = Recorder(problem, budget * dimension)
                recorder.watch(SOLVERS[name], seed=problem.instance)
                row = {"solver": name, "problem": problem.name, "dimension": dimension}
                row |= {"function": problem.function, "hits": recorder.hits}
                found.append(row | {"seconds": time.perf_counter() - begin})
        print(f"[{time.strftime('%H:%M:%S')}] {suite} in dimension {dimension} done", flush=True)
    return found


def merged(
    old: dict[str, Any] | None, found: list[dict[str, object]], budget: int
) -> list[dict[str, object]]:
    """Return what was found, and what is known of other solvers and problems with that budget."""
    kept = old["runs"] if old is not None and old["budget"] == budget else []
    new = {(row["solver"], row["problem"]) for row in found}
    rows = [row for row in kept if (row["solver"], row["problem"]) not in new] + found
    return sorted(rows, key=lambda row: list(SOLVERS).index(str(row["solver"])))


def _numbers(text: str | None) -> tuple[int, ...]:
    return tuple(int(each) for each in text.split(",")) if text else ()


if __name__ == "__main__":
    main()
