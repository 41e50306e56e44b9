"""Nevergrad's wizard, which its authors tell users to take: ``NgIohTuned``."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from _bbob_problems import Problem, Recorder


def nevergrad(problem: Recorder, seed: int) -> None:
    """Ask and tell, with the budget, the bounds, the kinds of variables and whether it is noisy."""
    import nevergrad as ng

    p = problem.problem
    np.random.seed(seed)  # some of its methods draw from the global generator
    parts = _parts(ng, p)
    space = parts[0] if len(parts) == 1 else ng.p.Tuple(*parts)
    space.random_state = np.random.RandomState(seed)
    space.function.deterministic = not p.noisy
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        search = ng.optimizers.NgIohTuned(space, budget=problem.budget, num_workers=1)
        if p.limits:
            search.suggest(p.start)
        while True:
            candidate = search.ask()
            value = candidate.value
            x = np.concatenate(value) if isinstance(value, tuple) else value
            told = {"constraint_violation": problem.limits(x)} if p.limits else {}
            search.tell(candidate, problem(x), **told)


def _parts(ng: Any, p: Problem) -> list[Any]:
    """Return the arrays of whole numbers and of real ones, if there are any."""
    parts = []
    for which in (slice(p.whole), slice(p.whole, None)):
        low, high = p.low[which], p.high[which]
        if len(low):
            parts.append(ng.p.Array(shape=(len(low),), lower=low, upper=high))
    if p.whole:
        parts[0].set_integer_casting()
    return parts
