"""Points with several objectives, all to be made small: domination, fronts and hypervolume.

Deb, Pratap, Agarwal, Meyarivan, "A fast and elitist multiobjective genetic algorithm: NSGA-II",
2002, for ranks and crowding; Fonseca, Paquete, López-Ibáñez, "An improved dimension-sweep algorithm
for the hypervolume indicator", CEC 2006, for slicing. On the host, in NumPy.
"""

from __future__ import annotations

import numpy as np

_PIECE = 2**22  # comparisons that are held in memory at once


def dominated(points: np.ndarray) -> np.ndarray:
    """Say which points (n, m) another one dominates: nowhere larger, and smaller somewhere.

    Equal points do not dominate each other. A row with NaN or infinity is dominated.

    Example:
        >>> dominated(np.array([[1.0, 2.0], [2.0, 1.0], [2.0, 2.0], [1.0, 2.0]]))
        array([False, False,  True, False])
    """
    m = points.shape[1]
    out = ~np.isfinite(points).all(axis=1)
    good = np.flatnonzero(~out)
    kept = points[good]
    if m == 2:
        out[good] = _dominated_in_the_plane(kept)
        return out
    step = max(1, _PIECE // max(1, len(kept) * m))
    for i in range(0, len(kept), step):
        block = kept[i : i + step, None]
        no_larger = (kept[None] <= block).all(axis=2)
        out[good[i : i + step]] = np.any(no_larger & (kept[None] < block).any(axis=2), axis=1)
    return out


def _dominated_in_the_plane(points: np.ndarray) -> np.ndarray:
    """The same for two objectives, by one sweep in the order of the first."""
    if not len(points):
        return np.zeros(0, bool)
    order = np.lexsort((points[:, 1], points[:, 0]))
    x, y = points[order].T
    first = np.searchsorted(x, x, side="left")  # of those that are equal in the first objective
    lowest = y[first]
    earlier = np.concatenate([[np.inf], np.minimum.accumulate(y)])[first]
    out = np.empty(len(points), bool)
    out[order] = (earlier <= y) | (lowest < y)
    return out


def ranks(points: np.ndarray) -> np.ndarray:
    """Return the front to which each point belongs: 0 where none dominates it, 1 behind these, ...

    Example:
        >>> ranks(np.array([[1.0, 1.0], [2.0, 2.0], [1.0, 3.0], [3.0, 3.0]]))
        array([0, 1, 1, 2])
    """
    rank = np.zeros(len(points), int)
    left = np.arange(len(points))
    while len(left):
        behind = dominated(points[left])
        if behind.all():  # nothing but points that are not finite
            break
        left = left[behind]
        rank[left] += 1
    return rank


def crowding(points: np.ndarray) -> np.ndarray:
    """Return how far from its neighbours each point of a front lies; infinite at the ends.

    Example:
        >>> crowding(np.array([[0.0, 4.0], [1.0, 1.0], [4.0, 0.0]]))
        array([inf,  2., inf])
    """
    distance = np.zeros(len(points))
    for column in points.T:
        order = np.argsort(column, kind="stable")
        width = column[order[-1]] - column[order[0]]
        distance[order[[0, -1]]] = np.inf
        if width > 0:
            distance[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / width
    return distance


def contributions(points: np.ndarray, corner: np.ndarray) -> np.ndarray:
    """Return the area that each point of a front of two objectives dominates alone.

    Args:
        points: (n, 2), of which none dominates another one.
        corner: (2,), where the area ends.

    Example:
        >>> contributions(np.array([[0.0, 2.0], [1.0, 1.0], [2.0, 0.0]]), np.array([3.0, 3.0]))
        array([1., 1., 1.])
    """
    order = np.lexsort((points[:, 1], points[:, 0]))
    x, y = np.minimum(points[order], corner).T
    right = np.append(x[1:], corner[0])
    above = np.insert(y[:-1], 0, corner[1])
    out = np.empty(len(points))
    out[order] = (right - x) * (above - y)
    return out


def hypervolume(points: np.ndarray, corner: np.ndarray) -> float:
    """Return the volume that points dominate, up to a corner.

    Args:
        points: (n, m); those beyond the corner count nothing.
        corner: (m,).

    Cost:
        n log n for two objectives, and n times as much for each further one.

    Example:
        >>> hypervolume(np.array([[0.0, 2.0], [1.0, 1.0], [2.0, 0.0]]), np.array([3.0, 3.0]))
        6.0
    """
    points, corner = np.asarray(points, float), np.asarray(corner, float)
    points = points[(points < corner).all(axis=1)]
    points = points[~dominated(points)]
    if not len(points):
        return 0.0
    points = points[np.argsort(points[:, -1], kind="stable")]
    depth = np.diff(np.append(points[:, -1], corner[-1]))
    if points.shape[1] == 1:
        return float(corner[0] - points[0, 0])
    if points.shape[1] == 2:
        return float(depth @ (corner[0] - np.minimum.accumulate(points[:, 0])))
    slices = (
        deep * hypervolume(points[: i + 1, :-1], corner[:-1])
        for i, deep in enumerate(depth)
        if deep > 0
    )
    return float(sum(slices))
