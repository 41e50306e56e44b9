"""How much of a front's volume is each point's own, estimated for any number of objectives.

Exact shares take long where there are three objectives or more, and a parent is drawn by chance
anyway: so the volume is looked at in a few thousand places, always the same.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

_PLACES = 2048


def shares(values: np.ndarray, corner: float) -> np.ndarray:
    """Estimate how much of the volume up to a corner each point (n, m) dominates alone.

    Args:
        values: at least 0, and below the corner where a point dominates anything.
        corner: the same in every objective.

    Returns:
        (n,), in shares of the whole volume, above 0.

    Example:
        >>> found = shares(np.array([[0.0, 0.5, 0.0], [0.5, 0.0, 0.0]]), 1.0)
        >>> print((20 * found).round())  # each a quarter of the volume
        [5. 5.]
    """
    n, m = values.shape
    places = corner * _even(m)
    below = np.ones((len(places), n), bool)
    for j in range(m):
        below &= values[:, j] <= places[:, j, None]
    alone = below[below.sum(axis=1) == 1]
    return (alone.sum(axis=0) + 0.5) / len(places)


@lru_cache(maxsize=8)
def _even(m: int) -> np.ndarray:
    """Return places that cover the cube evenly: the additive sequence of Roberts (2018)."""
    root = 2.0
    for _ in range(50):
        root = (1 + root) ** (1 / (m + 1))
    steps = root ** -np.arange(1.0, m + 1)
    return (0.5 + np.arange(_PLACES)[:, None] * steps) % 1.0
