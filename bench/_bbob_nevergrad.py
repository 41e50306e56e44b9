"""Nevergrad's wizard, which its authors tell users to take: ``NgIohTuned``."""

from __future__ import annotations

import warnings

import numpy as np

from _bbob_problems import Recorder


def nevergrad(problem: Recorder, seed: int) -> None:
    """Ask and tell, with the budget, the bounds, and whether there is noise.

    Whole numbers are rounded here: told of them, as its documentation has it, it chooses methods
    that reach far fewer targets.
    """
    import nevergrad as ng

    p = problem.problem
    np.random.seed(seed)  # some of its methods draw from the global generator
    space = ng.p.Array(shape=(p.dimension,), lower=p.low, upper=p.high)
    space.random_state = np.random.RandomState(seed)
    space.function.deterministic = not p.noisy
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        search = ng.optimizers.NgIohTuned(space, budget=problem.budget, num_workers=1)
        if p.limits:
            search.suggest(p.start)
        while True:
            candidate = search.ask()
            x = np.array(candidate.value)
            x[: p.whole] = np.round(x[: p.whole])
            told = {"constraint_violation": problem.limits(x)} if p.limits else {}
            search.tell(candidate, problem(x), **told)
