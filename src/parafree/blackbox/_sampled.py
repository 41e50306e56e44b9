"""What all methods share that draw candidates around a mean: evolution strategies of any kind.

Such a method says how draws become candidates and what it learns from their values. Here stands
once what is the same for all: asking, ranking, the best point, when to end, and that a state stays
finite. Draws and learning are apart, so that a generation may consist of several batches, as it
does in a search that restarts with larger populations.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import replace
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from parafree.blackbox._beyond import Turn, held
from parafree.blackbox._frame import Frame, frame, normal
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
    unchanged,
    worse,
)
from parafree.blackbox._ranking import clean


class Best(NamedTuple):
    """The best point that was evaluated."""

    x: jax.Array  # (d,), its coordinates; the start before any value was finite
    value: jax.Array  # (), infinite before any value was finite


class Core(NamedTuple):
    """What the state of every such method holds; d coordinates, dtype of the frame."""

    frame: Frame
    mean: jax.Array  # (d,)
    sigma: jax.Array  # (), the step size, in units of the scale
    first: jax.Array  # (), the first step size
    best: Best
    progress: Progress
    asked: jax.Array  # (n, draws), standard normal, of the candidates asked for last
    tried: jax.Array  # (d,), bool, coordinates of the mean put close to their bound: _beyond.py


class Sampled(eqx.Module):
    """A method that draws around a mean; its state is a named tuple whose first field is ``core``.

    Args:
        population: candidates in a batch, at least 4; static. ``None`` takes 4 + 3 log d.
        spread: the first step size, in units of the scale; a leaf, above 0.
        limits: when the search ends by itself.
    """

    population: int | None = eqx.field(default=None, static=True)
    spread: Any = 1.0
    limits: Limits = Limits()

    clips: ClassVar[bool] = False  # whether candidates beyond a bound move onto it: _beyond.py

    def __check_init__(self) -> None:
        check_population(self)

    # What a method says -------------------------------------------------------------------

    @abstractmethod
    def begin(self, core: Core) -> Any:
        """Return the state in which nothing was learned yet."""

    @abstractmethod
    def place(self, state: Any, draws: jax.Array) -> jax.Array:
        """Return the coordinates (n, d) that belong to draws (n, draws)."""

    @abstractmethod
    def learn(self, state: Any, draws: jax.Array, values: jax.Array, count: Any) -> Any:
        """Return the state after a generation.

        Values are cleaned, at least one is finite, and those behind the first ``count``, which may
        be traced, are +inf and belong to no candidate. ``core.best`` and ``core.progress`` are
        kept elsewhere.
        """

    @abstractmethod
    def deviation(self, state: Any) -> jax.Array:
        """Return the standard deviation (d,) of the next candidates' coordinates."""

    def least(self) -> int:
        """Return the smallest population allowed."""
        return 4

    def draws(self, dimension: int) -> int:
        """Return how many standard normal numbers make a candidate."""
        return dimension

    def size(self, dimension: int) -> int:
        """Return how many candidates a batch has."""
        return self.population or 4 + int(3 * math.log(dimension))

    # The contract -------------------------------------------------------------------------

    def init(self, key: jax.Array, p: Any) -> Any:
        """Return the state of a search around ``p``: a space, a region, or a pytree."""
        where = replace(frame(p), clips=self.clips)
        start = jnp.zeros(where.dimension, where.dtype)
        return self.begin(self.core(where, start, self.spread))

    def ask(self, key: jax.Array, state: Any) -> tuple[Any, Any]:
        """Return a batch of candidates and the state that remembers them."""
        return self.offer(state, normal(key, state.core.asked.shape, state.core.asked.dtype))

    def tell(self, key: jax.Array, state: Any, candidates: Any, values: Any) -> tuple[Any, Info]:
        """Take in the values of the candidates asked for last, in their order."""
        values = self.note(state, state.core.asked, values)
        state = self.record(state, state.core.asked, values)
        state = self.digest(state, state.core.asked, values, values.shape[0])
        return state, self.inform(state, values)

    def best(self, state: Any) -> Any:
        """Return the candidate with the smallest value; the start before there is one."""
        return state.core.frame.point(state.core.best.x)

    # Pieces of it, which a search that restarts puts together in another way -----------------

    def offer(self, state: Any, draws: jax.Array) -> tuple[Any, Any]:
        """Return the candidates that belong to draws, and the state that remembers these."""
        candidates = state.core.frame.points(self.place(state, draws))
        return candidates, state._replace(core=state.core._replace(asked=draws))

    def core(self, where: Frame, mean: jax.Array, spread: Any) -> Core:
        """Return the core of a search that begins at ``mean``."""
        n, dtype = where.dimension, where.dtype
        spread = jnp.asarray(spread, dtype)
        asked = jnp.zeros((self.size(n), self.draws(n)), dtype)
        best = Best(mean, jnp.full((), jnp.inf, dtype))
        tried = jnp.zeros(n, bool)
        return Core(where, mean, spread, spread, best, fresh(dtype), asked, tried)

    def note(self, state: Any, draws: jax.Array, values: Any) -> jax.Array:
        """Return the values with +inf for what is not finite or not feasible."""
        where = state.core.frame
        restricted = where.feasible(jnp.zeros((1, where.dimension), where.dtype)) is not None
        feasible = where.feasible(self.place(state, draws)) if restricted else None
        return clean(values, feasible, where.dtype)

    def record(self, state: Any, draws: jax.Array, values: jax.Array) -> Any:
        """Return the state that knows the best of these candidates."""
        i = jnp.argmin(values)
        found = Best(self.place(state, draws[i][None])[0], values[i])
        best = better(found, state.core.best)
        return state._replace(core=state.core._replace(best=best))

    def digest(self, state: Any, draws: jax.Array, values: jax.Array, count: Any) -> Any:
        """Return the state after a generation, and whether the search has ended with it."""
        return self.evolve(state, values, count, lambda s: self.learn(s, draws, values, count))

    def evolve(self, state: Any, values: jax.Array, count: Any, learn: Callable[[Any], Any]) -> Any:
        """Return the state after a generation of which ``learn`` takes in the candidates.

        It is called where a value is finite and the search goes on; of the values only the
        smallest and the largest finite one matter here.
        """
        # Branches, here and below, because a choice for each leaf repeats in each of them how its
        # condition comes about, which takes long to compile.
        return jax.lax.cond(
            jnp.isfinite(jnp.min(values)) & ~ended(state.core.progress),
            lambda s: self._concluded(s, self.renew(learn(s)), values, count),
            _barren,
            state,
        )

    def gather(self, state: Any, draws: jax.Array, values: jax.Array, count: Any) -> Any:
        """Return what learning takes from a generation, in shapes that do not depend on its size.

        A search with restarts compiles this for generations of several sizes, and :meth:`absorb`
        once; a method for which learning takes long to compile divides it between the two.
        """
        return self.learn(state, draws, values, count)

    def absorb(self, state: Any, told: Any) -> Any:
        """Return the state after a generation that has told this."""
        return told

    def renew(self, state: Any) -> Any:
        """Return what was learned made ready for asking; apart, as it depends on no population."""
        return state

    def _concluded(self, state: Any, new: Any, values: jax.Array, count: Any) -> Any:
        """Return the new state if it can be used, and how far the search is."""
        old, before, deviation = state.core, self.deviation(state), self.deviation(new)
        sound = _sound(new, deviation)
        deviation = jnp.where(sound, deviation, before)
        move = moves(old.frame, jnp.where(sound, new.core.mean, old.mean), deviation)
        progress = advance(old.progress, values, count, old.frame.dimension, self.limits)
        steps = judge_steps(deviation, old.first, move, self.limits)
        status = worse(worse(steps, self.trouble(new)), progress.status)
        status = jnp.where(sound, status, jnp.int32(Status.DIVERGED))
        if old.frame.clips:
            state = _held(state, new, sound, (before, deviation), progress)
        else:
            state = taken(sound, new, state)
        progress = progress._replace(status=status)
        return state._replace(core=state.core._replace(progress=progress, best=old.best))

    def trouble(self, state: Any) -> jax.Array:
        """Return a status that only this method knows of, or OK."""
        return jnp.int32(Status.OK)

    def inform(self, state: Any, values: jax.Array) -> Info:
        """Return what a batch with these cleaned values told."""
        return report(values, self.deviation(state), state.core.progress.status)


