"""Solve COCO's functions beside others: ``python bench/bbob.py [--quick]``.

Every solver gets every problem with the same budget; what counts is the share of targets that it
has reached after so many evaluations (the ECDF of COCO). The rules are told in ``docs/bbob.md``.
What is kept of runs with the same budget is not run again, so a run that was stopped goes on. A
quick run keeps nothing once it is through.
Needs the packages ``coco-experiment`` and ``cma``; other peers are left out where they are not
installed. The last line of standard output is JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import _bbob_page as page
from _bbob_problems import SUITES, problems
from _bbob_run import Crew, Results, run_suite, say
from _bbob_solvers import SOLVERS

PAGE = Path(__file__).parents[1] / "docs" / "bbob.md"
RESULTS = Path(__file__).with_name("bbob_results.json")
LONG_RESULTS = Path(__file__).with_name("bbob_long_results.json")
UNFINISHED = Path(tempfile.gettempdir()) / "parafree_bbob_quick.json"
QUICK_BUDGET = 100
QUICK = {  # some functions of each kind
    "bbob": (1, 2, 5, 8, 10, 13, 15, 17, 20, 21, 22, 24),
    "bbob-noisy": (101, 103, 107, 110, 116, 119, 125, 130),
    "bbob-mixint": (1, 5, 8, 10, 15, 21),
    "choices": (2, 4, 5, 7),
}
BUDGETS = dict.fromkeys(SUITES, 300) | {"bbob-largescale": 50, "choices": 100}
LONG_BUDGET, LONG_SOLVERS = 3000, ("parafree", "pycma")


def main() -> None:
    parser = _parser()
    given = parser.parse_args()
    if given.quick and given.write:
        parser.error("--write puts what is kept into the page, and --quick keeps nothing")
    kept = UNFINISHED if given.quick else LONG_RESULTS if given.long else RESULTS
    results = Results(given.results or kept)
    suites = given.suites or tuple(QUICK if given.quick else SUITES)
    crew = Crew(given.jobs)
    try:
        for suite in suites if not given.table else ():
            _run(crew, results, suite, given)
    except KeyboardInterrupt:
        say(f"stopped; what was done is in {results.path}, and the same call goes on from there")
        sys.exit(130)
    finally:
        crew.stop()
    print(page.tables(results.content))
    print(page.seconds(results.content))
    if given.write:
        page.write(PAGE, results.content, "long" if given.long else "")
    if given.quick and given.results is None:
        UNFINISHED.unlink(missing_ok=True)
    print(json.dumps(page.figures(results.content)))


def _run(crew: Crew, results: Results, suite: str, given: argparse.Namespace) -> None:
    """Run what is asked for of one suite."""
    usual = QUICK_BUDGET if given.quick else LONG_BUDGET if given.long else BUDGETS[suite]
    budget = given.budget or usual
    solvers = given.solvers or (LONG_SOLVERS if given.long else tuple(SOLVERS))
    results.begin(suite, budget, given.again)
    functions = given.functions or (QUICK.get(suite, ()) if given.quick else ())
    dimensions = given.dimensions or ((2, 5) if given.quick else SUITES[suite])
    instances = given.instances or ((1,) if given.quick else tuple(range(1, 16)))
    for dimension in SUITES[suite]:
        if dimension in dimensions:
            found = list(problems(suite, dimension, instances, functions))
            run_suite(crew, results, suite, _installed(solvers), found, given.again)


def _installed(names: Sequence[str]) -> list[str]:
    """Return the solvers among these names that are here; tell of the others."""
    for name in names:
        if not SOLVERS[name].installed:
            say(f"{name} is left out: the package {SOLVERS[name].package} is not installed")
    return [name for name in names if SOLVERS[name].installed]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="few problems, under ten minutes")
    size.add_argument(
        "--long",
        action="store_true",
        help=f"{LONG_BUDGET} evaluations for each dimension, by {' and '.join(LONG_SOLVERS)} "
        f"unless --solvers says otherwise, kept in {LONG_RESULTS.name}",
    )
    numbers = "numbers with commas between, as 1,2,5-9"
    parser.add_argument("--suites", type=_of(SUITES), help=f"of {', '.join(SUITES)}")
    parser.add_argument("--solvers", type=_of(SOLVERS), help=f"of {', '.join(SOLVERS)}")
    parser.add_argument("--dimensions", type=_numbers, help=numbers)
    parser.add_argument("--instances", type=_numbers, help=numbers)
    parser.add_argument("--functions", type=_numbers, help=f"{numbers}; all by default")
    parser.add_argument("--budget", type=int, help="evaluations for each dimension")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="problems side by side")
    parser.add_argument("--again", action="store_true", help="run what is kept once more")
    parser.add_argument("--results", type=Path, help=f"file of runs, in place of {RESULTS.name}")
    parser.add_argument("--write", action="store_true", help=f"put the tables into {PAGE.name}")
    parser.add_argument("--table", action="store_true", help="print what is kept, run nothing")
    return parser


def _of(known: Iterable[str]) -> Callable[[str], tuple[str, ...]]:
    """Return what reads names with commas between, each of which has to be known."""

    def names(text: str) -> tuple[str, ...]:
        found = tuple(text.split(","))
        if unknown := [each for each in found if each not in known]:
            raise argparse.ArgumentTypeError(
                f"{', '.join(map(repr, unknown))} is none of {', '.join(known)}"
            )
        return found

    return names


def _numbers(text: str) -> tuple[int, ...]:
    """Read whole numbers and ranges of them: ``1,2,5-9``."""
    found: list[int] = []
    for each in text.split(","):
        whole = re.fullmatch(r"(\d+)(?:-(\d+))?", each)
        added = range(int(whole[1]), int(whole[2] or whole[1]) + 1) if whole else ()
        if not added:
            raise argparse.ArgumentTypeError(
                f"{each!r} is neither a number nor a range; write 1,2,5-9, say"
            )
        found += added
    return tuple(found)


if __name__ == "__main__":
    main()
