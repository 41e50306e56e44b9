"""CatCMA with margin by its authors, begun again with another seed when it ends."""

from __future__ import annotations

import numpy as np

from _bbob_problems import Recorder
from _bbob_solvers import runs


def catcma(problem: Recorder, seed: int) -> None:
    """``cmaes.CatCMAwM`` as shipped."""
    import cmaes

    p = problem.problem
    reals = p.dimension - p.choices
    bounds = np.stack([p.low, p.high], axis=1)[:reals] if reals else None
    options = (p.high[reals:] + 1).astype(int)
    for run in runs(problem):
        method = cmaes.CatCMAwM(x_space=bounds, c_space=options, seed=seed + 1000 * run)
        while not method.should_stop():
            asked = [method.ask() for _ in range(method.population_size)]
            points = [[*(s.x if reals else ()), *s.c.argmax(axis=1)] for s in asked]
            method.tell([(s, problem(point)) for s, point in zip(asked, points, strict=True)])
