"""Nevergrad: the wizard that its authors tell users to take, and a portfolio for options."""

from __future__ import annotations

import warnings

import numpy as np

from _bbob_problems import Recorder


def nevergrad(problem: Recorder, seed: int) -> None:
    """Ask and tell, with the budget, the bounds, and whether there is noise.

    Whole numbers are rounded here: told of them, as its documentation has it, it chooses methods
    that reach far fewer targets. Options are told as what they are, to the method of its own that
    did best with them.
    """
    import nevergrad as ng

    p, numbers = problem.problem, problem.problem.dimension - problem.problem.choices
    np.random.seed(seed)  # some of its methods draw from the global generator
    low, high = p.low[:numbers], p.high[:numbers]
    parts = [ng.p.Array(shape=(numbers,), lower=low, upper=high)] if numbers else []
    parts += [ng.p.Choice(range(int(last) + 1)) for last in p.high[numbers:]]
    space = ng.p.Tuple(*parts) if p.choices else parts[0]
    space.random_state = np.random.RandomState(seed)
    space.function.deterministic = not p.noisy
    kind = "PortfolioDiscreteOnePlusOne" if p.choices else "NgIohTuned"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        search = ng.optimizers.registry[kind](space, budget=problem.budget, num_workers=1)
        if p.limits:
            search.suggest(p.start)
        while True:
            candidate = search.ask()
            x = np.hstack(candidate.value)
            x[: p.whole] = np.round(x[: p.whole])
            told = {"constraint_violation": problem.limits(x)} if p.limits else {}
            search.tell(candidate, problem(x), **told)
