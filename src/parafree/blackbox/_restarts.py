"""Restarts that compile once: a generation of any size is made of batches of one size.

A method that draws around a mean does not change while a generation is drawn, so a generation may
come in several batches. Draws and values wait in a buffer until it is whole. Only how the next run
is planned differs between the wrappers.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from parafree.blackbox._frame import normal
from parafree.blackbox._progress import Status, ended
from parafree.blackbox._sampled import Best, Sampled, better, taken
from parafree.blackbox.cmaes import CMAES
from parafree.core.errors import MethodError

_ROOM = 2**24  # numbers in the buffer at most
_STEP = 32  # 1, 32 or 1024 batches are gathered from, each by a program of its own


class Run(NamedTuple):
    """What is planned for a run, and what has been spent."""

    population: jax.Array  # (), int32, candidates in a generation, whole batches
    spread: jax.Array  # (), the first step size, as a share of the method's own
    large: jax.Array  # (), int32, population of the last run that doubled
    small: jax.Array  # (), bool, this run is one of the small ones
    spent: jax.Array  # (), int32, calls in this run
    spent_large: jax.Array  # (), int32, calls in finished runs that doubled
    spent_small: jax.Array  # (), int32, calls in finished small runs
    allowed: jax.Array  # (), int32, calls that this run may take


class RestartState(NamedTuple):
    """Where a search with restarts stands."""

    inner: Any  # the state of the method in its running run
    best: Best  # of all runs
    run: Run
    draws: jax.Array  # (capacity, draws), of the generation that is being asked for
    values: jax.Array  # (capacity,), cleaned
    filled: jax.Array  # (), int32, how many of them are known
    span: jax.Array  # (2,), the smallest and the largest finite one; infinite where there is none
    lot: jax.Array  # (d + 2,), even in (0, 1), by which the next run is planned
    restarts: jax.Array  # (), int32


class RestartInfo(NamedTuple):
    """What a batch told."""

    value: jax.Array  # (), the smallest finite value of the batch; infinite where there is none
    spread: jax.Array  # (), root mean square of the deviations, in units of the scale
    finite: jax.Array  # (), int32, how many values were finite and feasible
    status: jax.Array  # (), int32, a Status; from SMALL_STEPS on it says how the last run ended
    restarts: jax.Array  # (), int32, so far
    population: jax.Array  # (), int32, of the run that goes on


class Restarting(eqx.Module):
    """A method that begins again, elsewhere and with other populations, whenever it has ended.

    Args:
        method: any evolution strategy of this room; its population is the batch.
        doublings: how often a population may double; static. Fewer where the candidates of the
            largest generation would hold more than 16 million numbers.
    """

    method: Sampled = CMAES()
    doublings: int = eqx.field(default=9, static=True)

    def __check_init__(self) -> None:
        if not isinstance(self.method, Sampled):
            raise MethodError(
                f"a {type(self.method).__name__} cannot change its population",
                where=f"parafree.blackbox.{type(self).__name__}",
                fix="give an evolution strategy, for example CMAES()",
            )

    @abstractmethod
    def plan(self, u: jax.Array, run: Run, batch: int, capacity: int) -> Run:
        """Return the plan of the next run, given u (2,), even in (0, 1)."""

    def init(self, key: jax.Array, p: Any) -> RestartState:
        """Return the state of a search around ``p``: a space, a region, or a pytree."""
        inner = self.method.init(key, p)
        asked, best = inner.core.asked, inner.core.best
        batch, width = asked.shape
        capacity = self._capacity(batch, width)
        zero, most = jnp.int32(0), jnp.int32(jnp.iinfo(jnp.int32).max)
        one = jnp.ones((), asked.dtype)
        run = Run(jnp.int32(batch), one, jnp.int32(batch), jnp.bool_(False), zero, zero, zero, most)
        draws = jnp.zeros((capacity, width), asked.dtype)
        values = jnp.full(capacity, jnp.inf, asked.dtype)
        lot = jnp.full(inner.core.frame.dimension + 2, 0.5, asked.dtype)
        span = jnp.full(2, jnp.inf, asked.dtype)
        return RestartState(inner, best, run, draws, values, zero, span, lot, zero)

    def ask(self, key: jax.Array, state: RestartState) -> tuple[Any, RestartState]:
        """Return a batch of candidates and the state that remembers them."""
        asked = state.inner.core.asked
        draws, state = self.draw(key, state, *asked.shape)
        candidates, inner = self.method.offer(state.inner, draws)
        return candidates, state._replace(inner=inner)

    def tell(
        self, key: jax.Array, state: RestartState, candidates: Any, values: Any
    ) -> tuple[RestartState, RestartInfo]:
        """Take in the values of the candidates asked for last, in their order."""
        values = self.method.note(state.inner, state.inner.core.asked, values)
        state = self.take(state, values)
        return self.go_on(state, values, state.filled >= state.run.population)

    # Pieces of it, which a search with a model puts together in another way ------------------

    def draw(
        self, key: jax.Array, state: RestartState, n: int, width: int
    ) -> tuple[jax.Array, RestartState]:
        """Return draws (n, width), and the state with the lot that plans the next run."""
        # All is drawn at once: a random generator takes long to compile.
        dtype = state.lot.dtype
        drawn = normal(key, (n * width + state.lot.size,), dtype)
        draws, rest = drawn[: n * width].reshape(n, width), drawn[n * width :]
        tiny = jnp.finfo(dtype).eps
        # Their distribution function, in one branch: in the tails it is clipped anyway.
        lot = jnp.clip((1 + jax.lax.erf(rest * math.sqrt(0.5))) / 2, tiny, 1 - tiny)
        return draws, state._replace(lot=lot)

    def take(self, state: RestartState, values: jax.Array) -> RestartState:
        """Return the state that knows the cleaned values of the candidates asked for last."""
        asked = state.inner.core.asked
        inner = self.method.record(state.inner, asked, values)
        run = state.run._replace(spent=state.run.spent + asked.shape[0])
        return state._replace(
            inner=inner,
            best=better(inner.core.best, state.best),
            run=run,
            draws=jax.lax.dynamic_update_slice(state.draws, asked, (state.filled, jnp.int32(0))),
            values=jax.lax.dynamic_update_slice(state.values, values, (state.filled,)),
            filled=state.filled + asked.shape[0],
            span=_span(jnp.concatenate([state.span, values])),
        )

    def go_on(
        self, state: RestartState, values: jax.Array, whole: jax.Array
    ) -> tuple[RestartState, RestartInfo]:
        """Return the state after a batch with these values, and what it told.

        If the generation is ``whole`` the method learns from it, and may begin again.
        """
        state = state._replace(
            inner=self._digested(state, whole),
            filled=jnp.where(whole, 0, state.filled),
            span=jnp.where(whole, jnp.inf, state.span),
        )
        told = self.method.inform(state.inner, values)
        waiting = jnp.where(told.finite > 0, jnp.int32(Status.OK), jnp.int32(Status.NOT_FINITE))
        told = told._replace(status=jnp.where(whole, told.status, waiting))
        state = self._again(state, whole)
        return state, RestartInfo(*told, state.restarts, state.run.population)

    def best(self, state: RestartState) -> Any:
        """Return the candidate with the smallest value; the start before there is one."""
        return state.inner.core.frame.point(state.best.x)

    def _capacity(self, batch: int, width: int) -> int:
        doublings = self.doublings
        while doublings > 0 and batch * 2**doublings * width > _ROOM:
            doublings -= 1
        return batch * 2**doublings

    def _digested(self, state: RestartState, whole: jax.Array) -> Any:
        """Return the method's state, after the generation if it is whole."""
        capacity, population = state.values.shape[0], state.run.population
        sizes = [self.method.size(state.inner.core.frame.dimension)]
        while sizes[-1] < capacity:
            sizes.append(min(_STEP * sizes[-1], capacity))

        def gather(size: int) -> Any:
            def gathered(inner: Any) -> Any:
                known = jnp.arange(size, dtype=jnp.int32) < population
                values = jnp.where(known, state.values[:size], jnp.inf)
                return self.method.gather(inner, state.draws[:size], values, population)

            return gathered

        def learn(inner: Any) -> Any:
            case = jnp.sum(population > jnp.asarray(sizes[:-1], jnp.int32), dtype=jnp.int32)
            told = jax.lax.switch(case, [gather(size) for size in sizes], inner)
            return self.method.absorb(inner, told)

        return jax.lax.cond(
            whole,
            lambda s: self.method.evolve(s, state.span, population, learn),
            lambda s: s,
            state.inner,
        )

    def _again(self, state: RestartState, whole: jax.Array) -> RestartState:
        """Return the state of a new run where this one is over."""
        inner, capacity = state.inner, state.values.shape[0]
        barren = inner.core.progress.status == Status.NOT_FINITE
        done = whole & (ended(inner.core.progress) | (state.run.spent >= state.run.allowed))
        over = done | (whole & barren)
        where = inner.core.frame
        smallest = self.method.size(where.dimension)

        def anew(old: tuple[Any, Run]) -> tuple[Any, Run]:
            run = self.plan(state.lot[-2:], state.run, smallest, capacity)
            spread = jnp.asarray(self.method.spread, where.dtype) * run.spread
            core = self.method.core(where, where.scatter(state.lot[:-2]), spread)
            begun = self.method.begin(core._replace(asked=inner.core.asked))
            return begun, taken(done, run, old[1])

        # A branch, because a choice for each leaf repeats in each of them how `over` comes about,
        # which takes long to compile.
        inner, run = jax.lax.cond(over, anew, lambda old: old, (inner, state.run))
        return state._replace(
            inner=inner, run=run, restarts=state.restarts + over.astype(jnp.int32)
        )


def _span(values: jax.Array) -> jax.Array:
    """Return the smallest and the largest finite value; infinite where there is none."""
    low = jnp.min(values)
    return jnp.stack([low, jnp.max(jnp.where(jnp.isfinite(values), values, low))])
