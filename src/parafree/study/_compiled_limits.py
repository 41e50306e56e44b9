"""What a compiled minimisation asks of a function whose figures have limits."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp

from parafree.core.errors import TrainableError
from parafree.study._goals import Goals


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
