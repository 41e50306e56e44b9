"""Restarts where figures have limits: an augmented Lagrangian makes an order of what is known."""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from parafree.blackbox import _lagrangian
from parafree.blackbox._lagrangian import Lagrangian
from parafree.blackbox._restarts import RestartInfo, Restarting, RestartState
from parafree.core.errors import MethodError


def check_limits(limits: Any, where: str) -> None:
    """Raise unless this is a number of limits.

    Raises:
        MethodError: it is no whole number, or below 0.
    """
    if type(limits) is not int or limits < 0:
        raise MethodError(
            f"limits is {limits!r}",
            where=f"parafree.blackbox.{where}",
            fix="give the number of figures that have a limit, 0 where none has",
        )


class Nearest(NamedTuple):
    """The best point that was evaluated: within all limits, or else the one nearest to them."""

    x: jax.Array  # (d,)
    figures: jax.Array  # (1 + k,), its value, and how far the others are beyond their limits
    violation: jax.Array  # (), how far all together; infinite before anything is known

    def after(self, x: jax.Array, figures: jax.Array) -> Nearest:
        """Return the best point when others (n, d) with figures (n, 1 + k) are known as well."""
        f, violation = figures[:, 0], violations(figures)
        least = jnp.min(violation)
        i = jnp.argmin(jnp.where(violation == least, f, jnp.inf))
        nearer, as_near = least < self.violation, least == self.violation
        better = jnp.isfinite(least) & (nearer | (as_near & (f[i] < self.figures[0])))
        new = Nearest(x[i], figures[i], least)
        return jax.tree.map(lambda a, b: jnp.where(better, a, b), new, self)


class LimitedState(NamedTuple):
    """Where the search stands."""

    runs: RestartState  # told an order in the place of values
    order: Lagrangian  # of the present run
    nearest: Nearest


def begin_nearest(runs: RestartState, limits: int) -> Nearest:
    """Return the start, of which nothing is known."""
    top = jnp.full_like(runs.best.value, jnp.inf)
    return Nearest(runs.best.x, jnp.broadcast_to(top, (1 + limits,)), top)


def violations(figures: jax.Array) -> jax.Array:
    """Return how far candidates (n, 1 + k) are beyond all limits; infinite where not known."""
    beyond = jnp.sum(jnp.maximum(figures[:, 1:], 0), axis=1)
    return jnp.where(jnp.isfinite(figures).all(axis=1), beyond, jnp.inf)


def cleaned(method: Any, state: Any, figures: Any, limits: int) -> jax.Array:
    """Return figures (n, 1 + limits) of the candidates asked for last; +inf where not finite."""
    figures = jnp.reshape(jnp.asarray(figures), (-1, 1 + limits))
    note = lambda values: method.note(state, state.core.asked, values)  # noqa: E731
    return jax.vmap(note, in_axes=1, out_axes=1)(figures)


class Limited(eqx.Module):
    """Minimise the first of several figures while the others stay at most 0.

    Args:
        method: restarts of any evolution strategy.
        limits: how many figures have limits, at least 1; static.
    """

    method: Restarting
    limits: int = eqx.field(static=True)

    def init(self, key: jax.Array, p: Any) -> LimitedState:
        """Return the state of a search around ``p``: a space, a region, or a pytree."""
        runs = self.method.init(key, p)
        order = self._fresh(runs)
        return LimitedState(runs, order, begin_nearest(runs, self.limits))

    def ask(self, key: jax.Array, state: LimitedState) -> tuple[Any, LimitedState]:
        """Return a batch of candidates and the state that remembers them."""
        candidates, runs = self.method.ask(key, state.runs)
        return candidates, state._replace(runs=runs)

    def tell(
        self, key: jax.Array, state: LimitedState, candidates: Any, values: Any
    ) -> tuple[LimitedState, RestartInfo]:
        """Take in the figures (n, 1 + limits) of the candidates asked for last."""
        runs, inner = state.runs, state.runs.inner
        figures = cleaned(self.method.method, inner, values, self.limits)
        x = self.method.method.place(inner, inner.core.asked)
        told, order = _lagrangian.judge(state.order, figures, figures, runs.filled == 0)
        restarts, runs = runs.restarts, self.method.take(runs, told)
        whole = runs.filled >= runs.run.population
        runs, info = self.method.go_on(runs, told, whole)
        order = jax.lax.cond(
            whole, lambda s: _lagrangian.learn(s, figures, x.shape[1]), lambda s: s, order
        )
        over = runs.restarts > restarts
        order = jax.tree.map(lambda a, b: jnp.where(over, a, b), self._fresh(runs), order)
        state = LimitedState(runs, order, state.nearest.after(x, figures))
        return state, info._replace(value=lowest_within(figures))

    def best(self, state: LimitedState) -> Any:
        """Return the best candidate within all limits, or the one nearest to them."""
        return state.runs.inner.core.frame.point(state.nearest.x)

    def _fresh(self, runs: RestartState) -> Lagrangian:
        where = runs.inner.core.frame
        return _lagrangian.begin(where.dimension, self.limits, where.dtype)


def lowest_within(figures: jax.Array) -> jax.Array:
    """Return the lowest value of candidates that keep all limits; infinite where none does."""
    return jnp.min(jnp.where(violations(figures) <= 0, figures[:, 0], jnp.inf))
