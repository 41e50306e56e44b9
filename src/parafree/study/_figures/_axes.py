"""Hyperparameters as axes: numbers to draw, a scale, and ticks that a person can read."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from parafree.core._space.parameter import Parameter
from parafree.core.space import Choice, Int, Real, Space
from parafree.study._figures._style import linear_ticks, log_ticks, number, plain


@dataclass(frozen=True)
class Axis:
    """One hyperparameter, ready to be drawn.

    Args:
        name: as in the space.
        label: the name with its unit, safe as a plotly label.
        help: the parameter's description; not yet escaped.
        log: whether places are drawn by their logarithm.
        options: texts of a categorical axis, whose values are their indices; else empty.
        low: the smallest value.
        high: the largest value.
    """

    name: str
    label: str
    help: str
    log: bool
    options: tuple[str, ...]
    low: float
    high: float

    def values(self, configurations: Iterable[Mapping[str, Any]]) -> np.ndarray:
        """Return one number per configuration; NaN where the parameter is not active."""
        if not self.options:
            return np.array([_real(c.get(self.name)) for c in configurations], dtype=float)
        index = {text: i for i, text in enumerate(self.options)}
        return np.array(
            [
                index.get(_text(c[self.name]), np.nan) if self.name in c else np.nan
                for c in configurations
            ],
            dtype=float,
        )

    def place(self, values: np.ndarray) -> np.ndarray:
        """Map values to [0, 1] along the axis; categories to the middle of equal cells."""
        if self.options:
            return (values + 0.5) / len(self.options)
        change = np.log if self.log else np.asarray
        with np.errstate(all="ignore"):
            start, end = change(self.low), change(self.high)
            return np.asarray((change(values) - start) / (end - start))

    def ticks(self, count: int = 5, letters: int = 56) -> tuple[list[float], list[str]]:
        """Return about ``count`` values with their texts; all options, if categorical.

        Args:
            count: of values of a number.
            letters: that fit into a row; long options are cut short.
        """
        if self.options:
            return [float(i) for i in range(len(self.options))], [
                plain(text, max(4, min(18, letters // len(self.options)))) for text in self.options
            ]
        pick = log_ticks if self.log else linear_ticks
        values = pick(self.low, self.high, count)
        return values, [number(v, 3) for v in values]


def axes_of(space: Space, names: Iterable[str] | None = None) -> list[Axis]:
    """Return an axis for every parameter of the space that varies, in the space's order.

    Args:
        space: the space.
        names: the parameters that are wanted; all by default.

    Example:
        >>> axis, = axes_of(Space(lr=Real(1e-3, 1.0, log=True, unit="1/s")))
        >>> axis.label, axis.ticks()[1]
        ('lr (1/s)', ['0.001', '0.01', '0.1', '1'])
    """
    wanted = set(space.names if names is None else names)
    return [_axis(name, p) for name, p in space.parameters.items() if name in wanted]


def _axis(name: str, parameter: Parameter) -> Axis:
    if isinstance(parameter, Real | Int):
        unit = f" ({plain(parameter.unit, 20)})" if parameter.unit else ""
        log, low, high = parameter.log, float(parameter.low), float(parameter.high)
        return Axis(name, plain(name, 40) + unit, parameter.help, log, (), low, high)
    options: Sequence[Any] = parameter.options if isinstance(parameter, Choice) else (False, True)
    texts = tuple(_text(option) for option in options)
    return Axis(name, plain(name, 40), parameter.help, False, texts, 0.0, len(texts) - 1.0)


def _text(value: Any) -> str:
    """An option as text; a list read back from JSON and the tuple it was are the same."""
    return str(tuple(value)) if isinstance(value, list) else str(value)


def _real(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan
