"""How a method that puts its own questions asks for values: at points, on rows of data."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from parafree.blackbox._frame import Frame
from parafree.core.errors import MethodError
from parafree.core.lifts import Status
from parafree.core.objective import as_finite_sum


def draw_rows(key: jax.Array, objective: Any, shape: tuple[int, ...]) -> jax.Array:
    """Draw rows of the data behind an objective, with replacement; all 0 for a plain one."""
    return jax.random.randint(key, shape, 0, as_finite_sum(objective).size)


def values(objective: Any, where: Frame, points: jax.Array, rows: jax.Array) -> jax.Array:
    """Return the objective at points (n, d), each on the rows (n, batch) beside it."""
    found = jax.vmap(as_finite_sum(objective).batch)(where.points(points), rows)
    return found.astype(points.dtype)


def status(sound: jax.Array) -> jax.Array:
    """Return OK or NOT_FINITE as an int32."""
    return jnp.where(sound, jnp.int32(Status.OK), jnp.int32(Status.NOT_FINITE))


def require_count(method: str, **counts: Any) -> None:
    """Refuse what is no whole number of at least 1.

    Raises:
        MethodError: one of the counts is no such number.
    """
    for name, count in counts.items():
        if type(count) is not int or count < 1:
            raise MethodError(
                f"{name} is {count!r}",
                where=f"parafree.blackbox.{method}",
                fix="give a whole number of at least 1",
            )
