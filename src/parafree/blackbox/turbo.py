"""TuRBO: a Gaussian process is asked within a region of trust only, for many coordinates.

David Eriksson, Michael Pearce, Jacob R. Gardner, Ryan Turner, Matthias Poloczek, "Scalable Global
Optimization via Local Bayesian Optimization", NeurIPS 2019, arXiv:1910.01739.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from parafree.blackbox._frame import even
from parafree.blackbox._gaussian_process import UNIT_CUBE, Hyper, condition, first_guess, fit
from parafree.blackbox._modelled import Modelled, Record, snap
from parafree.blackbox._pathwise import draw_functions
from parafree.blackbox._sampled import choose, taken
from parafree.blackbox._threefry import turned
from parafree.core.card import Card

_FIRST, _LEAST, _MOST = 0.8, 0.5**7, 1.6  # lengths of a region, as shares of the whole
_WINS = 3  # batches in a row that found something better, after which it grows
_BETTER = 1e-3  # how much better, as a share of the value
_MOVED = 20  # coordinates in which a candidate differs from the centre, on average
_EACH, _CANDIDATES = 100, 5000  # candidates for each coordinate, and at most


class Trust(NamedTuple):
    """How far the model is trusted, and how that went."""

    length: jax.Array  # (), share of the distance between two bounds
    wins: jax.Array  # (), int32, batches in a row that found something better
    losses: jax.Array  # (), int32, batches in a row that did not


class TuRBOState(NamedTuple):
    """Where TuRBO stands. The record holds the points of the present region alone."""

    record: Record
    hyper: Hyper  # of the kernel, for values of mean 0 and deviation 1
    region: Trust


class TuRBO(Modelled):
    """Minimise by a Gaussian process that is trusted around the best point only.

    For some thousand values of functions of 10 to 200 numbers. The region grows where it finds
    better points, shrinks where it does not, and begins anew elsewhere once it is tiny.

    Args:
        population: points in a batch; static. Each is the lowest point of another function drawn
            from the process.
        repeats: evaluations of each point, whose mean counts; static.
        points: how many are remembered; static. Then the oldest makes room, but never the best.
        first: random points before the model is asked; static. ``None`` takes 2 d.
        spread: of the first points where there are no bounds, in units of the scale; a leaf,
            above 0. Between two bounds they are spread evenly.
        limits: when the search ends by itself. A region that begins anew does not end it.
        steps: of the fit of the kernel after each batch; static.

    Returns:
        An ask-and-tell method. ``info`` is the room's record; its status says how the search ended.

    Raises:
        MethodError: a number is no whole number of at least 1, or a batch leaves no room.

    Cost:
        A batch takes O(steps m^3 + n m d) operations for m points remembered and n = 100 d
        candidates, at most 5000, and O(m^2 + n m) memory.

    Source:
        arXiv:1910.01739, sections 2 and A: one region (TuRBO-1), its lengths and tolerances.

    Differs:
        Candidates are random and not a Sobol sequence. Functions are drawn by random waves and
        corrected (arXiv:2002.09309), not by Lanczos. Values have mean 0, not median 0. The kernel's
        numbers have a prior (arXiv:2402.02229) in place of bounds, and their fit goes on from the
        last ones. First points are independent and not a Latin hypercube. A region without bounds
        is as wide as four units of the scale. Choices count as numbers.

    Example:
        >>> from parafree import Real, Space, run
        >>> space = Space({f"x{i}": Real(-5.0, 5.0) for i in range(10)})
        >>> bowl = lambda p: sum((p[f"x{i}"] - 1) ** 2 for i in range(10))
        >>> result = run(TuRBO(points=64), bowl, space, jax.random.key(0), steps=30)
        >>> bool(result.value < 5)  # of random points the best is about 30
        True
    """

    population: int = eqx.field(default=4, static=True)
    points: int = eqx.field(default=256, static=True)
    steps: int = eqx.field(default=15, static=True)

    def few(self, dimension: int) -> int:
        """Return how many random points come first."""
        return self.first or min(2 * dimension, self.points // 2)

    def begin(self, key: jax.Array, record: Record) -> TuRBOState:
        """Return the state in which nothing was learned yet."""
        d, dtype = record.frame.dimension, record.frame.dtype
        return TuRBOState(record, first_guess(d, dtype), whole(dtype))

    def learn(self, key: jax.Array, state: TuRBOState) -> TuRBOState:
        """Go on with the fit of the kernel, and change the region's length."""
        record, y = state.record, state.record.standard.heights
        d, q = record.frame.dimension, self.population
        hyper = fit(state.hyper, record.x, y, record.known, self.steps)
        patience = math.ceil(max(4, d) / q)
        new = record.age >= record.told - q
        judged = jnp.sum(record.known & ~new) >= min(self.few(d), self.points - q)
        region = resized(state.region, improved(record, new), patience)
        region = choose(judged, region, state.region)
        state = TuRBOState(record, hyper, region)
        return taken(region.length < _LEAST, self._anew(record), state)

    def propose(self, key: jax.Array, state: TuRBOState) -> jax.Array:
        """Return the lowest points of some functions, drawn from what is known."""
        record, y = state.record, state.record.standard.heights
        x = self._candidates(key, state, min(_EACH * record.frame.dimension, _CANDIDATES))
        posterior = condition(state.hyper, record.x, y, record.known)
        heights = draw_functions(turned(key, 1), posterior, x, self.population)
        feasible = record.frame.feasible(x)
        if feasible is not None:
            heights = jnp.where(feasible, heights, jnp.inf)
        return x[lowest(heights)]

    def _candidates(self, key: jax.Array, state: TuRBOState, count: int) -> jax.Array:
        """Return points (count, d) of the region, most of them in a few coordinates only."""
        record, where = state.record, state.record.frame
        centre = record.x[jnp.argmin(record.mean)]
        half = sides(state.hyper, state.region.length) / 2
        low, high = where.clipped(centre - half), where.clipped(centre + half)
        u = even(key, (count, 2 * where.dimension), where.dtype)
        u, draw = jnp.split(u, 2, axis=1)
        moved = draw < _MOVED / where.dimension
        moved = moved | (draw == draw.min(axis=1, keepdims=True))  # one at least
        return snap(where, jnp.where(moved, low + u * (high - low), centre))

    def _anew(self, record: Record) -> TuRBOState:
        """Return the state of a new region, which knows nothing of the last one."""
        nothing, none = jnp.full_like(record.mean, jnp.inf), jnp.full_like(record.age, -1)
        return self.begin(jnp.zeros(()), record._replace(mean=nothing, age=none))


