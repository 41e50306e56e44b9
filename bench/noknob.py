"""Judge methods that have nothing to tune: ``python bench/noknob.py [--quick]``.

Real workloads, targets from NadamW and AdamW that were tuned and frozen before, every method as it
is shipped. The rules are told in ``docs/noknob.md``. Results add up in
``bench/noknob_results.json``; the last line of standard output is JSON.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import _noknob_freeze as freezing
import _noknob_page as page
import _noknob_results as results
from _noknob_methods import names as method_names
from _noknob_score import Scores
from _noknob_suite import NAMES
from parafree.core.errors import ParafreeError

QUICK_WORKLOADS = ("digits_softmax", "digits_poisson", "fashion_mlp")
QUICK_METHODS = ("adam", "dog", "schedule_free_adamw")
PAGE = Path(__file__).parents[1] / "docs" / "noknob.md"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--freeze", action="store_true", help="set targets that are not set yet")
    parser.add_argument(
        "--table", action="store_true", help="print the stored results, run nothing"
    )
    parser.add_argument("--quick", action="store_true", help="a few methods and workloads")
    parser.add_argument(
        "--times", action="store_true", help="measure only the time of a step, of what is stored"
    )
    parser.add_argument("--methods", help="names with commas between; all of them by default")
    parser.add_argument("--workloads", help="names with commas between; all of them by default")
    parser.add_argument("--seeds", type=int, default=3, help="runs on each workload")
    parser.add_argument("--workers", type=int, default=2, help="processes that freeze")
    parser.add_argument("--write", action="store_true", help=f"put table and plot into {PAGE.name}")
    given = parser.parse_args()
    workloads = chosen(given.workloads, NAMES, QUICK_WORKLOADS if given.quick else NAMES)
    if given.freeze:
        freezing.freeze(workloads, given.workers)
        return
    if not freezing.FROZEN.is_file():
        raise ParafreeError("there are no targets", where=str(freezing.FROZEN), fix="use --freeze")
    frozen = freezing.load()
    if not given.table:
        known = method_names()
        methods = chosen(given.methods, known, QUICK_METHODS if given.quick else known)
        if given.times:
            results.time_again(workloads, methods, frozen)
        else:
            results.run(workloads, methods, list(range(given.seeds)), frozen)
    scores = Scores(frozen, results.load(), workloads)
    print(page.tables(scores))
    if given.write:
        page.write(PAGE, scores)
    print(json.dumps(page.figures(scores)))


def chosen(asked: str | None, known: list[str] | tuple[str, ...], default: object) -> list[str]:
    """Return the names that were asked for.

    Raises:
        ParafreeError: one of them does not exist.
    """
    if asked is None:
        return list(default)  # type: ignore[call-overload]
    for name in asked.split(","):
        if name not in known:
            raise ParafreeError("no such name", where=name, fix=f"one of {', '.join(known)}")
    return asked.split(",")


if __name__ == "__main__":
    main()
