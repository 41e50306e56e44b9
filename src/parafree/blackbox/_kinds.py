"""The kinds of a space's columns: numbers, whole numbers with their cells, and options."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from parafree.core._space.parameter import Discrete
from parafree.core.space import Int, Real, Space

_EDGE = 2.0  # the bounds of a space, in units of the scale


class Kinds(NamedTuple):
    """Which columns are of which kind; hashable, known when a program is compiled."""

    continuous: tuple[int, ...]
    whole: tuple[int, ...]  # whole numbers of at least three values
    options: tuple[int, ...]  # choices, and whatever else has two values
    cells: Cells
    counts: tuple[int, ...]  # of the options

    @property
    def gaussian(self) -> tuple[int, ...]:
        """The columns that a normal distribution draws."""
        return (*self.continuous, *self.whole)

    @property
    def discrete(self) -> int:
        """How many columns are not continuous."""
        return len(self.whole) + len(self.options)


class Cells(NamedTuple):
    """How the axis of a coordinate is shared among whole numbers, for m coordinates.

    Cells are equally wide, or as wide as the ratio of their ends where orders of magnitude matter.
    """

    counts: tuple[int, ...]  # (m,)
    starts: tuple[float, ...]  # (m,), logarithm of the lower end of the axis; 0 where even
    widths: tuple[float, ...]  # (m,), and its length; 0 where even

    def find(self, x: jax.Array) -> jax.Array:
        """Return the number (..., m) of the cell that holds each coordinate, as floats."""
        counts, starts, widths, log = self._arrays(x.dtype)
        u = jnp.clip((x + _EDGE) / (2 * _EDGE), 0, 1)
        even = jnp.floor(u * counts)
        if not any(self.widths):
            return jnp.clip(even, 0, counts - 1)
        by_ratio = jnp.rint(jnp.exp(starts + u * widths) - jnp.exp(starts) - 0.5)
        return jnp.clip(jnp.where(log, by_ratio, even), 0, counts - 1)

    def edge(self, cell: jax.Array) -> jax.Array:
        """Return the lower end of cells (..., m), as coordinates."""
        counts, starts, widths, log = self._arrays(cell.dtype)
        if not any(self.widths):
            return 2 * _EDGE * (cell / counts) - _EDGE
        by_ratio = (jnp.log(jnp.exp(starts) + cell) - starts) / jnp.where(log, widths, 1)
        return 2 * _EDGE * jnp.where(log, by_ratio, cell / counts) - _EDGE

    def middle(self, x: jax.Array) -> jax.Array:
        """Return the middle of the cells that hold coordinates."""
        cell = self.find(x)
        return jnp.mean(self.edge(jnp.stack([cell, cell + 1])), axis=0)

    def _arrays(self, dtype: Any) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
        counts, starts, widths = (jnp.asarray(np.array(each, float), dtype) for each in self)
        return counts, starts, widths, widths > 0


@lru_cache(maxsize=256)
def kinds_of(form: Any, dimension: int) -> Kinds:
    """Return the kinds of the columns of a space; of anything else all are continuous.

    Example:
        >>> from parafree import Choice
        >>> kinds = kinds_of(Space(a=Real(0, 1), n=Int(1, 9), c=Choice(["x", "y"])), 3)
        >>> kinds.continuous, kinds.whole, kinds.options
        ((0,), (1,), (2,))
    """
    if not isinstance(form, Space):
        return Kinds(tuple(range(dimension)), (), (), Cells((), (), ()), ())
    parameters = list(enumerate(form.parameters.values()))
    continuous = tuple(i for i, p in parameters if isinstance(p, Real))
    whole = [(i, p) for i, p in parameters if isinstance(p, Int) and p.cardinality > 2]
    options = [
        (i, p.cardinality)
        for i, p in parameters
        if isinstance(p, Discrete) and p.cardinality > 1 and (i, p) not in whole
    ]
    return Kinds(
        continuous,
        tuple(i for i, _ in whole),
        tuple(i for i, _ in options),
        Cells(*(zip(*(_cell(p) for _, p in whole), strict=True) if whole else ((), (), ()))),
        tuple(count for _, count in options),
    )


def _cell(p: Int) -> tuple[int, float, float]:
    if not p.log or p.grid:
        return p.cardinality, 0.0, 0.0
    start = math.log(p.low - 0.5)
    return p.cardinality, start, math.log(p.high + 0.5) - start
