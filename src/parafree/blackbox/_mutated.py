"""What evolutionary algorithms on bit strings share: one parent, and offspring by flipped bits.

Such a method says whether the best of the offspring takes the parent's place. Here stands once what
is the same for all: flipping, counting offspring, and how their number follows success.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from parafree.blackbox._bits import code
from parafree.blackbox._frame import Frame, even, frame
from parafree.blackbox._progress import Info, Limits, Progress, Status, advance, ended, fresh
from parafree.blackbox._ranking import clean
from parafree.blackbox._sampled import Best, choose
from parafree.core.errors import MethodError


class MutatedState(NamedTuple):
    """Where such a method stands; a point has n bits and d coordinates."""

    frame: Frame
    best: Best  # where the objective changes: the parent
    progress: Progress
    parent: jax.Array  # (n,), bool
    value: jax.Array  # (), the parent's when it was asked for last; +inf before it had one
    offspring: jax.Array  # (), how many count in the next batch, before rounding
    asked: jax.Array  # (rows, n), bool, the candidates asked for last


class Mutated(eqx.Module):
    """A method with one parent, whose bits are flipped independently.

    Args:
        population: the most offspring in a batch, at least 1; static. ``None`` takes 1 + 3 log n.
        spread: the deviation of random points where there are no bounds, in units of the scale; a
            leaf, above 0.
        limits: when the search ends by itself.
        rate: bits that are flipped on average; a leaf, between 0 and n.
        offspring: how many of a batch count at first; a leaf. ``None``: all of them.
        growth: F, by which the number of offspring changes; a leaf, at least 1. With 1 it stays.
        successes: s: the number grows by F^(1/s) without success and is divided by F after one; a
            leaf, above 0.
        dynamic: whether the objective changes from batch to batch; static. Then the parent is the
            first candidate of every batch, and ``best`` is the parent.
    """

    population: int | None = eqx.field(default=None, static=True)
    spread: Any = 1.0
    limits: Limits = Limits()
    rate: Any = 1.0
    offspring: Any = None
    growth: Any = 1.0
    successes: Any = 1.0
    dynamic: bool = eqx.field(default=False, static=True)

    def __check_init__(self) -> None:
        if self.population is not None and (
            type(self.population) is not int or self.population < 1
        ):
            raise MethodError(
                f"population is {self.population!r}",
                where=f"parafree.blackbox.{type(self).__name__}",
                fix="give a whole number of at least 1, or None",
            )

    @abstractmethod
    def accepts(self, value: jax.Array, parent: jax.Array) -> jax.Array:
        """Say whether an offspring of this value, which is finite, replaces the parent."""

    def init(self, key: jax.Array, p: Any) -> MutatedState:
        """Return the state of a search in ``p``, from a random bit string."""
        where = frame(p)
        d, n, dtype = where.dimension, code(where).length, where.dtype
        top = jnp.full((), jnp.inf, dtype)
        rows = self.population or 1 + int(3 * math.log(n))
        offspring = rows if self.offspring is None else self.offspring
        return MutatedState(
            frame=where,
            best=Best(jnp.zeros(d, dtype), top),
            progress=fresh(dtype),
            parent=even(key, (n,), dtype) < 0.5,
            value=top,
            offspring=jnp.clip(jnp.asarray(offspring, dtype), 1, rows),
            asked=jnp.zeros((rows + self.dynamic, n), bool),
        )

    def ask(self, key: jax.Array, state: MutatedState) -> tuple[Any, MutatedState]:
        """Return a batch of candidates and the state that remembers them."""
        rows, n = state.asked.shape
        share = jnp.asarray(self.rate, state.frame.dtype) / n
        flips = even(key, (rows - self.dynamic, n), state.frame.dtype) < share
        bits = state.parent ^ flips
        if self.dynamic:
            bits = jnp.concatenate([state.parent[None], bits])
        candidates = state.frame.points(self._place(state, bits))
        return candidates, state._replace(asked=bits)

    def tell(
        self, key: jax.Array, state: MutatedState, candidates: Any, values: Any
    ) -> tuple[MutatedState, Info]:
        """Take in the values of the candidates asked for last, in their order."""
        x = self._place(state, state.asked)
        values = clean(values, state.frame.feasible(x), state.frame.dtype)
        learned, over = jnp.isfinite(values).any(), ended(state.progress)
        new = self._select(state, values)
        new = new._replace(progress=self._progress(new, values.shape[0]))
        quiet = jnp.where(over, state.progress.status, jnp.int32(Status.NOT_FINITE))
        same = state._replace(
            best=new.best, progress=state.progress._replace(status=quiet)
        )  # a search that has ended still notes a better value
        state = choose(learned & ~over, new, same)
        spread = jnp.sqrt(jnp.mean((x - self._place(state, state.parent[None])) ** 2))
        finite = jnp.sum(jnp.isfinite(values), dtype=jnp.int32)
        return state, Info(jnp.min(values), spread, finite, state.progress.status)

    def best(self, state: MutatedState) -> Any:
        """Return the candidate with the smallest value; the start before there is one."""
        return state.frame.point(state.best.x)

    def _select(self, state: MutatedState, values: jax.Array) -> MutatedState:
        """Return the state with the next parent, and the next number of offspring."""
        first = int(self.dynamic)
        parent = values[0] if self.dynamic else state.value
        bits, own = state.asked[first:], values[first:]
        counts = jnp.arange(own.shape[0], dtype=jnp.int32) < jnp.rint(state.offspring).astype(
            jnp.int32
        )
        i = jnp.argmin(jnp.where(counts, own, jnp.inf))
        value = jnp.where(counts[i], own[i], jnp.inf)
        taken = jnp.isfinite(value) & (self.accepts(value, parent) | ~jnp.isfinite(parent))
        growth = jnp.asarray(self.growth, values.dtype)
        slow = growth ** (1 / jnp.asarray(self.successes, values.dtype))
        offspring = state.offspring * jnp.where(value < parent, 1 / growth, slow)
        new = state._replace(
            parent=jnp.where(taken, bits[i], state.parent),
            value=jnp.where(taken, value, parent),
            offspring=jnp.clip(offspring, 1, own.shape[0]),
        )
        if self.dynamic:
            return new._replace(best=Best(self._place(new, new.parent[None])[0], new.value))
        j = jnp.argmin(values)
        better = Best(self._place(state, state.asked[j][None])[0], values[j])
        return new._replace(best=choose(values[j] < state.best.value, better, state.best))

    def _progress(self, state: MutatedState, count: int) -> Progress:
        # Values of an objective that changes cannot be compared, so nothing says when to end.
        if self.dynamic:
            ok = jnp.int32(Status.OK)
            generation = state.progress.generation + 1
            return state.progress._replace(generation=generation, status=ok)
        known = state.best.value[None]
        return advance(state.progress, known, count, state.parent.shape[0], self.limits)

    def _place(self, state: MutatedState, bits: jax.Array) -> jax.Array:
        return code(state.frame).points(state.frame, bits, self.spread)
