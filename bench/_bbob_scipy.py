"""SciPy's global methods, and its best local one without derivatives, begun again and again."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from _bbob_problems import Recorder
from _bbob_solvers import runs

_FOREVER = 10**9


def scipy_evolution(problem: Recorder, seed: int) -> None:
    """``differential_evolution`` as shipped, with what it offers for whole numbers and limits."""
    from scipy.optimize import differential_evolution

    p, rng = problem.problem, np.random.default_rng(seed)
    bounds = list(zip(p.low, p.high, strict=True))
    given: dict[str, Any] = {"constraints": _limits(problem)} if p.limits else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for run in runs(problem):
            if p.limits:
                given["x0"] = p.beginning(run, rng)
            differential_evolution(
                problem, bounds, maxiter=_FOREVER, rng=np.random.default_rng([seed, run]),
                integrality=np.arange(p.dimension) < p.whole, **given,
            )  # fmt: skip


def scipy_annealing(problem: Recorder, seed: int) -> None:
    """``dual_annealing`` as shipped, which searches locally too."""
    from scipy.optimize import dual_annealing

    p = problem.problem
    edges = [(0.0, 1.0)] * p.dimension
    for run in runs(problem):
        dual_annealing(lambda u: problem(p.at(u)), edges, rng=np.random.default_rng([seed, run]))


def scipy_cobyqa(problem: Recorder, seed: int) -> None:
    """``minimize`` with COBYQA, a quadratic model in a trust region, from one start after another.

    Its last radius is smaller than as shipped, because the last targets would be out of reach.
    """
    from scipy.optimize import Bounds, minimize

    p, rng = problem.problem, np.random.default_rng(seed)
    radii = {"initial_tr_radius": 2.0, "final_tr_radius": 1e-9}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for run in runs(problem):
            minimize(
                problem, p.beginning(run, rng), method="COBYQA", bounds=Bounds(p.low, p.high),
                constraints=_limits(problem) if p.limits else (),
                options=radii | {"maxfev": problem.budget},
            )  # fmt: skip


def _limits(problem: Recorder) -> Any:
    from scipy.optimize import NonlinearConstraint

    return NonlinearConstraint(problem.limits, -np.inf, 0)