def whole(dtype: Any) -> Trust:
    """Return the region that a run begins with."""
    return Trust(jnp.asarray(_FIRST, dtype), jnp.int32(0), jnp.int32(0))


def resized(region: Trust, better: jax.Array, patience: int) -> Trust:
    """Return a region twice as long after three wins, half as long after that many losses.

    Example:
        >>> region = Trust(jnp.float32(0.8), jnp.int32(2), jnp.int32(0))
        >>> print(float(resized(region, jnp.bool(True), patience=5).length))
        1.600000023841858
    """
    wins, losses = jnp.where(better, region.wins + 1, 0), jnp.where(better, 0, region.losses + 1)
    grows, shrinks = wins >= _WINS, losses >= patience
    longer = jnp.minimum(2 * region.length, _MOST)
    length = jnp.where(grows, longer, jnp.where(shrinks, region.length / 2, region.length))
    return Trust(length, jnp.where(grows, 0, wins), jnp.where(shrinks, 0, losses))


def improved(record: Record, new: jax.Array) -> jax.Array:
    """Say whether the new rows (m,) hold a value that is clearly below all others."""
    before = jnp.min(jnp.where(new, jnp.inf, record.mean))
    bound = jnp.where(jnp.isfinite(before), before - _BETTER * jnp.abs(before), jnp.inf)
    return jnp.min(jnp.where(new, record.mean, jnp.inf)) < bound


def sides(hyper: Hyper, length: jax.Array) -> jax.Array:
    """Return the lengths (d,) of a region's sides: longer where the function changes slowly."""
    return UNIT_CUBE * length * jnp.exp(hyper.lengths - jnp.mean(hyper.lengths))


def lowest(heights: jax.Array) -> jax.Array:
    """Return for each row of heights (q, n) where it is lowest; no place twice.

    Example:
        >>> print(lowest(jnp.array([[3.0, 1.0, 2.0], [5.0, 0.0, 4.0]])))
        [1 2]
    """

    def one(taken: jax.Array, row: jax.Array) -> tuple[jax.Array, jax.Array]:
        place = jnp.argmin(jnp.where(taken, jnp.inf, row)).astype(jnp.int32)
        return taken.at[place].set(True), place

    return jax.lax.scan(one, jnp.zeros(heights.shape[1], bool), heights)[1]


card = Card(
    method=TuRBO,
    contract="asktell",
    paper="Eriksson, Pearce, Gardner, Turner, Poloczek 2019, arXiv:1910.01739",
    reference="the region's rules in NumPy; scikit-learn's posterior for the drawn functions",
    needs={"values"},
    free_of={"gradient", "learning rate", "step size", "population size"},
    example=lambda: TuRBO(points=24, first=5, steps=4),
)
