"""What all methods share that keep a population and replace its members: DE, PSO, GA and others.

Such a method says which candidates it proposes and which of them enter the population. Here stands
once what is the same for all: the first candidates, ranking, the best point, and when to end.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from parafree.blackbox._frame import Frame, even, frame
from parafree.blackbox._population import check_population
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
    settle,
    worse,
)
from parafree.blackbox._ranking import clean
from parafree.blackbox._sampled import Best, better, choose, moves


class Crowd(NamedTuple):
    """What the state of every such method holds; n members, d coordinates, dtype of the frame."""

    frame: Frame
    first: jax.Array  # (), the largest deviation of the first population
    best: Best
    progress: Progress
    x: jax.Array  # (n, d), the population, within the bounds
    values: jax.Array  # (n,), its values; +inf for what is not finite or not feasible
    asked: jax.Array  # (trials n, d), the candidates asked for last


class Populated(eqx.Module):
    """A method that keeps a population; its state is a named tuple that begins with ``crowd``.

    Args:
        population: members; static. ``None`` takes what the paper recommends.
        spread: of the first candidates where there are no bounds, in units of the scale; a leaf,
            above 0. Between two bounds they are spread evenly.
        limits: when the search ends by itself.
    """

    population: int | None = eqx.field(default=None, static=True)
    spread: Any = 1.0
    limits: Limits = Limits()

    def __check_init__(self) -> None:
        check_population(self)

    # What a method says -------------------------------------------------------------------

    @abstractmethod
    def begin(self, crowd: Crowd) -> Any:
        """Return the state in which nothing was learned yet."""

    @abstractmethod
    def draws(self, dimension: int) -> int:
        """Return how many random numbers a candidate takes."""

    @abstractmethod
    def propose(self, u: jax.Array, state: Any) -> tuple[jax.Array, Any]:
        """Return candidates (trials n, d), and the state that remembers how they were made.

        All randomness comes from u (trials n, draws), which is even in (0, 1).
        """

    @abstractmethod
    def select(self, key: jax.Array, state: Any, values: jax.Array) -> Any:
        """Return the state with the new population, given the candidates' cleaned values.

        In the first batch all values of the old population are +inf, and only what happens to the
        crowd counts.
        """

    def extent(self, state: Any) -> jax.Array:
        """Return the size (d,) of the next steps: by default the population's deviations."""
        return jnp.std(state.crowd.x, axis=0)

    def size(self, dimension: int) -> int:
        """Return how many members the population has."""
        return self.population or 100

    def least(self) -> int:
        """Return the smallest population allowed."""
        return 5

    def trials(self) -> int:
        """Return how many candidates there are for each member."""
        return 1

    # The contract -------------------------------------------------------------------------

    def init(self, key: jax.Array, p: Any) -> Any:
        """Return the state of a search around ``p``: a space, a region, or a pytree."""
        where = frame(p)
        d, dtype = where.dimension, where.dtype
        n = self.size(d)
        top = jnp.full((), jnp.inf, dtype)
        best = Best(jnp.zeros(d, dtype), top)
        x, values = jnp.zeros((n, d), dtype), jnp.full(n, jnp.inf, dtype)
        asked = jnp.zeros((self.trials() * n, d), dtype)
        return self.begin(Crowd(where, top, best, fresh(dtype), x, values, asked))

    def ask(self, key: jax.Array, state: Any) -> tuple[Any, Any]:
        """Return a batch of candidates and the state that remembers them."""
        crowd = state.crowd
        rows, d = crowd.asked.shape
        u = even(key, (rows, max(d, self.draws(d))), crowd.asked.dtype)

        def first(u: jax.Array) -> tuple[jax.Array, Any]:
            x = crowd.frame.scatter(u[:, :d], self.spread)
            return x.at[0].set(0), state  # the start is one of the first candidates

        def later(u: jax.Array) -> tuple[jax.Array, Any]:
            x, new = self.propose(u, state)
            return crowd.frame.inside(x), new

        x, state = jax.lax.cond(crowd.progress.generation > 0, later, first, u)
        return crowd.frame.points(x), state._replace(crowd=state.crowd._replace(asked=x))

    def tell(self, key: jax.Array, state: Any, candidates: Any, values: Any) -> tuple[Any, Info]:
        """Take in the values of the candidates asked for last, in their order."""
        old = state.crowd
        values = clean(values, old.frame.feasible(old.asked), old.frame.dtype)
        new = self.select(key, state, values)
        begun = old.progress.generation > 0
        new = choose(begun, new, state._replace(crowd=new.crowd))
        learned, over = jnp.isfinite(jnp.min(values)), ended(old.progress)
        new = choose(learned & ~over, new, state)
        deviation = self.extent(new)
        sound = jnp.isfinite(deviation).all()
        first = jnp.where(begun, old.first, jnp.max(deviation))
        progress = self._progress(old, new.crowd, values, deviation, first)
        progress = progress._replace(
            status=jnp.where(sound, progress.status, jnp.int32(Status.DIVERGED))
        )
        state = choose(sound, new, state)
        crowd = state.crowd._replace(
            best=better(_lowest(old, values), old.best),
            progress=settle(old.progress, progress, learned),
            first=jnp.where(learned & ~over, first, old.first),
        )
        info = report(values, deviation, crowd.progress.status)
        return state._replace(crowd=crowd), info

    def best(self, state: Any) -> Any:
        """Return the candidate with the smallest value; the start before there is one."""
        return state.crowd.frame.point(state.crowd.best.x)

    def _progress(
        self, old: Crowd, crowd: Crowd, values: jax.Array, deviation: jax.Array, first: jax.Array
    ) -> Progress:
        # The population's own values say how it goes on; those of candidates are scattered.
        count, d = values.shape[0], old.frame.dimension
        progress = advance(old.progress, crowd.values, count, d, self.limits)
        centre = crowd.x[jnp.argmin(crowd.values)]
        move = moves(crowd.frame, centre, deviation) | jnp.isinf(jnp.min(crowd.values))
        steps = judge_steps(deviation, first, move, self.limits)
        return progress._replace(status=worse(steps, progress.status))


def greedy(crowd: Crowd, x: jax.Array, values: jax.Array) -> tuple[Crowd, jax.Array]:
    """Return the crowd in which a candidate replaces its member if it is no worse, and where."""
    taken = (values <= crowd.values) & jnp.isfinite(values)
    first = jnp.isinf(crowd.values) & jnp.isinf(values)  # any place is as good as none
    moved = jnp.where((taken | first)[:, None], x, crowd.x)
    return crowd._replace(x=moved, values=jnp.where(taken, values, crowd.values)), taken


def _lowest(crowd: Crowd, values: jax.Array) -> Best:
    i = jnp.argmin(values)
    return Best(crowd.asked[i], values[i])
