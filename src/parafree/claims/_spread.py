"""One way to write a figure with its spread."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def spread(values: Sequence[float], unit: str = "", digits: int = 3) -> str:
    """Write the median, the extremes and the number of seeds; one may be infinite.

    Example:
        >>> spread([8.0, 12.5, 10.25], "x")
        '10.2x (8x to 12.5x, 3 seeds)'
        >>> spread([3.0, np.inf, np.inf])
        'inf (3 to inf, 3 seeds)'
    """
    low, middle, high = (
        f"{value:.{digits}g}{unit}" for value in (min(values), np.median(values), max(values))
    )
    return f"{middle} ({low} to {high}, {len(values)} seeds)"
