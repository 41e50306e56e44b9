"""COCO's problems, and when a solver reaches which target on them."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

TARGETS = 10.0 ** np.linspace(2, -8, 51)  # above the optimum, as COCO has them
SUITES: dict[str, tuple[int, ...]] = {
    "bbob": (),
    "bbob-noisy": (),
    "bbob-mixint": (5, 10, 20, 40),
    "bbob-largescale": (20, 40, 80, 160, 320, 640),
}


class Over(Exception):
    """The budget is spent, or the last target reached."""


@dataclass(frozen=True)
class Problem:
    """One function of a suite."""

    suite: str
    index: int
    dimension: int
    instance: int
    function: int
    name: str
    optimum: float  # its smallest value
    low: np.ndarray
    high: np.ndarray
    whole: int  # so many variables, the first ones, are whole numbers


def problems(
    suite: str, dimension: int, instances: tuple[int, ...], functions: tuple[int, ...]
) -> Iterator[Problem]:
    """Give the problems of a suite in one dimension."""
    found = _suite(suite, dimension, instances)
    for index in range(len(found)):
        problem = found.get_problem(index)
        optimum = _optimum(found, index, suite)
        function, instance = problem.id_function, problem.id_instance
        if not functions or function in functions:
            yield Problem(
                suite, index, dimension, instance, function, problem.id, optimum,
                np.array(problem.lower_bounds), np.array(problem.upper_bounds),
                int(problem.number_of_integer_variables),
            )  # fmt: skip
        problem.free()


class Recorder:
    """A problem that counts, and notes when each target is reached.

    Targets are about values without noise, as COCO counts them, which the solver does not see.
    """

    def __init__(self, problem: Problem, budget: int) -> None:
        self.problem, self.budget = problem, budget
        suite = _suite(problem.suite, problem.dimension, (problem.instance,))
        indices = range(len(suite))
        self._suite = suite
        self._inner: Any = next(
            each for i in indices if (each := suite.get_problem(i)).id == problem.name
        )
        self.evaluations = 0
        self.hits: list[int] = []  # evaluations after which each target was reached, in order

    def __call__(self, x: Any) -> float:
        """Return the value at a point."""
        if self.evaluations >= self.budget or len(self.hits) == len(TARGETS):
            raise Over
        value = float(self._inner(np.asarray(x, float)))
        self.evaluations += 1
        gap = self._inner.best_observed_fvalue1 - self.problem.optimum
        while len(self.hits) < len(TARGETS) and gap <= TARGETS[len(self.hits)]:
            self.hits.append(self.evaluations)
        return value

    def watch(self, solver: Callable[[Recorder, int], None], seed: int) -> None:
        """Let a solver run until it is over."""
        with contextlib.suppress(Over):
            solver(self, seed)
        self._inner.free()


def _suite(suite: str, dimension: int, instances: tuple[int, ...]) -> Any:
    import cocoex

    numbers = ",".join(map(str, instances))
    return cocoex.Suite(suite, "", f"dimensions:{dimension} instance_indices:{numbers}")


def _optimum(suite: Any, index: int, name: str) -> float:
    """Return the smallest value of a problem: COCO tells the place, in a file."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            problem = suite.get_problem(index)
            problem._best_parameter("print")
            best = np.loadtxt("._bbob_problem_best_parameter.txt", ndmin=1)
            value = float(problem(best))
            value = min(value, float(problem.best_observed_fvalue1))
        finally:
            os.chdir(before)
    # The optimum of bbob has two decimals; the file gives its place with fewer than it needs.
    return round(value, 2) if name in ("bbob", "bbob-noisy", "bbob-largescale") else value
