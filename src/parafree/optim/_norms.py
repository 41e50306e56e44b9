"""Euclidean norms of trees that neither overflow nor vanish, in one pass over ordinary numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp


def leaf_norms(tree: Any) -> tuple[jax.Array, ...]:
    """Return the norm of every leaf of a tree, or of the tree that a function returns.

    What a function returns is summed as it is computed, and never written to memory.

    A sum of squares is taken as it is where it is an ordinary number. Only where one overflows or
    vanishes (float32: entries beyond 1e19 or all below 1e-15) the leaves are divided by their
    largest entries, in a second pass. A leaf that holds NaN or infinity has no finite norm.
    """

    def leaves() -> list[jax.Array]:
        return jax.tree.leaves(tree() if callable(tree) else tree)

    squares = tuple(jnp.sum(jnp.square(x)) for x in leaves())
    if not squares:
        return ()
    ordinary = [(s > _low(s)) & (s < jnp.inf) for s in squares]
    plain = jnp.all(jnp.stack(ordinary))
    return branch(
        plain,
        lambda: tuple(_root(s) for s in squares),
        lambda: tuple(_scaled_norm(x) for x in leaves()),
    )


def branch(condition: jax.Array, yes: Callable[[], Any], no: Callable[[], Any]) -> Any:
    """Return ``yes()`` or ``no()``; outside of ``jit`` nothing is compiled for it."""
    if isinstance(condition, jax.core.Tracer):
        return jax.lax.cond(condition, yes, no)
    return yes() if condition else no()


def hypot(norms: Sequence[jax.Array], dtype: Any = jnp.float32) -> jax.Array:
    """Return the norm of what consists of parts with these norms; zero for no parts."""
    if not norms:
        return jnp.zeros((), dtype)
    return _scaled_norm(jnp.stack(norms))


def norm(tree: Any, dtype: Any = jnp.float32) -> jax.Array:
    """Return the norm of a whole tree, or of the tree that a function returns.

    Its leaves have one dtype; ``dtype`` is that of no leaf.
    """
    return hypot(leaf_norms(tree), dtype)


def _scaled_norm(x: jax.Array) -> jax.Array:
    top = jnp.max(jnp.abs(x), initial=0)
    unit = jnp.where((top > 0) & jnp.isfinite(top), top, 1)
    return jnp.where(jnp.isfinite(top), unit * _root(jnp.sum(jnp.square(x / unit))), top)


def _root(square: jax.Array) -> jax.Array:
    # The derivative of a root at zero is infinite; here it is zero.
    positive = square > 0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1)), 0)


def _low(s: jax.Array) -> jax.Array:
    info = jnp.finfo(s.dtype)
    return jnp.asarray(info.tiny / info.eps, s.dtype)
