"""PyPop7's evolution strategies, which begin again by themselves with twice the population."""

from __future__ import annotations

import warnings

import numpy as np

from _bbob_problems import Recorder
from _bbob_solvers import runs

FULL = 100  # dimensions up to which a whole covariance is learned


def pypop7(problem: Recorder, seed: int) -> None:
    """CMA-ES; in large dimensions LM-MA-ES, the first example of its authors."""
    from pypop7.optimizers.es.cmaes import CMAES
    from pypop7.optimizers.es.lmmaes import LMMAES

    p = problem.problem
    kind = CMAES if p.dimension <= FULL else LMMAES
    box = {
        "fitness_function": lambda u: problem(p.at(u)),
        "ndim_problem": p.dimension,
        "lower_boundary": np.zeros(p.dimension),
        "upper_boundary": np.ones(p.dimension),
    }
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        for run in runs(problem):
            kind(box, {"seed_rng": seed + 1000 * run, "sigma": 0.2, "verbose": 0}).optimize()
