"""Numbers of a method: constants, traced arrays or schedules."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from parafree.core.errors import MethodError

Number = Any
"""A float, or a scalar array that may be traced."""

Schedule = Callable[[jax.Array], Any]


def at(number: Number | Schedule, count: jax.Array, dtype: Any) -> jax.Array:
    """Return the number, or the schedule's value after ``count`` steps, as a scalar array."""
    return jnp.asarray(number(count) if callable(number) else number, dtype)


def shares(decay: Number, dtype: Any) -> tuple[jax.Array, jax.Array]:
    """Return decay and 1 - decay, the second one exact to the last digits."""
    return jnp.asarray(decay, dtype), jnp.asarray(1 - decay, dtype)


def held(known: jax.Array, pair: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
    """Return shares that leave a mean as it is where what is new is not known."""
    return jnp.where(known, pair[0], 1), jnp.where(known, pair[1], 0)


def remaining(decay: Number, count: jax.Array, dtype: Any) -> jax.Array:
    """Return 1 - decay**count, exact to the last digits also for a decay close to 1."""
    # In float32 the plain formula has lost four digits of 1 - 0.999.
    log = jnp.log(decay) if isinstance(decay, jax.Array) else math.log(decay) if decay else -1e9
    return -jnp.expm1(count.astype(dtype) * jnp.asarray(log, dtype))


def require(
    method: str,
    name: str,
    number: Any,
    low: float = 0.0,
    high: float = math.inf,
    *,
    open_low: bool = False,
    closed_high: bool = False,
) -> None:
    """Refuse a number outside [low, high), with ends as said; what is traced is left alone."""
    if callable(number) or isinstance(number, jax.core.Tracer):
        return
    value = float(number)
    above = value > low if open_low else value >= low
    below = value <= high if closed_high else value < high
    if not (above and below):
        raise MethodError(
            f"{name} is {number!r}",
            where=f"parafree.optim.{method}",
            fix=f"give a number {'above' if open_low else 'of at least'} {low:g}"
            + (f" and below {high:g}" if high < math.inf else ""),
        )
