"""Measure what `parafree.minimize` itself takes for an evaluation, with a function that is free.

Usage: ``python bench/minimize_overhead.py [--evaluations N]``. One worker. *Search* is asking and
telling alone, *study* is all of it: worker process, journal, and search. Beside it stand pycma and
Optuna's CMA-ES, asked and told in this process and keeping nothing on a disk. The last line is
JSON; ``ratios`` are those of 1 ms for a batch of two to what parafree takes (above 1 is better than
asked), and of the peers' time for an evaluation to that of parafree's search.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import tempfile
import time
from collections.abc import Callable
from typing import Any

import parafree
from parafree import Real, Space
from parafree.study._search import Search
from parafree.study._threads import one_thread

ASKED_MS = 1.0  # for a batch
BATCH = 2  # of one worker


def sphere(config: Any) -> float:
    return sum(x * x for x in config.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--evaluations", type=int, default=1000)
    parser.add_argument("--dimensions", type=int, nargs="+", default=[2, 10, 40, 100])
    given = parser.parse_args()
    rows, ratios = {}, {}
    ways = {"search": search, "study": study, "pycma": pycma, "optuna": optuna}
    print(f"{'ms an evaluation':>16} " + " ".join(f"{name:>10}" for name in ways))
    for d in given.dimensions:
        row = {name: way(d, given.evaluations) for name, way in ways.items()}
        print(f"{d:>16} " + " ".join(f"{ms:>10.3f}" if ms else f"{'-':>10}" for ms in row.values()))
        rows[d] = row
        ratios |= {
            f"asked_{name}_d{d}": ASKED_MS / BATCH / row[name] for name in ("search", "study")
        }
        for peer in ("pycma", "optuna"):
            if row[peer]:
                ratios[f"{peer}_d{d}"] = row[peer] / row["search"]
    print(json.dumps({"bench": "minimize_overhead", "cpus": os.cpu_count(), "ms": rows,
                      "load_average": os.getloadavg()[0], "ratios": ratios}))  # fmt: skip


def each(evaluations: int, run: Callable[[int], Any]) -> float:
    """Return milliseconds for one of so many evaluations, once all is compiled."""
    run(60)
    begin = time.perf_counter()
    run(evaluations)
    return 1e3 * (time.perf_counter() - begin) / evaluations


def box(d: int) -> Space:
    return Space({f"x{i}": Real(-5, 4) for i in range(d)})


def search(d: int, evaluations: int) -> float:
    def run(n: int) -> None:
        state = Search(box(d), 0, BATCH)
        for trial in range(n):
            state.tell(trial, sphere(state.ask(trial)))

    with one_thread():
        return each(evaluations, run)


def study(d: int, evaluations: int) -> float:
    """From the end of an early evaluation to that of the last one, by the study's time line."""
    with tempfile.TemporaryDirectory() as folder:
        found = parafree.minimize(sphere, box(d), evaluations=evaluations + 60, workers=1,
                                  store=f"{folder}/p.db", progress=False)  # fmt: skip
        ends = sorted(found.spans["end_s"].tolist())
    return 1e3 * (ends[-1] - ends[59]) / (len(ends) - 60)


def pycma(d: int, evaluations: int) -> float | None:
    if importlib.util.find_spec("cma") is None:
        return _missing("pycma", "cma")
    import cma

    def run(n: int) -> None:
        es = cma.CMAEvolutionStrategy(d * [0.5], 0.25, {"bounds": [0, 1], "verbose": -9, "seed": 1})
        for _ in range(-(-n // es.popsize)):
            points = es.ask()
            es.tell(points, [float((x * x).sum()) for x in points])

    return each(evaluations, run)


def optuna(d: int, evaluations: int) -> float | None:
    if importlib.util.find_spec("optuna") is None or importlib.util.find_spec("cmaes") is None:
        return _missing("optuna", "cmaes")
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def run(n: int) -> None:
        sampler = optuna.samplers.CmaEsSampler(seed=1, warn_independent_sampling=False)
        made = optuna.create_study(sampler=sampler)
        for _ in range(n):
            trial = made.ask()
            x = {f"x{i}": trial.suggest_float(f"x{i}", -5, 4) for i in range(d)}
            made.tell(trial, sphere(x))

    return each(min(evaluations, 300), run)  # it takes longer the more trials there are


def _missing(peer: str, package: str) -> None:
    print(f"{peer} is not measured: the package {package} is not installed")


if __name__ == "__main__":
    main()