def _barren(state: Any) -> Any:
    """Return the state after a generation of which nothing is learned."""
    return state._replace(core=state.core._replace(progress=unchanged(state.core.progress)))


def _held(
    state: Any,
    new: Any,
    sound: jax.Array,
    deviations: tuple[jax.Array, jax.Array],
    progress: Progress,
) -> Any:
    """Return the new state where it is sound, its mean not too far beyond the bounds.

    After a trial at a bound it is the old one, with the new mean.
    """
    old, (before, deviation) = state.core, deviations
    whole = ~jnp.any(old.tried)
    mean = jnp.where(sound, new.core.mean, old.mean)
    deviation = jnp.where(whole, deviation, before)
    turn = Turn(progress.generation, progress.equal > 0)
    trial = held(old.frame, old.tried, mean, deviation, turn)
    state = taken(sound & whole, new, state)
    return state._replace(core=state.core._replace(mean=trial.mean, tried=trial.tried))


def moves(where: Frame, mean: jax.Array, deviation: jax.Array) -> jax.Array:
    """Say whether a fifth of a deviation changes a parameter, as in pycma's NoEffectCoord."""
    at = where.origin + where.scale * mean
    return jnp.any(where.origin + where.scale * (mean + 0.2 * deviation) != at)


def _sound(state: Any, deviation: jax.Array) -> jax.Array:
    """Say whether what was learned can be used; some fields hold infinities on purpose."""
    core = state.core
    known = [*jax.tree.leaves(state._replace(core=core.mean))]
    floats = [x for x in known if jnp.issubdtype(x.dtype, jnp.floating)]
    no_nan = ~jnp.any(jnp.stack([jnp.isnan(x).any() for x in floats]))
    finite = jnp.isfinite(core.mean).all() & jnp.isfinite(deviation).all()
    return no_nan & finite & (core.sigma > 0)


def better(found: Best, best: Best) -> Best:
    """Return the better of two points; the second where they are equal."""
    return choose(found.value < best.value, found, best)


def choose(condition: Any, a: Any, b: Any) -> Any:
    """Return ``a`` where the condition is true, ``b`` elsewhere."""
    return jax.tree.map(lambda x, y: jnp.where(condition, x, y), a, b)


def taken(condition: Any, a: Any, b: Any) -> Any:
    """Return the same by a branch, which compiles faster where there are many leaves."""
    return jax.lax.cond(condition, lambda a, _: a, lambda _, b: b, a, b)
