"""Whole numbers by rounding a normal distribution, which is kept from settling on one of them.

Ryoki Hamano, Shota Saito, Masahiro Nomura, Shinichi Shirakawa, "CMA-ES with Margin", GECCO 2022,
arXiv:2205.13482, with the changes of Hamano and others, "CatCMA with Margin", GECCO 2025,
arXiv:2504.07884: candidates that were selected move to the middle of their cells, and the
probability of leaving a cell grows only where leaving it has served.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtr, ndtri

from parafree.blackbox._kinds import Cells

_LEAST = 1e-8  # probability
_JOINT = 0.73  # probability that a candidate has no discrete variable off its mode


class Margin(NamedTuple):
    """How the rounded coordinates differ from the normal distribution, m of them."""

    stretch: jax.Array  # (m,), factors on the deviations
    leaving: jax.Array  # (m,), probability of another whole number than the mean's


def start(m: int, dtype: Any) -> Margin:
    """Return the margin of a search that has not begun."""
    return Margin(jnp.ones(m, dtype), jnp.full(m, 0.5 - _LEAST, dtype))


def least_of(discrete: int) -> float:
    """Return the least probability of leaving the mode, for each of so many variables.

    Example:
        >>> round(least_of(1), 2), round(least_of(10), 3)
        (0.27, 0.031)
    """
    return float(1 - _JOINT ** (1 / max(discrete, 1)))


def centre(
    cells: Cells, mean: jax.Array, x: jax.Array, selected: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Move selected candidates that left the mean's cell to the middle of theirs.

    The others move towards the middle of their own as far as keeps the mean of all where it was.

    Args:
        cells: of the coordinates.
        mean: (m,), of the distribution that drew them.
        x: (n, m), coordinates of the candidates.
        selected: (n,), bool.

    Returns:
        The coordinates (n, m), and in which of them a selected candidate had left the cell (m,).
    """
    middle = cells.middle(x)
    left = (cells.find(x) != cells.find(mean)) & selected[:, None]
    stayed = ~left & selected[:, None]
    shift = middle - x
    bias = jnp.sum(jnp.where(left, shift, 0), axis=0)
    against = stayed & (bias * shift < 0)
    counter = jnp.sum(jnp.where(against, shift, 0), axis=0)
    share = jnp.where(counter != 0, jnp.minimum(1, -bias / jnp.where(counter != 0, counter, 1)), 0)
    moved = jnp.where(left, shift, 0) + jnp.where(against, share * shift, 0)
    return x + moved, jnp.any(left, axis=0)


def correct(
    cells: Cells,
    margin: Margin,
    mean: jax.Array,
    deviation: jax.Array,
    served: jax.Array,
    least: float,
) -> tuple[jax.Array, Margin]:
    """Keep the probability of leaving each cell above the least.

    Args:
        cells: of the coordinates.
        margin: as it was.
        mean: (m,), of the distribution.
        deviation: (m,), without the stretch.
        served: (m,), bool: a selected candidate had left the cell.
        least: the probability.

    Returns:
        The mean and the margin.
    """
    counts = jnp.asarray(cells.counts, mean.dtype)
    cell = cells.find(mean)
    # A cell at the end of its axis has one edge to leave by.
    to_leave = jnp.stack([jnp.maximum(cell, 1), jnp.minimum(cell + 1, counts - 1), cell, cell + 1])
    lower, upper, begin, end = cells.edge(to_leave)
    # Here and below all are computed in one go, which is compiled once.
    below, above = ndtr(jnp.stack([lower - mean, mean - upper]) / (deviation * margin.stretch))
    at_end = (cell == 0) | (cell == counts - 1)
    # At an end.
    rare = jnp.maximum(jnp.minimum(below, above), least)
    rare = jnp.where(served, rare, jnp.minimum(rare, margin.leaving))
    rare = jnp.clip(rare, _LEAST, 0.5 - _LEAST)
    low, high = _between(below, above, margin.leaving, served, least)
    far, a, b, farthest = ndtri(1 - jnp.stack([rare, low, high, jnp.full_like(mean, least)]))
    needed = jnp.abs((begin + end) / 2 - upper) / (deviation * farthest)
    end_stretch = jnp.maximum(margin.stretch, needed)
    side = jnp.where(cell == 0, -1, 1).astype(mean.dtype)
    end_mean = upper + side * deviation * end_stretch * far
    # Between two others.
    stretch = (upper - lower) / ((a + b) * deviation)
    middle = (lower * b + upper * a) / (a + b)
    return (
        jnp.where(at_end, end_mean, middle),
        Margin(jnp.where(at_end, end_stretch, stretch), jnp.where(at_end, rare, low + high)),
    )


def _between(
    below: jax.Array,
    above: jax.Array,
    leaving: jax.Array,
    served: jax.Array,
    least: float,
) -> tuple[jax.Array, jax.Array]:
    """Return the probabilities of leaving on either side."""
    half = least / 2
    inside = 1 - below - above
    inside = jnp.where(served, inside, jnp.maximum(inside, 1 - leaving))
    low, high = jnp.maximum(below, half), jnp.maximum(above, half)
    total = low + high + inside
    room = total - jnp.where(served, 3 * half, least + 1 - leaving)
    share = jnp.where(jnp.abs(room) > _LEAST, (1 - total) / jnp.where(room != 0, room, 1), 0)
    low = jnp.clip(low + share * (low - half), _LEAST, 0.5 - _LEAST)
    high = jnp.clip(high + share * (high - half), _LEAST, 0.5 - _LEAST)
    return low, high
