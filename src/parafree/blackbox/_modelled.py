"""What all methods share that fit a model to the points they know, and ask where it is promising.

Such a method says what its model learns and which points it proposes. Here stands once what is the
same for all: the first, random points; a record of fixed size, so that nothing compiles twice; the
best point, and when to end.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from parafree.blackbox._frame import Frame, even, frame
from parafree.blackbox._progress import Info, Limits, Progress, Status, advance, ended, fresh
from parafree.blackbox._ranking import clean
from parafree.blackbox._sampled import Best, taken
from parafree.blackbox._threefry import turned
from parafree.core.errors import MethodError
from parafree.core.space import Space


class Standard(NamedTuple):
    """The heights of the points that are known, in units of their deviation around their mean."""

    heights: jax.Array  # (m,), 0 where there is no point
    middle: jax.Array  # (), the mean
    unit: jax.Array  # (), the deviation; 1 where all heights are the same


class Record(NamedTuple):
    """The points that are known; room for m of them, d coordinates, dtype of the frame."""

    frame: Frame
    best: Best
    progress: Progress
    x: jax.Array  # (m, d)
    values: jax.Array  # (m, repeats), +inf for what is not finite or not feasible
    mean: jax.Array  # (m,), of the finite ones; +inf where there is none
    standard: Standard  # known when points are told, so that asking need not compute it again
    age: jax.Array  # (m,), int32, the number of the point; -1 where there is none yet
    told: jax.Array  # (), int32, how many points
    asked: jax.Array  # (q, d), the points asked for last

    @property
    def known(self) -> jax.Array:
        """Which rows hold a point (m,)."""
        return self.age >= 0

    def heights(self) -> jax.Array:
        """Return a finite value for every row (m,): 0 where there is no point.

        Where a point has none it is the worst that is known, so that nobody goes there again.
        """
        finite = jnp.isfinite(self.mean) & self.known
        worst = jnp.max(jnp.where(finite, self.mean, -jnp.inf))
        filled = jnp.where(finite, self.mean, jnp.where(jnp.isfinite(worst), worst, 0))
        return jnp.where(self.known, filled, 0)

    def standardised(self) -> Record:
        """Return the record whose standard heights are those of its points."""
        heights, n = self.heights(), jnp.maximum(jnp.sum(self.known), 1).astype(self.x.dtype)
        middle = jnp.sum(heights) / n
        away = jnp.where(self.known, heights - middle, 0)
        largest = jnp.max(jnp.abs(away))  # taken out first, so that no square leaves the range
        away = away / jnp.where(largest > 0, largest, 1)
        share = jnp.sqrt(jnp.sum(away**2) / n)
        unit = jnp.where(largest > 0, largest * share, 1)
        away = away / jnp.where(share > 0, share, 1)
        return self._replace(standard=Standard(away, middle, unit))


class Modelled(eqx.Module):
    """A method with a model; its state is a named tuple whose first field is ``record``.

    Args:
        population: points in a batch; static.
        repeats: evaluations of each point, whose mean counts; static.
        points: how many are remembered; static. Then the oldest makes room, but never the best.
        first: random points before the model is asked; static. ``None``: the method's own number.
        spread: of the first points where there are no bounds, in units of the scale; a leaf,
            above 0. Between two bounds they are spread evenly.
        limits: when the search ends by itself.
    """

    population: int = eqx.field(default=1, static=True)
    repeats: int = eqx.field(default=1, static=True)
    points: int = eqx.field(default=128, static=True)
    first: int | None = eqx.field(default=None, static=True)
    spread: Any = 1.0
    limits: Limits = Limits()

    def __check_init__(self) -> None:
        for name in ("population", "repeats", "points", "first"):
            number = getattr(self, name)
            if number is not None and (type(number) is not int or number < 1):
                raise self._refusal(f"{name} is {number!r}", "give a whole number of at least 1")
        if self.population >= self.points:
            raise self._refusal(
                f"a batch of {self.population} points leaves no room among {self.points}",
                "make points larger",
            )

    def _refusal(self, what: str, fix: str) -> MethodError:
        return MethodError(what, where=f"parafree.blackbox.{type(self).__name__}", fix=fix)

    # What a method says -------------------------------------------------------------------

    @abstractmethod
    def begin(self, key: jax.Array, record: Record) -> Any:
        """Return the state in which nothing was learned yet."""

    @abstractmethod
    def learn(self, key: jax.Array, state: Any) -> Any:
        """Return the state whose model knows the record; at least one value in it is finite."""

    @abstractmethod
    def propose(self, key: jax.Array, state: Any) -> jax.Array:
        """Return the next points (q, d)."""

    def few(self, dimension: int) -> int:
        """Return how many random points come first."""
        return self.first or min(2 * dimension + 2, self.points)

    # The contract -------------------------------------------------------------------------

    def init(self, key: jax.Array, p: Any) -> Any:
        """Return the state of a search around ``p``: a space, a region, or a pytree."""
        where = frame(p)
        m, d, dtype = self.points, where.dimension, where.dtype
        best = Best(jnp.zeros(d, dtype), jnp.full((), jnp.inf, dtype))
        zero = jnp.zeros((), dtype)
        record = Record(
            frame=where,
            best=best,
            progress=fresh(dtype),
            x=jnp.zeros((m, d), dtype),
            values=jnp.full((m, self.repeats), jnp.inf, dtype),
            mean=jnp.full(m, jnp.inf, dtype),
            standard=Standard(jnp.zeros(m, dtype), zero, zero + 1),
            age=jnp.full(m, -1, jnp.int32),
            told=jnp.int32(0),
            asked=jnp.zeros((self.population, d), dtype),
        )
        return self.begin(key, record)

    def ask(self, key: jax.Array, state: Any) -> tuple[Any, Any]:
        """Return a batch of candidates and the state that remembers them."""
        record = state.record
        u = even(key, record.asked.shape, record.asked.dtype)
        first = record.frame.scatter(u, self.spread)
        first = first.at[0].set(jnp.where(record.told == 0, 0, first[0]))  # the start
        ready = self._ready(record) & ~ended(record.progress)
        x = jax.lax.cond(ready, lambda: self.propose(turned(key, 1), state), lambda: first)
        sound = jnp.isfinite(x).all(axis=1, keepdims=True)
        x = snap(record.frame, record.frame.inside(jnp.where(sound, x, first)))
        candidates = record.frame.points(jnp.repeat(x, self.repeats, axis=0))
        return candidates, state._replace(record=record._replace(asked=x))

    def tell(self, key: jax.Array, state: Any, candidates: Any, values: Any) -> tuple[Any, Info]:
        """Take in the values of the candidates asked for last, in their order."""
        old = state.record
        x = jnp.repeat(old.asked, self.repeats, axis=0)
        values = clean(values, old.frame.feasible(x), old.frame.dtype)
        over = ended(old.progress)
        record = self._noted(old, values.reshape(self.population, self.repeats))
        quiet = jnp.where(over, old.progress.status, jnp.int32(Status.NOT_FINITE))
        progress = taken(
            jnp.isfinite(values).any() & ~over,
            self._progress(record),
            old.progress._replace(status=quiet),
        )
        kept = old._replace(best=record.best)  # all that a search which has ended still learns
        record = taken(over, kept, record)._replace(progress=progress)
        state = state._replace(record=record)
        state = jax.lax.cond(
            self._ready(record) & ~over, lambda: self._learned(key, state), lambda: state
        )
        spread = jnp.sqrt(jnp.mean((old.asked - record.best.x) ** 2))
        finite = jnp.sum(jnp.isfinite(values), dtype=jnp.int32)
        return state, Info(jnp.min(values), spread, finite, progress.status)

    def best(self, state: Any) -> Any:
        """Return the point with the smallest value; the start before there is one."""
        return state.record.frame.point(state.record.best.x)

    # Pieces of it -------------------------------------------------------------------------

    def _ready(self, record: Record) -> jax.Array:
        few = min(self.few(record.frame.dimension), self.points)
        return (jnp.sum(record.known) >= few) & jnp.isfinite(record.mean).any()

    def _learned(self, key: jax.Array, state: Any) -> Any:
        new = self.learn(key, state)
        parts = jax.tree.leaves(new._replace(record=()))
        floats = [x for x in parts if jnp.issubdtype(x.dtype, jnp.floating)]
        sound = jnp.stack([jnp.isfinite(x).all() for x in [*floats, jnp.zeros(())]]).all()
        return taken(sound, new, state)

    def _noted(self, record: Record, values: jax.Array) -> Record:
        """Return the record that holds the points asked for last."""
        q = values.shape[0]
        mean = means(values)
        i = jnp.argmin(mean)
        best = Best(record.asked[i], mean[i])
        best = taken(mean[i] < record.best.value, best, record.best)
        stays = jnp.argmin(record.mean)
        age = record.age.at[stays].set(jnp.iinfo(jnp.int32).max)
        age = jnp.where(record.known, age, -1)
        rows = jnp.argsort(age, stable=True)[:q]
        noted = record._replace(
            best=best,
            x=record.x.at[rows].set(record.asked),
            values=record.values.at[rows].set(values),
            mean=record.mean.at[rows].set(mean),
            age=record.age.at[rows].set(record.told + jnp.arange(q, dtype=jnp.int32)),
            told=record.told + q,
        )
        return noted.standardised()

    def _progress(self, record: Record) -> Progress:
        d = record.frame.dimension
        return advance(record.progress, record.best.value[None], self.population, d, self.limits)


def means(values: jax.Array) -> jax.Array:
    """Return the mean of the finite values of each row; +inf where there is none."""
    finite = jnp.isfinite(values)
    count = jnp.sum(finite, axis=1)
    total = jnp.sum(jnp.where(finite, values, 0), axis=1)
    mean = total / jnp.maximum(count, 1).astype(values.dtype)
    return jnp.where(count > 0, mean, jnp.inf)


def snap(frame: Frame, x: jax.Array) -> jax.Array:
    """Return x (n, d) in the middle of their cells, where a space has values of its own."""
    if not isinstance(frame.form, Space):
        return x
    u = frame.form.encode(frame.points(x)).astype(x.dtype)
    return (u - frame.origin) / frame.scale
