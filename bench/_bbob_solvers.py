"""The solvers: each asks a recorder for values until it is over."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from _bbob_problems import Problem, Recorder
from parafree import Choice, Int, Real, Space


@dataclass(frozen=True)
class Solver:
    """A solver, and which problems it is for."""

    module: str  # in this folder
    package: str = "parafree"  # that must be installed
    limits: bool = False  # whether it knows constraints
    whole: bool = True  # whether it does problems with whole numbers
    largest: int = 10_000  # dimension
    choices: bool = False  # whether it knows options
    numbers: bool = True  # whether it does problems without options

    def fits(self, problem: Problem) -> bool:
        """Whether the problem is one for it."""
        return (
            (self.limits or not problem.limits)
            and (self.whole or not problem.whole)
            and (self.choices if problem.choices else self.numbers)
            and problem.dimension <= self.largest
        )

    @property
    def installed(self) -> bool:
        """Whether it is here."""
        return importlib.util.find_spec(self.package) is not None


SOLVERS = {
    "parafree": Solver("_bbob_solvers", limits=True, choices=True),
    "pycma": Solver("_bbob_pycma", "cma", limits=True),
    "nevergrad": Solver("_bbob_nevergrad", "nevergrad", limits=True, choices=True),
    "pypop7": Solver("_bbob_pypop7", "pypop7"),
    "evosax": Solver("_bbob_evosax", "evosax"),
    "scipy_evolution": Solver("_bbob_scipy", "scipy", limits=True),
    "scipy_annealing": Solver("_bbob_scipy", "scipy", largest=40),
    "scipy_cobyqa": Solver("_bbob_scipy", "scipy", limits=True, whole=False, largest=20),
    "optuna": Solver("_bbob_optuna", "optuna", choices=True, numbers=False, largest=10),
    "catcma": Solver("_bbob_catcma", "cmaes", choices=True, numbers=False),
    "uniform": Solver("_bbob_solvers", limits=True, choices=True),
}


def solve(name: str) -> Callable[[Recorder, int], None]:
    """Return the function that lets a solver loose on a problem."""
    return getattr(importlib.import_module(SOLVERS[name].module), name)  # type: ignore[no-any-return]


def parafree(problem: Recorder, seed: int) -> None:
    """``parafree.minimize``'s search in this process, as it hands out candidates to one worker."""
    from parafree.study._goals import Goals
    from parafree.study._search import Search

    p = problem.problem
    space = _space(p)
    limits = [f"g{i:03}" for i in range(p.limits)]
    goals = Goals.of(constraints=limits)
    first = [dict(zip(space.names, p.start.tolist(), strict=True))] if limits else []
    search = Search(space, seed, 1, first, goals)
    for trial in range(problem.budget):
        config = search.ask(trial)
        x = [config[name] for name in space.names]
        if not limits:
            search.tell(trial, problem(x))
            continue
        told = dict(zip(limits, problem.limits(x).tolist(), strict=True))
        loss, figures = goals.read({"loss": problem(x)} | told)
        search.tell(trial, math.inf if loss is None else loss, figures)


def _space(p: Problem) -> Space:
    """Return the space of a problem: what are whole numbers, and options, is called so."""
    kinds: dict[str, Any] = {}
    for i, (low, high) in enumerate(zip(p.low.tolist(), p.high.tolist(), strict=True)):
        if i < p.whole:
            kind: Any = Int(int(low), int(high))
        elif i >= p.dimension - p.choices:
            kind = Choice(range(int(high) + 1))
        else:
            kind = Real(low, high)
        kinds[f"x{i:03}"] = kind
    return Space(kinds)


def uniform(problem: Recorder, seed: int) -> None:
    """Points drawn evenly, the least that any solver must beat."""
    p, rng = problem.problem, np.random.default_rng(seed)
    if p.limits:
        problem(p.start)
    while True:
        problem(p.draw(rng))


def runs(problem: Recorder) -> Iterator[int]:
    """Count the runs of a method that ends and must begin again; stop where it asks nothing."""
    number, before = 0, -1
    while problem.evaluations > before:
        before = problem.evaluations
        yield number
        number += 1
