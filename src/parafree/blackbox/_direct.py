"""What methods of direct search share: points that are compared one by one, without any draw.

Such a method is a machine: it proposes the next point and goes on by its value. Here stands once
what is the same for all: ranking, the best point, and when to end.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from parafree.blackbox._frame import Frame, frame
from parafree.blackbox._progress import (
    Info,
    Limits,
    Progress,
    Status,
    advance,
    ended,
    fresh,
    judge_steps,
    report,
    worse,
)
from parafree.blackbox._ranking import clean
from parafree.blackbox._sampled import Best, better, choose, moves


class Walk(NamedTuple):
    """What the state of every such method holds; d coordinates, dtype of the frame."""

    frame: Frame
    best: Best
    progress: Progress
    asked: jax.Array  # (n, d), the candidates asked for last


class Direct(eqx.Module):
    """A method without draws; its state is a named tuple whose first field is ``walk``.

    Args:
        spread: the first step size, in units of the scale; a leaf, above 0.
        limits: when the search ends by itself.
    """

    spread: Any = 1.0
    limits: Limits = Limits()

    @abstractmethod
    def begin(self, walk: Walk, spread: jax.Array) -> Any:
        """Return the state before any value is known."""

    @abstractmethod
    def propose(self, state: Any) -> jax.Array:
        """Return the next candidates (n, d)."""

    @abstractmethod
    def proceed(self, key: jax.Array, state: Any, values: jax.Array) -> Any:
        """Return the state that knows the candidates' cleaned values, all +inf perhaps."""

    @abstractmethod
    def extent(self, state: Any) -> jax.Array:
        """Return the size (d,) of the next steps."""

    @abstractmethod
    def known(self, state: Any) -> jax.Array:
        """Return the values of the points that the next steps start from."""

    def size(self) -> int:
        """Return how many candidates a batch has."""
        return 1

    def init(self, key: jax.Array, p: Any) -> Any:
        """Return the state of a search around ``p``: a space, a region, or a pytree."""
        where = frame(p)
        d, dtype = where.dimension, where.dtype
        best = Best(jnp.zeros(d, dtype), jnp.full((), jnp.inf, dtype))
        walk = Walk(where, best, fresh(dtype), jnp.zeros((self.size(), d), dtype))
        return self.begin(walk, jnp.asarray(self.spread, dtype))

    def ask(self, key: jax.Array, state: Any) -> tuple[Any, Any]:
        """Return a batch of candidates and the state that remembers them."""
        x = self.propose(state)
        return state.walk.frame.points(x), state._replace(walk=state.walk._replace(asked=x))

    def tell(self, key: jax.Array, state: Any, candidates: Any, values: Any) -> tuple[Any, Info]:
        """Take in the values of the candidates asked for last, in their order."""
        walk = state.walk
        values = clean(values, walk.frame.feasible(walk.asked), walk.frame.dtype)
        i = jnp.argmin(values)
        best = better(Best(walk.asked[i], values[i]), walk.best)
        over = ended(walk.progress)
        state = choose(over, state, self.proceed(key, state, values))
        progress = choose(over, walk.progress, self._progress(state, best))
        status = jnp.where(jnp.isfinite(values).any() | over, progress.status, Status.NOT_FINITE)
        progress = progress._replace(status=jnp.asarray(status, jnp.int32))
        state = state._replace(walk=state.walk._replace(best=best, progress=progress))
        return state, report(values, self.extent(state), progress.status)

    def best(self, state: Any) -> Any:
        """Return the candidate with the smallest value; the start before there is one."""
        return state.walk.frame.point(state.walk.best.x)

    def _progress(self, state: Any, best: Best) -> Progress:
        walk, known, extent = state.walk, self.known(state), self.extent(state)
        d = walk.frame.dimension
        progress = advance(walk.progress, known, self.size(), d, self.limits)
        first = jnp.asarray(self.spread, walk.frame.dtype)
        move = moves(walk.frame, best.x, extent)
        status = worse(judge_steps(extent, first, move, self.limits), progress.status)
        # Before the first finite value there is nothing to compare.
        some = jnp.isfinite(best.value) & jnp.isfinite(known).any()
        return choose(some, progress._replace(status=status), walk.progress)
