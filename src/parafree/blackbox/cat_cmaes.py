"""CatCMA with margin: CMA-ES for numbers, whole numbers and options at once.

Ryoki Hamano, Masahiro Nomura, Shota Saito, Kento Uchida, Shinichi Shirakawa, "CatCMA with Margin:
Stochastic Optimization for Continuous, Integer, and Categorical Variables", GECCO 2025,
arXiv:2504.07884.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from parafree.blackbox import _categorical, _margin
from parafree.blackbox._categorical import Options
from parafree.blackbox._frame import Frame
from parafree.blackbox._kinds import Kinds, kinds_of
from parafree.blackbox._margin import Margin
from parafree.blackbox._progress import Status, worse
from parafree.blackbox._ranking import weigh
from parafree.blackbox._sampled import Best, Core, Sampled
from parafree.blackbox.cmaes import CMAES, CMAESState, Moments
from parafree.core.card import Card

_NORMAL = CMAES()
_WAIT = 20  # generations, at least, without a lower value after which a run is over
_TRIES = 3  # how often every option should have been tried by then


class CatCMAESState(NamedTuple):
    """Where CatCMA with margin stands; d coordinates of which g are drawn normally."""

    core: Core
    normal: CMAESState  # of the g coordinates; of one that stands for nothing where there are none
    margin: Margin  # of the whole numbers
    options: Options  # of the choices
    lowest: jax.Array  # (), the lowest value that was found in this run
    waited: jax.Array  # (), share of the patience that has passed since then


class CatMoments(NamedTuple):
    """What a generation tells: of coordinates that are drawn normally, and of discrete ones."""

    normal: Moments
    served: jax.Array  # (m,), bool, a selected candidate had left the mean's whole number
    chosen: jax.Array  # (c, k), the weight of the candidates that chose each option
    size: jax.Array  # (), int32, candidates


class CatCMAES(Sampled):
    """Minimise over numbers, whole numbers and options at once.

    Numbers and whole numbers are drawn from one normal distribution, whose covariance is learned,
    and the latter rounded; options are drawn from distributions of their own. No variable ever
    settles: every value keeps a probability of being tried again.

    Args:
        population: candidates in a batch, at least 4; static. ``None`` takes 4 + 3 log d.
        spread: the first step size, in units of the scale; a leaf, above 0.
        limits: when the search ends by itself.

    Returns:
        An ask-and-tell method. ``info`` is the room's record; its status says how the search ended.

    Raises:
        MethodError: ``population`` is no whole number of at least 4.

    Cost:
        That of :class:`parafree.blackbox.CMAES`, a solution of g equations where there are whole
        numbers, and O(n m k) for m choices among k options.

    Source:
        arXiv:2504.07884, algorithm 1 and section 4; the authors' implementation for constants.

    Differs:
        Bounds are met by mirroring, without a penalty. Whole numbers in a logarithmic range have
        cells as wide as their ratio. A run ends as well when no lower value was found for as long
        as it takes to try each option a few times.

    Example:
        >>> from parafree import Choice, Int, Real, Space, run
        >>> space = Space(x=Real(-3, 3), n=Int(-5, 5), kind=Choice(["a", "b", "c"]))
        >>> bowl = lambda p: (p["x"] - 1) ** 2 + (p["n"] - 2) ** 2 + (p["kind"] != 1)
        >>> result = run(CatCMAES(), bowl, space, jax.random.key(0), steps=80)
        >>> print(result.p["x"].round(2), result.p["n"], result.p["kind"])
        1.0 2 1
    """

    def draws(self, dimension: int) -> int:
        """Return how many standard normal numbers make a candidate; the last may stand for none."""
        return dimension + 1

    def begin(self, core: Core) -> CatCMAESState:
        """Return the state in which nothing was learned yet."""
        kinds, dtype = _kinds(core.frame), core.frame.dtype
        columns = _columns(kinds, core.frame.dimension)
        mean = _padded(core.mean)[columns]
        inner = core._replace(
            frame=_part(core.frame, columns),
            mean=mean,
            best=Best(mean, core.best.value),
            asked=jnp.zeros((core.asked.shape[0], len(columns)), dtype),
        )
        return CatCMAESState(
            core,
            _NORMAL.begin(inner),
            _margin.start(len(kinds.whole), dtype),
            _categorical.start(kinds.counts, dtype) if kinds.counts else _no_options(dtype),
            jnp.full((), jnp.inf, dtype),
            jnp.zeros((), dtype),
        )

    def place(self, state: CatCMAESState, draws: jax.Array) -> jax.Array:
        """Return rounded normal coordinates, and the middles of the cells of options."""
        kinds, d = _kinds(state.core.frame), state.core.frame.dimension
        x = self._normal_x(state, draws[:, _columns(kinds, d)])
        whole = np.arange(len(kinds.continuous), len(kinds.gaussian))
        # Beyond its bounds a whole number is its last one; others are mirrored by the frame.
        x = x.at[:, whole].set(kinds.cells.middle(x[:, whole])) if kinds.whole else x
        placed = jnp.zeros((draws.shape[0], d + 1), x.dtype)
        placed = placed.at[:, _columns(kinds, d)].set(x)[:, :d]
        if not kinds.options:
            return placed
        counts = jnp.asarray(kinds.counts, x.dtype)
        u = (_picked(kinds, state, draws).astype(x.dtype) + 0.5) / counts
        return placed.at[:, np.array(kinds.options)].set(4 * u - 2)

    def axes(self, state: CatCMAESState) -> jax.Array:
        """Return columns (d, d) that are one deviation long; an option's is 1."""
        axes = _stretch(_kinds(state.core.frame), state)[:, None] * _NORMAL.axes(state.normal)
        return _among_all(state, axes)

    def inverse_axes(self, state: CatCMAESState) -> jax.Array:
        """Return the inverse (d, d) of the axes."""
        return _among_all(state, self._inverse(state))

    def draws_at(self, state: CatCMAESState, x: jax.Array) -> jax.Array:
        """Return draws (n, d + 1) that are placed at x (n, d), or in the same cells."""
        kinds, d = _kinds(state.core.frame), state.core.frame.dimension
        columns = _columns(kinds, d)
        padded = jnp.concatenate([x, jnp.zeros_like(x[:, :1])], axis=1)
        away = padded[:, columns] - state.normal.core.mean
        z = jnp.zeros_like(padded).at[:, columns].set(away @ self._inverse(state).T)
        if not kinds.options:
            return z
        options = np.array(kinds.options)
        middle = _categorical.middle(state.options, (x[:, options] + 2) / 4, kinds.counts)
        return z.at[:, options].set(middle)

    def deviation(self, state: CatCMAESState) -> jax.Array:
        """Return that of the continuous coordinates; where there are none, that of the start.

        Whole numbers and options never settle, so their deviations say nothing about the end.
        """
        kinds, d = _kinds(state.core.frame), state.core.frame.dimension
        if not kinds.continuous:
            return jnp.full(d, state.core.first)
        normal = _NORMAL.deviation(state.normal)[: len(kinds.continuous)]
        return jnp.zeros(d, normal.dtype).at[np.array(kinds.continuous)].set(normal)

    def learn(
        self, state: CatCMAESState, draws: jax.Array, values: jax.Array, count: jax.Array
    ) -> CatCMAESState:
        """Move the normal distribution, keep its margin, move the options."""
        return self.absorb(state, self.gather(state, draws, values, count))

    def gather(
        self, state: CatCMAESState, draws: jax.Array, values: jax.Array, count: jax.Array
    ) -> CatMoments:
        """Return the weighted sums over a generation."""
        kinds = _kinds(state.core.frame)
        z = draws[:, _columns(kinds, state.core.frame.dimension)]
        weights = weigh(values, count).positive
        served = jnp.zeros(len(kinds.whole), bool)
        chosen = jnp.zeros_like(state.options.share)
        if kinds.whole:
            z, served = self._centred(state, z, weights > 0)
        if kinds.options:
            picked = _picked(kinds, state, draws)
            chosen = _categorical.chosen(picked, weights, max(kinds.counts))
        normal = _NORMAL.gather(state.normal, z, values, count)
        return CatMoments(normal, served, chosen, jnp.asarray(count, jnp.int32))

    def absorb(self, state: CatCMAESState, told: CatMoments) -> CatCMAESState:
        """Return the state moved by these sums."""
        kinds = _kinds(state.core.frame)
        before = state.normal.core._replace(progress=state.core.progress)
        normal = _NORMAL.absorb(state.normal._replace(core=before), told.normal)
        margin, options = state.margin, state.options
        if kinds.whole:
            normal, margin = _corrected(kinds, normal, margin, told.served)
        if kinds.options:
            least = _margin.least_of(kinds.discrete)
            options = _categorical.learn(options, told.chosen, kinds.counts, least)
        columns = _columns(kinds, state.core.frame.dimension)
        mean = _padded(jnp.zeros_like(state.core.mean)).at[columns].set(normal.core.mean)
        core = state.core._replace(mean=mean[:-1], sigma=normal.core.sigma)
        # What a model has guessed is no value that was found.
        lowest = jnp.minimum(state.lowest, core.best.value)
        waited = state.waited + 1 / _patience(kinds, told.size, core.sigma.dtype)
        waited = jnp.where(lowest < state.lowest, jnp.zeros_like(waited), waited)
        return CatCMAESState(core, normal, margin, options, lowest, waited)

    def renew(self, state: CatCMAESState) -> CatCMAESState:
        """Return the state with the root of the covariance, if that is due."""
        return state._replace(normal=_NORMAL.renew(state.normal))

    def trouble(self, state: CatCMAESState) -> jax.Array:
        """Return STAGNATED where every option was tried in vain, or what CMA-ES has."""
        kinds = _kinds(state.core.frame)
        patience = jnp.asarray(self.limits.patience, state.waited.dtype)
        late = bool(kinds.discrete) & (state.waited > patience)
        stagnated = jnp.where(late, jnp.int32(Status.STAGNATED), jnp.int32(Status.OK))
        return worse(stagnated, _NORMAL.trouble(state.normal))

    def _normal_x(self, state: CatCMAESState, z: jax.Array) -> jax.Array:
        kinds, mean = _kinds(state.core.frame), state.normal.core.mean
        x = _NORMAL.place(state.normal, z)
        return mean + _stretch(kinds, state) * (x - mean) if kinds.whole else x

    def _inverse(self, state: CatCMAESState) -> jax.Array:
        """Return the inverse (g, g) of the axes of what is drawn normally."""
        return _NORMAL.inverse_axes(state.normal) / _stretch(_kinds(state.core.frame), state)

    def _centred(
        self, state: CatCMAESState, z: jax.Array, selected: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """Return the draws (n, g) of the centred candidates, and which whole numbers were left."""
        kinds = _kinds(state.core.frame)
        m = len(kinds.continuous)
        x, mean = self._normal_x(state, z)[:, m:], state.normal.core.mean[m:]
        moved, served = _margin.centre(kinds.cells, mean, x, selected)
        return z + (moved - x) @ self._inverse(state)[:, m:].T, served


def _picked(kinds: Kinds, state: CatCMAESState, draws: jax.Array) -> jax.Array:
    return _categorical.pick(state.options, draws[:, np.array(kinds.options)])


def _among_all(state: CatCMAESState, normal: jax.Array) -> jax.Array:
    """Return a matrix (d, d) that is this one (g, g) where coordinates are drawn normally."""
    kinds, d = _kinds(state.core.frame), state.core.frame.dimension
    columns = _columns(kinds, d)
    return jnp.eye(d + 1, dtype=normal.dtype).at[np.ix_(columns, columns)].set(normal)[:d, :d]


def _corrected(
    kinds: Kinds, normal: CMAESState, margin: Margin, served: jax.Array
) -> tuple[CMAESState, Margin]:
    m, least = len(kinds.continuous), _margin.least_of(kinds.discrete)
    deviation = _NORMAL.deviation(normal)[m:]
    mean, margin = _margin.correct(
        kinds.cells, margin, normal.core.mean[m:], deviation, served, least
    )
    core = normal.core._replace(mean=normal.core.mean.at[m:].set(mean))
    return normal._replace(core=core), margin


def _stretch(kinds: Kinds, state: CatCMAESState) -> jax.Array:
    # Where nothing is drawn normally there is a column in place of it.
    others = max(len(kinds.gaussian), 1) - len(kinds.whole)
    return jnp.concatenate([jnp.ones(others, state.margin.stretch.dtype), state.margin.stretch])


def _patience(kinds: Kinds, count: jax.Array, dtype: Any) -> jax.Array:
    """Return for how many generations a run may go on without a lower value."""
    most = max((*(3,) * bool(kinds.whole), *kinds.counts), default=2)
    tries = _TRIES * (most - 1) / _margin.least_of(kinds.discrete)
    return _WAIT + tries / jnp.asarray(count, dtype)


def _kinds(where: Frame) -> Kinds:
    return kinds_of(where.form, where.dimension)


def _columns(kinds: Kinds, dimension: int) -> np.ndarray:
    """Return the columns that are drawn normally; the one behind the last where there are none."""
    return np.array(kinds.gaussian or (dimension,))


def _padded(mean: jax.Array) -> jax.Array:
    return jnp.concatenate([mean, jnp.zeros(1, mean.dtype)])


def _part(where: Frame, columns: np.ndarray) -> Frame:
    """Return the frame of some coordinates; what it would decode to does not matter."""
    rows = (where.origin, where.scale, where.low, where.high)
    origin, scale, low, high = (_padded(row)[columns] for row in rows)
    return Frame(origin, scale, low, high, None)


def _no_options(dtype: Any) -> Options:
    none, zero = jnp.zeros((0, 1), dtype), jnp.zeros((), dtype)
    return Options(none, none, zero, zero + 1, none, none)


card = Card(
    method=CatCMAES,
    contract="asktell",
    paper="Hamano, Nomura, Saito, Uchida, Shirakawa 2025, arXiv:2504.07884",
    reference="the paper's rules in NumPy, draw for draw; the authors' success rates on SphereInt",
    needs={"values"},
    free_of={"gradient", "learning rate", "population size", "encoding of discrete variables"},
)
