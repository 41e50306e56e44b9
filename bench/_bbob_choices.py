"""Functions of real numbers and options, whose least value is known; COCO has none with options.

The first three are those of Ryoki Hamano et al., "CatCMA: Stochastic Optimization for
Mixed-Category Problems", GECCO 2024, arXiv:2405.09962; here the place of the least value differs
between instances. In the fifth options say where real numbers are best, in the last two they matter
in pairs, and the last has no real number at all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce

import numpy as np

SUITE = "choices"
OPTIONS = 5  # of each choice
FUNCTIONS = {
    1: "sphere, options that are right",
    2: "Rosenbrock, options that are right before the first that is wrong",
    3: "distance from a point that the options name",
    4: "ellipsoid, a value for each option",
    5: "sphere around a point that the options move, a value for each option",
    6: "Rastrigin, a value for each pair of neighbouring options",
    7: "a value for each pair of neighbouring options",
}
_PAIRS_ALONE = 7
_WIDTH = 5.0


def choices_of(function: int, dimension: int) -> int:
    """Return how many of the variables, the last ones, are choices."""
    return dimension if function == _PAIRS_ALONE else (dimension + 1) // 2


@dataclass(frozen=True)
class _Draws:
    """What differs between instances; r real numbers, c choices of k options."""

    shift: np.ndarray  # (r,), where real numbers are best
    order: np.ndarray  # (c, k), what a function calls each option; 0 is the right one
    table: np.ndarray  # (c, k), a value of each option, the least of each choice is 0
    pairs: np.ndarray  # (c, k, k), a value of each option beside one of the next choice
    moved: np.ndarray  # (c, k), by how much an option moves the place of a real number


class Mixed:
    """A function that answers as COCO's problems do: it keeps the best value that it has told."""

    def __init__(self, function: int, instance: int, dimension: int) -> None:
        c = choices_of(function, dimension)
        rng = np.random.default_rng([function, instance, dimension])
        table = rng.random((c, OPTIONS))
        self._draws = _Draws(
            shift=rng.uniform(-0.6 * _WIDTH, 0.6 * _WIDTH, dimension - c),
            order=np.array([rng.permutation(OPTIONS) for _ in range(c)]),
            table=table - table.min(axis=1, keepdims=True),
            pairs=rng.random((c, OPTIONS, OPTIONS)),
            moved=rng.uniform(-0.3 * _WIDTH, 0.3 * _WIDTH, (c, OPTIONS)),
        )
        self._value, self._reals = _VALUES[function], dimension - c
        self.low, self.high = np.full(dimension, -_WIDTH), np.full(dimension, _WIDTH)
        self.low[self._reals :], self.high[self._reals :] = 0, OPTIONS - 1
        self.optimum = least_of_ring(self._draws.pairs) if function >= 6 else 0.0
        self.best_observed_fvalue1 = np.inf

    def __call__(self, x: np.ndarray) -> float:
        """Return the value at real numbers, followed by the numbers of the options."""
        r, d = self._reals, self._draws
        options = np.asarray(x[r:]).astype(int)
        value = float(self._value(d, np.clip(x[:r], self.low[:r], self.high[:r]), options))
        self.best_observed_fvalue1 = min(self.best_observed_fvalue1, value)
        return value

    def free(self) -> None:
        """Do nothing; COCO's problems must be freed."""


def least_of_ring(pairs: np.ndarray) -> float:
    """Return the least sum over a ring of choices (c, k, k), by the shortest paths around it."""
    shortest = reduce(lambda a, b: (a[:, :, None] + b).min(axis=1), pairs)
    return float(np.diagonal(shortest).min())


def _wrong(d: _Draws, z: np.ndarray) -> np.ndarray:
    return d.order[np.arange(len(z)), z]


def _each(table: np.ndarray, z: np.ndarray) -> np.ndarray:
    return table[np.arange(len(z)), z]


def _ring(d: _Draws, z: np.ndarray) -> float:
    return float(d.pairs[np.arange(len(z)), z, np.roll(z, -1)].sum())


def _first(d: _Draws, x: np.ndarray, z: np.ndarray) -> float:
    return np.sum((x - d.shift) ** 2) + np.sum(_wrong(d, z) != 0)


def _second(d: _Draws, x: np.ndarray, z: np.ndarray) -> float:
    y = 1 + (x - d.shift) / 4  # the valley is curved, and ends at 1
    right = np.cumprod(_wrong(d, z) == 0).sum()
    return np.sum(100 * (y[1:] - y[:-1] ** 2) ** 2 + (1 - y[:-1]) ** 2) + len(z) - right


def _third(d: _Draws, x: np.ndarray, z: np.ndarray) -> float:
    named = _wrong(d, z) / OPTIONS
    return np.sum((x - d.shift - named[: len(x)]) ** 2) + np.sum(named)


def _fourth(d: _Draws, x: np.ndarray, z: np.ndarray) -> float:
    weights = 10 ** np.linspace(0, 6, len(x))
    return np.sum(weights * (x - d.shift) ** 2) + np.sum(_each(d.table, z))


def _fifth(d: _Draws, x: np.ndarray, z: np.ndarray) -> float:
    place = d.shift + _each(d.moved, z)[: len(x)]
    return np.sum((x - place) ** 2) + np.sum(_each(d.table, z))


def _sixth(d: _Draws, x: np.ndarray, z: np.ndarray) -> float:
    y = x - d.shift
    return np.sum(y**2 + 10 * (1 - np.cos(2 * np.pi * y))) + _ring(d, z)


def _seventh(d: _Draws, x: np.ndarray, z: np.ndarray) -> float:
    return _ring(d, z)


_Value = Callable[[_Draws, np.ndarray, np.ndarray], float]
_VALUES: dict[int, _Value] = dict(
    enumerate((_first, _second, _third, _fourth, _fifth, _sixth, _seventh), start=1)
)
