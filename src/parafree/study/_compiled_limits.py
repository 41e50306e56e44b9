"""Limits of figures where a minimisation runs compiled: the order is the same as elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from parafree.blackbox import _lagrangian
from parafree.core.errors import TrainableError
from parafree.study._goals import Goals
from parafree.study._ground import Ground


class Limited(NamedTuple):
    """What goes from batch to batch where figures have limits."""

    order: _lagrangian.Lagrangian  # of the present run
    point: Any  # the best candidate so far, in array form: within all limits, or nearest to them
    outcome: jax.Array  # (1 + k,), its value, and how far its figures are beyond their limits
    violation: jax.Array  # (), how far all of them together; infinite where nothing is known

    def restarted(self, over: jax.Array, dimension: int) -> Limited:
        """Return the state with its order begun again where a run is over."""
        k, dtype = self.outcome.shape[0] - 1, self.outcome.dtype
        fresh = _lagrangian.begin(dimension, k, dtype, jnp)
        order = jax.tree.map(lambda x, y: jnp.where(over, x, y), fresh, self.order)
        return self._replace(order=order)


def with_loss(f: Any, goals: Goals) -> Any:
    """Return ``f`` with its objective as the loss.

    Raises:
        TrainableError: once it is called: a figure is missing.
    """
    if goals.plain:
        return f

    def objective(config: Any) -> dict[str, Any]:
        return {"loss": _figures(f(config), goals)[goals.objectives[0]]}

    return objective


def outcomes_of(f: Any, goals: Goals) -> Callable[[Any], Any]:
    """Return ``f`` with a loss that is its outcome: a value, and excesses over the limits."""

    def outcome(config: Any) -> dict[str, Any]:
        figures = _figures(f(config), goals)
        excesses = [limit.excess(jnp.asarray(figures[limit.name])) for limit in goals.limits]
        value = jnp.asarray(figures[goals.objectives[0]])
        return {"loss": jnp.stack([value, *(each.astype(value.dtype) for each in excesses)])}

    return outcome


def _figures(found: Any, goals: Goals) -> Mapping[str, Any]:
    figures = found if isinstance(found, Mapping) else {"loss": found}
    if missing := [name for name in goals.names if name not in figures]:
        raise TrainableError(f"it returns no {', '.join(map(repr, missing))}")
    return figures


def begin(dimension: int, constraints: int, point: Any, dtype: Any) -> Limited:
    """Return the state before anything is known."""
    order = _lagrangian.begin(dimension, constraints, dtype, jnp)
    top = jnp.full((), jnp.inf, dtype)
    return Limited(order, point, jnp.full(1 + constraints, jnp.inf, dtype), top)


def judge(
    limited: Limited, ground: Ground, candidates: Any, outcomes: jax.Array, population: jax.Array
) -> tuple[jax.Array, jax.Array, Limited]:
    """Return what the method is told of a batch, its lowest value within limits, and the state."""
    known = jnp.isfinite(outcomes) & ground.feasible(candidates)[..., None]
    outcomes = jnp.where(known, outcomes, jnp.inf).astype(limited.outcome.dtype)
    f, g = outcomes[:, 0], outcomes[:, 1:]
    told, order = _lagrangian.judge(limited.order, f, g, population, ground.dimension, jnp)
    violation = jnp.where(jnp.isfinite(f), jnp.sum(jnp.maximum(g, 0), axis=1), jnp.inf)
    least = jnp.min(violation)
    i = jnp.argmin(jnp.where(violation == least, f, jnp.inf))
    old = limited.violation, limited.outcome[0]
    better = (least < old[0]) | ((least == old[0]) & (f[i] < old[1]))
    point = jax.tree.map(lambda x, y: jnp.where(better, x[i], y), candidates, limited.point)
    lowest = jnp.min(jnp.where(violation > 0, jnp.inf, f))
    outcome = jnp.where(better, outcomes[i], limited.outcome)
    return told, lowest, Limited(order, point, outcome, jnp.where(better, least, old[0]))
