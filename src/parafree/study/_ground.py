"""Where a method searches a space on the device, in arrays that compile quickly.

Where all parameters are real numbers without constraints, candidates are rows of the unit cube. A
program with a name for each of ten thousand parameters takes minutes to compile, one that works on
rows a moment. Elsewhere candidates are in the space's array form.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from parafree.blackbox import Region
from parafree.core.space import Choice, Real, Space
from parafree.study._stacked import of_row

_MANY = 100  # parameters, beyond which a function's own stacking of them is spared


def is_cube(space: Space) -> bool:
    """Whether any row of the unit cube is a point of the space, and its parameters are all real.

    Example:
        >>> is_cube(Space(x=Real(0, 1))), is_cube(Space(x=Real(0, 1), c=Choice(["a", "b"])))
        (True, False)
    """
    return not space.constraints and all(isinstance(p, Real) for p in space.parameters.values())


def cube(dimension: int) -> Region:
    """Return the unit cube as a region: the same coordinates as those of a space."""
    return Region(jnp.full(dimension, 0.5), low=0.0, high=1.0)


class Ground:
    """A space as a method and a function in JAX see it.

    Args:
        space: the space.
    """

    def __init__(self, space: Space) -> None:
        self.space, self.dimension = space, space.dimension
        self._is_cube = is_cube(space)

    @property
    def start(self) -> Any:
        """What a method is given to search."""
        return cube(self.dimension) if self._is_cube else self.space

    def of_candidate(self, f: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """Return a function of a configuration as one of a candidate, with its loss alone."""
        tables = {
            name: jnp.asarray(p.options)
            for name, p in self.space.parameters.items()
            if isinstance(p, Choice) and p.numeric
        }

        def value(candidate: Any) -> Any:
            if not self._is_cube:
                return named(candidate)
            numbers = lambda *x: named(dict(zip(self.space.names, x, strict=True)))  # noqa: E731
            row = self._decoded(candidate, jnp)
            return of_row(numbers, row) if self.dimension > _MANY else numbers(*jnp.unstack(row))

        def named(point: Mapping[str, Any]) -> Any:
            config = dict(self.space.fixed) | dict(point)
            config |= {name: table[point[name]] for name, table in tables.items()}
            found = f(config)
            return jnp.asarray(found["loss"] if isinstance(found, Mapping) else found)

        return value

    def like(self, dtype: Any) -> Any:
        """Return the shape of one candidate."""
        row = jax.ShapeDtypeStruct((self.dimension,), dtype)
        return row if self._is_cube else jax.eval_shape(self.space.decode, row)

    def config(self, candidate: Any) -> dict[str, Any]:
        """Return the configuration of a candidate that is on the host."""
        if self._is_cube:
            # In the precision of the device, which is that of the value that belongs to it.
            return self.space.config(self._encoded(self._decoded(np.asarray(candidate), np)))
        point = {name: np.asarray(x) for name, x in candidate.items()}
        return self.space.config(np.asarray(self.space.encode(point)))

    # Rows of the cube ---------------------------------------------------------------------

    @cached_property
    def _columns(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        reals = [p for p in self.space.parameters.values() if isinstance(p, Real)]
        low, high, log = (np.array([getattr(p, n) for p in reals]) for n in ("low", "high", "log"))
        start, end = (np.where(log, np.log(np.where(log, x, 1.0)), x) for x in (low, high))
        return start, end - start, low, high, log

    def _decoded(self, u: Any, xp: Any) -> Any:
        start, width, low, high = (column.astype(u.dtype) for column in self._columns[:4])
        place = start + u * width
        log = self._columns[4]
        if log.any():
            place = xp.where(log, xp.exp(xp.where(log, place, 0)), place)
        return xp.clip(place, low, high)

    def _encoded(self, values: np.ndarray) -> np.ndarray:
        start, width, *_, log = self._columns
        values = values.astype(float)
        place = np.where(log, np.log(np.where(log, values, 1.0)), values)
        return np.clip((place - start) / width, 0.0, 1.0)
