"""Builds a gradient transform from a method's two functions, with the guards that all share.

What the method sees: trees without integer leaves, in one dtype that is at least float32, and a
gradient that is finite. What the user gets: updates in the parameters' own dtypes; a step whose
gradient is not finite changes nothing and is counted; a diagnosis in the state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from parafree.core.errors import MethodError
from parafree.optim import _diagnosis, _norms
from parafree.optim._diagnosis import Diagnosis
from parafree.optim._tree import dtype_of, narrow, require_real, wide, wide_like


class State(NamedTuple):
    """The state of every transform of this room."""

    method: Any  # the method's own record
    diagnosis: Diagnosis


class Gradient(NamedTuple):
    """A gradient, with norms that were needed to know whether it is finite."""

    tree: Any  # as the parameters
    norms: tuple[jax.Array, ...]  # of every leaf, (), in the order of jax.tree.leaves
    norm: jax.Array  # (), of the whole
    finite: jax.Array  # (), bool, whether the step is taken

    def bounded(self) -> Any:
        """Return the gradient anew, zero if it is not finite, and so that no square overflows.

        To be called where it is used, also in a function of the record that is kept: whatever is
        computed before is written to memory in order to get there.
        """
        return jax.tree.map(lambda g: jnp.where(self.finite, self._unit * g, 0), self.tree)

    def dot(self, tree: Any) -> jax.Array:
        """Return the inner product of the bounded gradient and a tree; infinite if it overflows."""
        parts = jax.tree.map(lambda g, x: jnp.sum(g * x), self.tree, tree)
        return self._unit * sum(jax.tree.leaves(parts), jnp.zeros_like(self.norm))

    @property
    def _unit(self) -> jax.Array:
        top = 0.1 * jnp.finfo(self.norm.dtype).max ** 0.5  # float32: 2e18
        return jnp.minimum(1, jnp.asarray(top, self.norm.dtype) / jnp.maximum(self.norm, 1))


class Step(NamedTuple):
    """What a method wants to do."""

    updates: (
        Any  # to be added to the parameters: as these, or a function of the record that is kept
    )
    state: Any  # the method's new record
    rate: jax.Array  # (), the effective learning rate
    size: jax.Array | None = None  # |updates|; None: to be computed
    whole: Any = None  # what that is a share of, of the record that is kept; None: the parameters
    at_guess: jax.Array | bool = False  # an estimated distance still is the initial guess
    taken: jax.Array | None = None  # (), bool, whether it is; None: where the gradient is finite


def transform(
    name: str,
    init: Callable[[Any], Any],
    step: Callable[[Gradient, Any, Any, jax.Array], Step],
    *,
    holds: bool = False,
) -> optax.GradientTransformationExtraArgs:
    """Build a transform.

    Args:
        name: the method's name, for errors.
        init: ``init(params)`` returns the method's record; it gets the user's parameters, without
            the leaves that may not be moved, in their own dtypes.
        step: ``step(gradient, record, params, count)`` returns a :class:`Step`; ``params`` are
            wide, ``count`` is the number of steps taken before. Every number in ``record`` keeps
            its dtype. Updates that are given as a function of the record that is kept (the new one,
            or the old one if the step is not taken) are not written to memory before they are
            added. Give ``size`` where it is had from scalars.
        holds: the method itself leaves its record as it is where the step is not taken, in fewer
            passes over memory than a choice between the old record and the new one takes.

    Raises:
        MethodError: a leaf is complex, or ``update`` was called without the parameters.
    """

    def start(params: Any) -> State:
        require_real(params, name)
        state = State(init(wide_leaves_only(params)), _diagnosis.begin())
        # Every array in memory of its own, so that state and parameters can be donated.
        return jax.tree.map(lambda x: jnp.array(x, copy=True), state)

    def update(updates: Any, state: State, params: Any = None, **extra: Any) -> tuple[Any, State]:
        if params is None:
            raise MethodError(
                f"{name} needs the parameters as well as the gradient",
                where=f"parafree.optim.{name}().update",
                fix="call update(gradient, state, params)",
            )
        return _update(step, updates, state, params, holds=holds)

    return optax.GradientTransformationExtraArgs(start, update)


def wide_leaves_only(params: Any) -> Any:
    """Return the parameters without the leaves that may not be moved."""
    return jax.tree.map(lambda p, w: None if w is None else p, params, wide(params))


def _update(step: Any, grads: Any, state: State, params: Any, *, holds: bool) -> tuple[Any, State]:
    dtype, tree, p = dtype_of(params), wide_like(grads, params), wide(params)
    norms = _norms.leaf_norms(tree)
    norm = _norms.hypot(norms, dtype)
    finite = jnp.isfinite(norm)
    gradient = Gradient(tree, norms, norm, finite)
    done = step(gradient, state.method, p, state.diagnosis.steps)
    # Nothing but what is kept is used from here on: anything else would be written out as well.
    finite = finite if done.taken is None else done.taken
    kept = done.state if holds else choose(finite, done.state, state.method)

    def updates() -> Any:
        return done.updates(kept) if callable(done.updates) else done.updates

    def relative_update() -> jax.Array:
        size = _norms.norm(updates, dtype) if done.size is None else done.size
        # From a start at zero the first steps change everything, whatever their size: at most 1.
        whole = p if done.whole is None else done.whole(kept)
        whole = jnp.maximum(_norms.norm(whole, dtype), size)
        return size / jnp.maximum(whole, jnp.finfo(dtype).tiny)

    taken = _diagnosis.follow(
        state.diagnosis, done.rate, jnp.asarray(done.at_guess), gradient.norm, relative_update
    )
    new = State(kept, choose(finite, taken, _diagnosis.skip(state.diagnosis)))
    # Changes nothing, and is known after the measurement alone: so the parameters, which that
    # reads, can be overwritten where they are.
    finite = finite & ~(taken.pace < -1)
    moved = jax.tree.map(lambda u: jnp.where(finite, u, 0), updates())
    return narrow(moved, params), new


def choose(condition: jax.Array, a: Any, b: Any) -> Any:
    """Return one of two trees."""
    return jax.tree.map(lambda x, y: jnp.where(condition, x, y), a, b)
