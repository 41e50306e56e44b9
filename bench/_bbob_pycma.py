"""BIPOP-CMA-ES of pycma, begun as its author begins it on these suites."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from _bbob_problems import Recorder
from _bbob_solvers import runs


def pycma(problem: Recorder, seed: int) -> None:
    """``cma.fmin2``; with constraints ``cma.fmin_con2``, with twice the population each time."""
    import cma

    p, rng = problem.problem, np.random.default_rng(seed)
    options: dict[str, Any] = {"verbose": -9, "seed": seed + 1, "maxfevals": problem.budget}
    if p.whole:
        edges = 0.5 * (np.arange(p.dimension) < p.whole)
        options |= {"bounds": [p.low - edges, p.high + edges], "CMA_stds": (p.high - p.low) / 5}
        options["integer_variables"] = list(range(p.whole))
    sigma = 1.0 if p.whole else 2.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for run in runs(problem):
            if not p.limits:
                begin = lambda: p.low + (p.high - p.low) * (0.1 + 0.8 * rng.random(p.dimension))  # noqa: E731
                cma.fmin2(problem, begin, sigma, options, restarts=9, bipop=True)
                continue
            size = (4 + int(3 * np.log(p.dimension))) * 2**run
            cma.fmin_con2(
                problem,
                p.beginning(run, rng),
                sigma,
                constraints=lambda x: problem.limits(x).tolist(),
                find_feasible_first=True,
                options=options | {"popsize": size, "seed": seed + 1 + run},
            )
