"""How fast one figure grows with another: the exponent of a power law."""

from __future__ import annotations

from typing import Any

import numpy as np


def exponent(sizes: Any, figures: Any) -> float:
    """Return the slope of the figures over the sizes, by least squares on logarithms.

    Args:
        sizes: (n,), positive.
        figures: (n,), positive; where one is infinite, so is the exponent.

    Example:
        >>> round(exponent([10, 20, 40], [5.0, 20.0, 80.0]), 3)
        2.0
    """
    figures = np.asarray(figures, float)
    if not np.isfinite(figures).all():
        return float("inf")
    return float(np.polyfit(np.log(sizes), np.log(figures), 1)[0])


def exponents(sizes: Any, figures: Any) -> list[float]:
    """Return the exponent of each seed, for figures (n, seeds).

    Example:
        >>> [round(each, 3) for each in exponents([1, 4], [[1.0, 1.0], [2.0, 4.0]])]
        [0.5, 1.0]
    """
    return [exponent(sizes, column) for column in np.asarray(figures).T]
