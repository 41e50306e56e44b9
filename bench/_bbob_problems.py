"""COCO's problems and those with options, and when a solver reaches which target on them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import _bbob_choices as options

TARGETS = 10.0 ** np.linspace(2, -8, 51)  # above the optimum, as COCO has them
SUITES: dict[str, tuple[int, ...]] = {  # the dimensions of each
    "bbob": (2, 3, 5, 10, 20, 40),
    "bbob-noisy": (2, 3, 5, 10, 20, 40),
    "bbob-mixint": (5, 10, 20, 40),
    "bbob-constrained": (2, 3, 5, 10, 20, 40),
    "bbob-largescale": (20, 40, 80, 160, 320, 640),
    options.SUITE: (5, 10, 20),
}
_OWN, _LATER = 15, 80  # instances of a suite, and the number of the last of them
_TWO_DECIMALS = ("bbob", "bbob-largescale")  # suites whose optima are so


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
    limits: int  # so many constraints
    start: np.ndarray  # a point that COCO gives to all, which keeps the constraints
    choices: int = 0  # so many variables, the last ones, are numbers of options

    @property
    def noisy(self) -> bool:
        """Whether two values of a point differ."""
        return self.suite == "bbob-noisy"

    def draw(self, rng: np.random.Generator, edge: float = 0.0) -> np.ndarray:
        """Draw a point evenly, off the bounds by a share of their distance."""
        u = edge + (1 - 2 * edge) * rng.random(self.dimension)
        x = self.low + (self.high - self.low) * u
        for some in (slice(self.whole), slice(self.dimension - self.choices, None)):
            x[some] = rng.integers(self.low[some], self.high[some] + 1)
        return np.asarray(x)

    def beginning(self, number: int, rng: np.random.Generator) -> np.ndarray:
        """Return where the run of that number begins: at COCO's point first, where limits are."""
        return self.start if self.limits and not number else self.draw(rng, edge=0.1)

    def at(self, u: np.ndarray) -> np.ndarray:
        """Return the point for a method that knows neither bounds nor whole numbers.

        Its bounds are 0 and 1; where variables are whole numbers, all are brought within bounds.
        """
        x = self.low + (self.high - self.low) * u
        if self.whole:
            x = np.clip(x, self.low, self.high)
            x[: self.whole] = np.round(x[: self.whole])
        return np.asarray(x)


def problems(
    suite: str, dimension: int, instances: tuple[int, ...], functions: tuple[int, ...]
) -> Iterator[Problem]:
    """Give the problems of a suite in one dimension.

    ``instances`` counts those of the suite from 1; the sixth of bbob is called 71 by COCO. What
    comes after the suite's own fifteen goes on with 81.
    """
    if suite == options.SUITE:
        yield from _with_options(dimension, instances, functions)
        return
    for found in _suites(suite, dimension, instances):
        yield from _of_suite(found, suite, functions)


def _of_suite(found: Any, suite: str, functions: tuple[int, ...]) -> Iterator[Problem]:
    for index in range(len(found)):
        problem = found.get_problem(index)
        function, instance = problem.id_function, problem.id_instance
        name, whole = problem.id, int(problem.number_of_integer_variables)
        limits, start = int(problem.number_of_constraints), np.array(problem.initial_solution)
        low, high = np.array(problem.lower_bounds), np.array(problem.upper_bounds)
        problem.free()
        if not functions or function in functions:
            if suite == "bbob-noisy":
                optimum = float(_twin(function, instance, len(low)).fopt)
            else:
                optimum = _optimum(found, index, suite)
            yield Problem(
                suite, index, len(low), instance, function, name, optimum,
                low, high, whole, limits, start,
            )  # fmt: skip


def _with_options(
    dimension: int, instances: tuple[int, ...], functions: tuple[int, ...]
) -> Iterator[Problem]:
    for index, function in enumerate(functions or options.FUNCTIONS):
        for instance in instances:
            mixed = options.Mixed(function, instance, dimension)
            name = f"{options.SUITE}_f{function}_i{instance:02}_d{dimension:02}"
            yield Problem(
                options.SUITE, index, dimension, instance, function, name, mixed.optimum,
                mixed.low, mixed.high, whole=0, limits=0, start=(mixed.low + mixed.high) / 2,
                choices=options.choices_of(function, dimension),
            )  # fmt: skip


class Recorder:
    """A problem that counts, and notes when each target is reached.

    Targets are about values without noise, as COCO counts them, which the solver does not see, and
    about points that keep all limits. An evaluation tells the value and the limits of a point.
    """

    def __init__(self, problem: Problem, budget: int) -> None:
        self.problem, self.budget = problem, budget
        self._inner, self._suite = _opened(problem)
        self._truth = _noiseless(problem) if problem.noisy else None
        self._best = np.inf
        self._last, self._asked, self._value = np.empty(0), {""}, np.nan
        self._limits = np.empty(0)
        self.evaluations = 0
        self.hits: list[int] = []  # evaluations after which each target was reached, in order

    @property
    def over(self) -> bool:
        """Whether nothing more may be asked."""
        return self.evaluations >= self.budget or len(self.hits) == len(TARGETS)

    def __call__(self, x: Any) -> float:
        """Return the value at a point."""
        self._evaluate(x, "value")
        return self._value

    def limits(self, x: Any) -> np.ndarray:
        """Return the constraints at a point, each of which is kept where it is at most 0."""
        self._evaluate(x, "limits")
        return self._limits.copy()

    def _evaluate(self, x: Any, what: str) -> None:
        x = np.array(x, float)
        if self.problem.limits and what not in self._asked and np.array_equal(x, self._last):
            self._asked.add(what)  # the other half of what the last evaluation has told
            return
        if self.over:
            raise Over
        self._value = float(self._inner(x))
        if self.problem.limits:
            self._limits = np.array(self._inner.constraint(x), float)
        self._last, self._asked = x, {what}
        self.evaluations += 1
        if self._truth is None:
            self._best = self._inner.best_observed_fvalue1  # of points that keep the limits
        elif np.all(np.isfinite(x)):
            self._best = min(self._best, self._truth(x))
        gap = self._best - self.problem.optimum
        while len(self.hits) < len(TARGETS) and gap <= TARGETS[len(self.hits)]:
            self.hits.append(self.evaluations)

    def watch(self, solver: Callable[[Recorder, int], None], seed: int) -> str:
        """Let a solver run until it is over; say why, where it ends before."""
        why = "it ended by itself"
        try:
            solver(self, seed)
        except Exception as error:  # a peer's failure is a result
            why = f"{type(error).__name__}: {error}"[:200]
        self._inner.free()
        return "" if self.over else f"{why}, after {self.evaluations} of {self.budget} evaluations"


def _suites(suite: str, dimension: int, instances: tuple[int, ...]) -> Iterator[Any]:
    import cocoex

    own = [number for number in instances if number <= _OWN]
    later = [_LATER + number - _OWN for number in instances if number > _OWN]
    where = f"dimensions:{dimension}"
    if own:
        yield cocoex.Suite(suite, "", f"{where} instance_indices:{','.join(map(str, own))}")
    if later:
        yield cocoex.Suite(suite, f"instances:{','.join(map(str, later))}", where)


def _opened(problem: Problem) -> tuple[Any, Any]:
    """Return what tells values, and a suite of COCO that must live as long as it."""
    if problem.suite == options.SUITE:
        return options.Mixed(problem.function, problem.instance, problem.dimension), None
    import cocoex

    own, where = f"instances:{problem.instance}", f"dimensions:{problem.dimension}"
    suite = cocoex.Suite(problem.suite, own, where)
    found = map(suite.get_problem, range(len(suite)))
    return next(each for each in found if each.id == problem.name), suite


def _twin(function: int, instance: int, dimension: int) -> Any:
    """Return pycma's version of a noisy function of the year 2009, which tells what COCO hides."""
    from cma import bbobbenchmarks

    twin = getattr(bbobbenchmarks, f"F{function}")(instance)
    twin._evalfull(np.zeros(dimension))  # it learns its dimension so
    return twin


def _noiseless(problem: Problem) -> Callable[[np.ndarray], float]:
    """Return the value without noise, which COCO writes into its files and tells to nobody.

    The penalty beyond the bounds is a part of the noise to COCO, and not to pycma.
    """
    twin = _twin(problem.function, problem.instance, problem.dimension)

    def value(x: np.ndarray) -> float:
        penalty = 100 * np.sum(np.maximum(0, np.abs(x) - 5) ** 2)
        return float(np.ravel(twin._evalfull(x)[1])[0] - penalty)

    return value


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
            problem.free()
        finally:
            os.chdir(before)
    # The optimum of bbob has two decimals; the file gives its place with fewer than it needs.
    return round(value, 2) if name in _TWO_DECIMALS else value
