"""A function of many named numbers as one of a row, without taking the row apart.

Functions that get thousands of numbers by name put them together first, as in
``jnp.stack([config[name] for name in names])``. A program that takes a row apart and puts it
together again takes minutes to compile from a thousand numbers on, so what puts neighbours together
is replaced by a piece of the row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import jax
from jax.extend.core import Literal


class _Piece(NamedTuple):
    """Neighbours in the row, not taken out of it yet."""

    begin: int
    end: int
    scalar: bool  # one number, without an axis


def of_row(f: Callable[..., Any], row: jax.Array) -> Any:
    """Return ``f`` of the numbers in a row.

    Args:
        f: takes one number as an argument for each entry of the row.
        row: shape ``(d,)``, traced.

    Example:
        >>> import jax.numpy as jnp
        >>> f = jax.jit(lambda row: of_row(lambda *x: jnp.sum(jnp.stack(x[1:]) ** 2), row))
        >>> float(f(jnp.array([1.0, 2.0, 3.0])))
        13.0
    """
    number = jax.ShapeDtypeStruct((), row.dtype)
    closed, shape = jax.make_jaxpr(f, return_shape=True)(*[number] * row.shape[0])
    numbers = [_Piece(i, i + 1, scalar=True) for i in range(row.shape[0])]
    out = _evaluate(closed.jaxpr, closed.consts, numbers, row)
    return jax.tree.unflatten(jax.tree.structure(shape), [_taken(x, row) for x in out])


def _evaluate(jaxpr: Any, consts: Sequence[Any], inputs: Sequence[Any], row: jax.Array) -> Any:
    """Evaluate a traced function, some of whose inputs are pieces of the row."""
    known = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*consts, *inputs], strict=True))

    def read(atom: Any) -> Any:
        return atom.val if isinstance(atom, Literal) else known[atom]

    for step in jaxpr.eqns:
        values = [read(atom) for atom in step.invars]
        pieces = [value for value in values if isinstance(value, _Piece)]
        inner = step.params.get("jaxpr") if step.primitive.name in ("jit", "pjit") else None
        if pieces and inner is not None:
            out = _evaluate(inner.jaxpr, inner.consts, values, row)
        elif len(pieces) == len(values) and (joined := _joined(step, pieces)) is not None:
            out = [joined]
        else:
            taken = [_taken(value, row) for value in values]
            bound = step.primitive.get_bind_params(step.params)
            functions, params = bound if isinstance(bound, tuple) else ((), bound)  # by JAX's age
            out = step.primitive.bind(*functions, *taken, **params)
            out = out if step.primitive.multiple_results else [out]
        known.update(zip(step.outvars, out, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _joined(step: Any, pieces: Sequence[_Piece]) -> _Piece | None:
    """Return the piece that a step makes of pieces, if it is one."""
    name, shape = step.primitive.name, step.outvars[0].aval.shape
    if name in ("broadcast_in_dim", "reshape") and len(pieces) == 1 and shape == (1,):
        return pieces[0]._replace(scalar=False)
    if name in ("concatenate", "stack") and len(shape) == 1:
        neighbours = all(a.end == b.begin for a, b in pairwise(pieces))
        return _Piece(pieces[0].begin, pieces[-1].end, scalar=False) if neighbours else None
    return None


def _taken(value: Any, row: jax.Array) -> Any:
    if not isinstance(value, _Piece):
        return value
    piece = jax.lax.slice(row, (value.begin,), (value.end,))
    return piece[0] if value.scalar else piece
