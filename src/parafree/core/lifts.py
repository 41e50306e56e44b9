"""Lifts: a gradient transform, or a black-box method, as a search that one driver can run."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax

from parafree.core.contracts import Objective, Search
from parafree.core.errors import MethodError


class Status(IntEnum):
    """What became of a step; inside ``jit`` an int32."""

    OK = 0
    NOT_FINITE = 1  # the objective, or its gradient, was NaN or infinite


class Best(NamedTuple):
    """The best point seen so far."""

    p: Any  # as the parameters
    value: jax.Array  # (), the objective there; infinite before a finite value was seen


class TransformState(NamedTuple):
    """Where a gradient method stands."""

    p: Any  # the current parameters
    value: jax.Array  # (), the objective at p
    grad: Any  # its gradient at p, as p
    inner: Any  # the transform's own state
    best: Best


class TransformInfo(NamedTuple):
    """What a step of a gradient method found."""

    value: jax.Array  # (), the objective after the step
    grad_norm: jax.Array  # (), float32, Euclidean norm of the gradient after the step
    status: jax.Array  # (), int32, a Status


class TransformSearch(eqx.Module):
    """A gradient transform of optax as a search.

    The objective and its gradient are computed together, once at the start and once a step. The
    transform is given ``value``, ``grad`` and ``value_fn``, so line searches work as well.

    Args:
        transform: an ``optax.GradientTransformation``, with or without extra arguments, or a
            module with the same ``init`` and ``update``.

    Example:
        >>> import optax
        >>> from parafree import run
        >>> result = run(TransformSearch(optax.sgd(0.5)), lambda p: (p - 3) ** 2, 0.0,
        ...              jax.random.key(0), steps=1)
        >>> float(result.p)
        3.0
    """

    transform: Any

    def init(self, key: jax.Array, p: Any, objective: Objective) -> TransformState:
        """Return the state at ``p``."""
        _require_floating(p)
        value, grad = jax.value_and_grad(objective)(p)
        best = _better(Best(p, jnp.full_like(value, jnp.inf)), p, value)
        return TransformState(p, value, grad, self.transform.init(p), best)

    def step(
        self, key: jax.Array, state: TransformState, objective: Objective
    ) -> tuple[TransformState, TransformInfo]:
        """Move by one update, and ask for the value and the gradient there."""
        updates, inner = self._update(state, objective)
        p = jax.tree.map(_add, state.p, updates)
        value, grad = jax.value_and_grad(objective)(p)
        norm = _norm(grad)
        info = TransformInfo(value, norm, _status(jnp.isfinite(value) & jnp.isfinite(norm)))
        return TransformState(p, value, grad, inner, _better(state.best, p, value)), info

    def best(self, state: TransformState) -> Any:
        """Return the parameters with the smallest value seen."""
        return state.best.p

    def _update(self, state: TransformState, objective: Objective) -> tuple[Any, Any]:
        transform = self.transform
        if isinstance(transform, optax.GradientTransformation):
            transform = optax.with_extra_args_support(transform)
        updates, inner = transform.update(
            state.grad,
            state.inner,
            state.p,
            value=state.value,
            grad=state.grad,
            value_fn=objective,
        )
        return updates, inner


class AskTellState(NamedTuple):
    """Where a black-box method stands."""

    inner: Any  # the method's own state
    best: Best


class AskTellInfo(NamedTuple):
    """What a batch of a black-box method found."""

    value: jax.Array  # (), the smallest finite value of the batch; infinite where there is none
    status: jax.Array  # (), int32, a Status: NOT_FINITE when any value of the batch is not finite
    calls: jax.Array  # (), int32, candidates in the batch
    inner: Any  # the method's own info


class AskTellSearch(eqx.Module):
    """A black-box method as a search; a batch of candidates is one vectorised call.

    Args:
        method: keeps the contract ``AskTell``. It is told every value as it is, NaN included.
    """

    method: Any

    def init(self, key: jax.Array, p: Any, objective: Objective) -> AskTellState:
        """Return the state around ``p``, which may be a space; nothing is evaluated."""
        inner = self.method.init(key, p)
        return AskTellState(inner, Best(self.method.best(inner), jnp.asarray(jnp.inf, float)))

    def step(
        self, key: jax.Array, state: AskTellState, objective: Objective
    ) -> tuple[AskTellState, AskTellInfo]:
        """Ask for a batch, evaluate it, tell."""
        ask_key, tell_key = jax.random.split(key)
        candidates, inner = self.method.ask(ask_key, state.inner)
        _require_rows(candidates, state.best.p)
        values = jax.vmap(objective)(candidates).astype(state.best.value.dtype)
        inner, info = self.method.tell(tell_key, inner, candidates, values)
        finite = jnp.isfinite(values)
        first = jnp.argmin(jnp.where(finite, values, jnp.inf))
        value = jnp.where(finite[first], values[first], jnp.inf)
        best = _better(state.best, jax.tree.map(lambda x: x[first], candidates), value)
        calls = jnp.int32(values.shape[0])
        return AskTellState(inner, best), AskTellInfo(value, _status(finite.all()), calls, info)

    def best(self, state: AskTellState) -> Any:
        """Return the candidate with the smallest value seen."""
        return state.best.p


def lift(method: Any) -> Search[Any]:
    """Return the search that runs ``method``.

    Args:
        method: a search (returned as it is), an ask-and-tell method, or a gradient transform.

    Raises:
        MethodError: it is none of these.

    Example:
        >>> import optax
        >>> type(lift(optax.adam(0.1))).__name__
        'TransformSearch'
    """
    if _has(method, "init", "step", "best"):
        return method
    if _has(method, "init", "ask", "tell", "best"):
        return AskTellSearch(method)
    if _has(method, "init", "update"):
        return TransformSearch(method)
    raise MethodError(
        f"a {type(method).__name__} is no search",
        where="run(search, ...)",
        fix="give an optax transform, or an object with init, step and best, "
        "or with init, ask, tell and best",
    )


def _has(method: Any, *names: str) -> bool:
    functions: list[Callable[..., Any] | None] = [getattr(method, name, None) for name in names]
    return not isinstance(method, type) and all(callable(function) for function in functions)


def _better(best: Best, p: Any, value: jax.Array) -> Best:
    better = value < best.value  # false for NaN
    p = jax.tree.map(lambda new, old: jnp.where(better, new, old), p, best.p)
    return Best(p, jnp.where(better, value, best.value))


def _status(finite: jax.Array) -> jax.Array:
    return jnp.where(finite, jnp.int32(Status.OK), jnp.int32(Status.NOT_FINITE))


def _add(p: jax.Array, update: jax.Array) -> jax.Array:
    # Added in the wider of the two types, and rounded once to the parameter's own.
    dtype = jnp.promote_types(p.dtype, jnp.asarray(update).dtype)
    return (p.astype(dtype) + jnp.asarray(update).astype(dtype)).astype(p.dtype)


def _norm(tree: Any) -> jax.Array:
    squares = [jnp.sum(jnp.square(x.astype(jnp.float32))) for x in jax.tree.leaves(tree)]
    return jnp.sqrt(sum(squares, jnp.float32(0)))


def _require_floating(p: Any) -> None:
    for path, leaf in jax.tree.leaves_with_path(p):
        if not (hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jnp.floating)):
            raise MethodError(
                f"a gradient method cannot move a leaf of type {_kind(leaf)}",
                where=f"p{jax.tree_util.keystr(path)}",
                fix="give real floating-point parameters, and keep the rest in the objective, "
                "for example with equinox.partition",
            )


def _require_rows(candidates: Any, p: Any) -> None:
    """Refuse candidates that are not a batch of what ``best`` returns."""
    rows = jax.eval_shape(lambda tree: jax.tree.map(lambda x: x[0], tree), candidates)
    want = jax.eval_shape(lambda tree: tree, p)
    if rows != want:
        raise MethodError(
            f"ask returns candidates {rows}, but best returns {want}",
            where="ask",
            fix="give candidates the structure, shapes and dtypes of the parameters, "
            "with a leading axis on every leaf",
        )


def _kind(leaf: Any) -> str:
    return str(getattr(leaf, "dtype", type(leaf).__name__))
