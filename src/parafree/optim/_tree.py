"""Trees of numbers that a method may move: floating leaves, at least float32, all of one dtype."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from parafree.core.errors import MethodError


def dtype_of(tree: Any) -> Any:
    """Return the widest dtype of the floating leaves, at least float32."""
    double = any(jnp.result_type(x) == jnp.float64 for x in jax.tree.leaves(tree) if _moves(x))
    return jnp.dtype(jnp.float64 if double else jnp.float32)


def wide(tree: Any, dtype: Any = None) -> Any:
    """Return the tree in one wide dtype; leaves that no method may move are ``None``."""
    dtype = dtype_of(tree) if dtype is None else dtype
    return jax.tree.map(lambda x: jnp.asarray(x, dtype) if _moves(x) else None, tree)


def wide_like(tree: Any, params: Any) -> Any:
    """Return gradients in the parameters' wide dtype, where the parameters may be moved."""
    dtype = dtype_of(params)
    return jax.tree.map(lambda p, x: jnp.asarray(x, dtype) if _moves(p) else None, params, tree)


def copy(tree: Any) -> Any:
    """Return the leaves that may be moved in their own dtype, in memory of their own."""
    # A state that shared memory with the parameters could not be donated together with them.
    return jax.tree.map(lambda x: jnp.array(x, copy=True) if _moves(x) else None, tree)


def narrow(updates: Any, params: Any) -> Any:
    """Return updates in the parameters' own dtypes, and zeros where nothing may be moved."""
    leaves = iter(jax.tree.leaves(updates))
    return jax.tree.map(
        lambda p: next(leaves).astype(jnp.result_type(p)) if _moves(p) else jnp.zeros_like(p),
        params,
    )


def require_real(tree: Any, method: str) -> None:
    """Refuse complex leaves, whose gradients mean something else in every library."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        kind = getattr(leaf, "dtype", jnp.dtype(type(leaf)) if isinstance(leaf, complex) else None)
        if kind is not None and jnp.issubdtype(kind, jnp.complexfloating):
            raise MethodError(
                f"{method} cannot move a leaf of type {kind}",
                where=f"params{jax.tree_util.keystr(path)}",
                fix="keep its real and its imaginary part as two leaves",
            )


def _moves(leaf: Any) -> bool:
    return isinstance(leaf, float) or (
        hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jnp.floating)
    )
