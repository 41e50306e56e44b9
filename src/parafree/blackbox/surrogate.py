"""A quadratic model that spares evaluations: of a generation only some candidates are evaluated.

Nikolaus Hansen, "A Global Surrogate Assisted CMA-ES", GECCO 2019; where the model is lowest is
tried as well, as in Nikolaus Hansen, "Injecting External Solutions Into CMA-ES", 2011,
arXiv:1110.4181.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from parafree.blackbox import _lagrangian
from parafree.blackbox._features import features_of
from parafree.blackbox._kinds import kinds_of
from parafree.blackbox._lagrangian import Lagrangian
from parafree.blackbox._limited import Nearest, begin_nearest, check_limits, cleaned, lowest_within
from parafree.blackbox._multipliers import aim_within
from parafree.blackbox._quadratic import (
    Quadratic,
    agreement,
    aim,
    fit,
    flat,
    prior_of,
    without_strays,
)
from parafree.blackbox._restarts import RestartInfo, Restarting, RestartState
from parafree.blackbox._sampled import choose
from parafree.blackbox._threefry import turned
from parafree.blackbox.bipop import BIPOP
from parafree.blackbox.cat_cmaes import CatCMAES
from parafree.blackbox.cmaes import CMAES
from parafree.core.card import Card
from parafree.core.errors import MethodError

_KEPT = 2.0  # points, as a multiple of the coefficients of a quadratic
_MOST = 256  # points that are kept at most, unless a batch has more
_JUDGED = 15  # latest points, at least, whose order the model is judged by


class SurrogateState(NamedTuple):
    """Where the search stands; d coordinates, of which m points are kept."""

    runs: RestartState  # its draws behind the known ones wait, the most promising first
    x: jax.Array  # (m, d), the latest points of this run, the newest first
    figures: jax.Array  # (m, 1 + limits), values first; +inf where there is none, or not finite
    model: Quadratic  # of the figures
    usable: jax.Array  # (), bool, the model knows something
    strays: jax.Array  # (), bool, some values may be far off by noise
    aim: jax.Array  # (draws,), of the point where the model is lowest
    order: Lagrangian | None  # of the present run, where there are limits
    nearest: Nearest | None


class Surrogate(eqx.Module):
    """Learn a quadratic model along the way, and evaluate only what it is not sure about.

    The most promising candidates of a generation are evaluated, a batch at a time. As soon as the
    model orders the latest points as their values do, each point judged by a model that does not
    know it, the rest of the generation gets its values from the model. The first batch of each
    generation holds the point where the model is lowest.

    Args:
        method: CMA-ES with restarts.
        batch: candidates in a batch; static.
        trust: the rank correlation (Kendall's tau) from which on the model is believed; a leaf.
        reach: how far from the mean the model is believed when it is minimised, in units of the
            root of the dimension, deviations of the distribution; a leaf.
        limits: how many figures beside the value have to stay at most 0; static. If there are any,
            values are told as (n, 1 + limits).

    Returns:
        An ask-and-tell method. ``info`` is that of a method with restarts.

    Raises:
        MethodError: the method within is not CMA-ES, or ``batch`` is no whole number above 0.

    Cost:
        For each batch that of CMA-ES and O(m^3) operations, where m, the number of points kept,
        is the number (d + 1) (d + 2) of two quadratics' coefficients, and at most 256.

    Source:
        Hansen 2019, algorithms 1 and 2; Hansen 2011 for the injected candidate; Dufossé and Hansen
        2021, hal-03196365, for models of what has limits.

    Differs:
        The model is a ridge regression with a quadratic kernel instead of a linear, a diagonal or a
        full one in turn; it is judged by the points that are left out, because with fewer points
        than coefficients it fits all that it knows. As long as many quadratics fit, one that is
        about as round as the points allow in the distribution's own coordinates is preferred to
        others; where some variables are no real numbers, the one that curves least. Candidates
        beyond the bounds are mirrored before the model sees them. Those that wait are drawn anew
        for every batch. Where the models keep the limits and are lowest is found by the method of
        multipliers, which is our own choice. Where it is told that some values are far off by
        noise, the model leaves out those that are more than five times as far from the median as
        half of them are. Options, of which the papers know nothing, have an axis each in the model,
        and the point where it is lowest begins with options of which changing one at a time found
        none lower.

    Example:
        >>> from parafree import run
        >>> valley = lambda p: 100 * (p[1] - p[0] ** 2) ** 2 + (1 - p[0]) ** 2
        >>> result = run(Surrogate(), valley, jnp.array([-1.0, 2.0]), jax.random.key(0), steps=150)
        >>> bool(result.value < 1e-6)  # 300 evaluations
        True
    """

    method: Restarting = BIPOP()
    batch: int = eqx.field(default=2, static=True)
    trust: Any = 0.6
    reach: Any = 1.0
    limits: int = eqx.field(default=0, static=True)

    def __check_init__(self) -> None:
        check_limits(self.limits, "Surrogate")
        if not isinstance(getattr(self.method, "method", None), CMAES | CatCMAES):
            raise MethodError(
                "a model needs restarts of CMA-ES",
                where="parafree.blackbox.Surrogate",
                fix="give for example BIPOP(CMAES())",
            )
        if type(self.batch) is not int or self.batch < 1:
            raise MethodError(
                f"batch is {self.batch!r}",
                where="parafree.blackbox.Surrogate",
                fix="give a whole number of at least 1",
            )

    # The contract -------------------------------------------------------------------------

    def init(self, key: jax.Array, p: Any) -> SurrogateState:
        """Return the state of a search around ``p``: a space, a region, or a pytree."""
        runs = self.method.init(key, p)
        core = runs.inner.core
        d, dtype, width = core.frame.dimension, core.frame.dtype, core.asked.shape[1]
        batch = min(self.batch, core.asked.shape[0])
        asked = jnp.zeros((batch, width), dtype)
        # Its candidates are kept within the bounds before they are placed.
        core = core._replace(asked=asked, frame=replace(core.frame, clips=False))
        runs = runs._replace(inner=self._sampled.begin(core))
        w = features_of(core.frame).width
        kept = max(min(int(_KEPT * (d + 1) * (d + 2) / 2), _MOST), 2 * batch)
        x, figures = jnp.zeros((kept, d), dtype), jnp.full((kept, 1 + self.limits), jnp.inf, dtype)
        aim, model = jnp.zeros(width, dtype), flat(w, 1 + self.limits, dtype)
        order = _lagrangian.begin(d, self.limits, dtype) if self.limits else None
        nearest = begin_nearest(runs, self.limits) if self.limits else None
        no = jnp.bool_(False)
        return SurrogateState(runs, x, figures, model, no, no, aim, order, nearest)

    def ask(self, key: jax.Array, state: SurrogateState) -> tuple[Any, SurrogateState]:
        """Return a batch of candidates and the state that remembers them."""
        method, runs = self._sampled, state.runs
        batch = runs.inner.core.asked.shape
        begin = jnp.minimum(runs.filled, runs.draws.shape[0] - batch[0])
        draws, guess, lot = self._guessed(key, state, begin)
        draws = _promising_first(draws, guess, begin, batch[0])
        runs = runs._replace(lot=lot)
        asked = jax.lax.dynamic_slice(draws, (begin, jnp.int32(0)), batch)
        aims = state.usable & (runs.filled == 0)
        asked = asked.at[-1].set(jnp.where(aims, state.aim, asked[-1]))
        draws = jax.lax.dynamic_update_slice(draws, asked, (begin, jnp.int32(0)))
        candidates, inner = method.offer(runs.inner, asked)
        return candidates, state._replace(runs=runs._replace(draws=draws, inner=inner))

    def tell(
        self, key: jax.Array, state: SurrogateState, candidates: Any, values: Any
    ) -> tuple[SurrogateState, RestartInfo]:
        """Take in the values of the candidates asked for last, in their order."""
        restarts = state.runs.restarts
        figures = cleaned(self._sampled, state.runs.inner, values, self.limits)
        state, told = self._seen(state, figures)
        model, usable, trusted = self._fitted(state)
        whole = (trusted & usable) | (state.runs.filled >= state.runs.run.population)
        runs, info = self.method.go_on(self._completed(state, model, whole & usable), told, whole)
        over = runs.restarts > restarts
        state = state._replace(
            runs=runs,
            figures=jnp.where(over, jnp.inf, state.figures),
            model=choose(usable, model, state.model),
            usable=usable & ~over,
            order=self._ordered(state, whole, over),
        )
        # Only the first batch of a generation asks for it.
        wanted = state.usable & (runs.filled == 0)
        aim = jax.lax.cond(wanted, lambda s: self._aim(s), lambda s: jnp.zeros_like(s.aim), state)
        value = lowest_within(figures) if self.limits else info.value
        return state._replace(aim=aim), info._replace(value=value)

    def _seen(self, state: SurrogateState, figures: jax.Array) -> tuple[SurrogateState, jax.Array]:
        """Return the state that knows the figures of a batch, and what CMA-ES is told of it."""
        runs, kept = state.runs, state.figures.shape[0]
        x = runs.inner.core.frame.inside(self._sampled.place(runs.inner, runs.inner.core.asked))
        state = state._replace(
            x=jnp.concatenate([x, state.x])[:kept],
            figures=jnp.concatenate([figures, state.figures])[:kept],
            nearest=None if state.nearest is None else state.nearest.after(x, figures),
        )
        told, order = figures[:, 0], state.order
        if order is not None:
            told, order = _lagrangian.judge(order, figures, state.figures, runs.filled == 0)
        return state._replace(runs=self.method.take(runs, told), order=order), told

    def best(self, state: SurrogateState) -> Any:
        """Return the candidate with the smallest value; the start before there is one.

        With limits it is the best one within them, or the nearest to them.
        """
        if state.nearest is None:
            return self.method.best(state.runs)
        return state.runs.inner.core.frame.point(state.nearest.x)

    # Limits ---------------------------------------------------------------------------------

    def _worth(self, state: SurrogateState, figures: jax.Array) -> jax.Array:
        """Return what figures (n, 1 + limits) are worth; +inf where they are not known."""
        return figures[:, 0] if state.order is None else _lagrangian.worth(state.order, figures)

    def _ordered(self, state: SurrogateState, whole: jax.Array, over: jax.Array) -> Any:
        """Return the order of what comes next: after a whole generation, or of a new run."""
        if state.order is None:
            return None
        d, dtype = state.x.shape[1], state.x.dtype
        learn = lambda order: _lagrangian.learn(order, state.figures, d)  # noqa: E731
        order = jax.lax.cond(whole, learn, lambda order: order, state.order)
        return choose(over, _lagrangian.begin(d, self.limits, dtype), order)

    # The model ------------------------------------------------------------------------------

    def _guessed(
        self, key: jax.Array, state: SurrogateState, begin: jax.Array
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Return all draws, those behind the known ones anew, and what they are expected to be.

        With them comes the lot of the next run. The room is for the largest generation, so the
        draws are made in blocks of the smallest one, as many as this generation has.
        """
        runs, method = state.runs, self._sampled
        rows, (capacity, width) = method.size(runs.inner.core.frame.dimension), runs.draws.shape
        top = jnp.finfo(runs.draws.dtype).max

        def block(i: jax.Array, carry: tuple) -> tuple:
            draws, guess, _ = carry
            fresh, drawn = self.method.draw(turned(key, i), runs, rows, width)
            at = (i * rows, jnp.int32(0))
            place = i * rows + jnp.arange(rows, dtype=jnp.int32)
            known = (place < runs.filled)[:, None]
            old = jax.lax.dynamic_slice(draws, at, (rows, width))
            new = jnp.where(known, old, self._within(runs.inner, fresh))
            height = self._worth(state, self._expected(state.model, runs.inner, new))
            height = jnp.where(state.usable, height, jnp.zeros_like(height))
            # What is no number comes last, as do those that this generation has no room for.
            wanted = (place < runs.run.population) & (height < top)
            return (
                jax.lax.dynamic_update_slice(draws, new, at),
                jax.lax.dynamic_update_slice(guess, jnp.where(wanted, height, top), at[:1]),
                drawn.lot,
            )

        guess = jnp.full(capacity, top)
        blocks = jnp.minimum(-(-runs.run.population // rows), capacity // rows)
        draws, guess, lot = jax.lax.fori_loop(0, blocks, block, (runs.draws, guess, runs.lot))
        place = jnp.arange(capacity, dtype=jnp.int32)
        return draws, jnp.where(place < begin, jnp.inf, guess), lot

    @property
    def _sampled(self) -> CMAES | CatCMAES:
        return cast("CMAES | CatCMAES", self.method.method)

    def _fitted(self, state: SurrogateState) -> tuple[Quadratic, jax.Array, jax.Array]:
        """Return a model, whether it is one, and whether it orders the latest points rightly."""
        runs, dtype = state.runs, state.x.dtype
        known, population = runs.filled.astype(dtype), runs.run.population.astype(dtype)
        latest = jnp.maximum(_JUDGED, jnp.minimum(1.2 * known, 0.75 * population))
        worth = self._worth(state, state.figures)
        worth = jnp.where(state.strays, without_strays(worth), worth)
        where = runs.inner.core.frame
        seen, kinds = features_of(where), kinds_of(where.form, where.dimension)
        prior = prior_of(where.dimension, dtype, learned=not kinds.discrete)
        inverse = seen.inverse(self._sampled.inverse_axes(runs.inner))
        model, left_out = fit(seen.of(state.x), state.figures, worth, inverse, prior, latest)
        counted = (jnp.arange(len(worth)).astype(dtype) < latest) & jnp.isfinite(worth)
        agreed = agreement(self._worth(state, left_out), worth, counted)
        usable = jnp.isfinite(model.constant).all() & jnp.isfinite(model.curvature).all()
        usable &= jnp.sum(jnp.isfinite(worth)) > 2
        return model, usable, agreed >= jnp.asarray(self.trust, dtype)

    def _expected(self, model: Quadratic, inner: Any, draws: jax.Array) -> jax.Array:
        """Return the figures (n, 1 + limits) that the model expects of draws."""
        return model.expected(features_of(inner.core.frame).of(self._sampled.place(inner, draws)))

    def _completed(self, state: SurrogateState, model: Quadratic, whole: jax.Array) -> RestartState:
        """Return the runs with values of the model where a whole generation has none."""
        runs = state.runs

        def filled(values: jax.Array) -> jax.Array:
            figures = self._expected(model, runs.inner, runs.draws)
            order = state.order
            told = figures[:, 0] if order is None else _lagrangian.squeezed(order, figures)
            waiting = jnp.arange(values.shape[0], dtype=jnp.int32) >= runs.filled
            return jnp.where(waiting, told, values)

        return runs._replace(values=jax.lax.cond(whole, filled, lambda v: v, runs.values))

    def _within(self, inner: Any, draws: jax.Array) -> jax.Array:
        """Return draws whose candidates keep the bounds without being mirrored."""
        x = self._sampled.place(inner, draws)
        moved = inner.core.frame.inside(x)
        changed = jnp.any(moved != x, axis=1, keepdims=True)
        return jnp.where(changed, self._sampled.draws_at(inner, moved), draws)

    def _aim(self, state: SurrogateState) -> jax.Array:
        """Return the draws of the point where the model is lowest within limits, not too far."""
        inner = state.runs.inner
        where, dtype = inner.core.frame, state.aim.dtype
        reach = jnp.asarray(self.reach, dtype) * jnp.sqrt(jnp.asarray(where.dimension, dtype))
        seen, mean, model = features_of(where), inner.core.mean, state.model
        if seen.choices:
            lowest = state.x[jnp.argmin(self._worth(state, state.figures))]
            options = seen.settled(model, lowest, 0)
            mean = mean.at[np.array(seen.choices)].set(options[np.array(seen.choices)])
            model = seen.among_numbers(model, options)
        around = where, mean, self._sampled.axes(inner), reach
        x = aim_within(model, *around) if self.limits else aim(model.figure(0), *around)
        draws = self._sampled.draws_at(inner, x[None])[0]
        return jnp.where(state.usable & jnp.isfinite(draws).all(), draws, jnp.zeros_like(draws))


def _promising_first(draws: jax.Array, guess: jax.Array, begin: jax.Array, count: int) -> jax.Array:
    """Return draws with the ``count`` lowest guesses from ``begin`` on; others change places."""

    def swap(i: jax.Array, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        draws, guess = carry
        here = begin + i
        there = jnp.argmin(guess).astype(jnp.int32)
        pair, back = jnp.stack([here, there]), jnp.stack([there, here])
        draws = draws.at[pair].set(draws[back])
        return draws, guess.at[there].set(guess[here]).at[here].set(jnp.inf)

    return jax.lax.fori_loop(0, count, swap, (draws, guess))[0]


card = Card(
    method=Surrogate,
    contract="asktell",
    paper="Hansen 2019, doi:10.1145/3321707.3321842",
    reference="ridge regression on monomials in NumPy; CMA-ES's evaluations on a quadratic",
    needs={"values"},
    free_of={"gradient", "learning rate", "population size"},
)
