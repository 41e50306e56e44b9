"""What is minimised: each function in JAX for one point, and in NumPy for rows of points."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np


def _sphere(x: Any, np: Any) -> Any:
    return np.sum(x**2, axis=-1)


def _rosenbrock(x: Any, np: Any) -> Any:
    a, b = x[..., :-1], x[..., 1:]
    return np.sum(100 * (b - a**2) ** 2 + (1 - a) ** 2, axis=-1)


def _rastrigin(x: Any, np: Any) -> Any:
    return np.sum(x**2 + 10 * (1 - np.cos(2 * np.pi * x)), axis=-1)


class Objective(NamedTuple):
    """A function of the last axis."""

    name: str
    formula: Callable[[Any, Any], Any]

    def jax(self, x: Any) -> Any:
        return self.formula(x, jnp)

    def numpy(self, x: Any) -> Any:
        return self.formula(x, np)


OBJECTIVES = tuple(
    Objective(name, formula)
    for name, formula in (
        ("sphere", _sphere),
        ("rosenbrock", _rosenbrock),
        ("rastrigin", _rastrigin),
    )
)


class Timed:
    """A function on the host that knows how long it has worked."""

    def __init__(self, objective: Objective) -> None:
        self._call, self.seconds = objective.numpy, 0.0

    def __call__(self, x: Any) -> Any:
        began = time.perf_counter()
        values = self._call(x)
        self.seconds += time.perf_counter() - began
        return values
