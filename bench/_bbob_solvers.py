"""The solvers: each asks a recorder for values until it is over."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np

from _bbob_problems import Recorder
from parafree import Int, Real, Space


def parafree(problem: Recorder, seed: int) -> None:
    """``parafree.minimize``'s search in this process, as it hands out candidates to one worker."""
    from parafree.study._search import Search

    p = problem.problem
    space = Space(
        {
            f"x{i:03}": Int(int(low), int(high)) if i < p.whole else Real(float(low), float(high))
            for i, (low, high) in enumerate(zip(p.low, p.high, strict=True))
        }
    )
    search = Search(space, seed, 1)
    for trial in range(problem.budget):
        config = search.ask(trial)
        search.tell(trial, problem([config[name] for name in space.names]))


def pycma(problem: Recorder, seed: int) -> None:
    """BIPOP-CMA-ES of pycma, begun as its author begins it on these suites."""
    import cma

    p = problem.problem
    rng = np.random.default_rng(seed)
    options = {"verbose": -9, "seed": seed + 1, "maxfevals": problem.budget}
    if p.whole:
        options |= {"bounds": [p.low - 0.5 * (np.arange(p.dimension) < p.whole),
                               p.high + 0.5 * (np.arange(p.dimension) < p.whole)],
                    "integer_variables": list(range(p.whole))}  # fmt: skip
        options["CMA_stds"] = (p.high - p.low) / 5
    sigma = 1.0 if p.whole else 2.0
    while True:  # until the recorder says that it is over
        begin = lambda: p.low + (p.high - p.low) * (0.1 + 0.8 * rng.random(p.dimension))  # noqa: E731
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            cma.fmin2(problem, begin, sigma, options, restarts=9, bipop=True)


def uniform(problem: Recorder, seed: int) -> None:
    """Points drawn evenly, the least that any solver must beat."""
    p = problem.problem
    rng = np.random.default_rng(seed)
    while True:
        x = p.low + (p.high - p.low) * rng.random(p.dimension)
        x[: p.whole] = rng.integers(p.low[: p.whole], p.high[: p.whole] + 1)
        problem(x)


SOLVERS: dict[str, Callable[[Recorder, int], None]] = {
    "parafree": parafree,
    "pycma": pycma,
    "uniform": uniform,
}
