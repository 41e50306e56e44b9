"""Step sizes from distances: how far the parameters have come, over how much gradient they saw."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from parafree.optim import _average, _norms
from parafree.optim._average import Average
from parafree.optim._numbers import Number, Schedule, at, require
from parafree.optim._transform import Gradient, Step, transform
from parafree.optim._tree import copy, dtype_of, wide


class DistanceState(NamedTuple):
    """What DoG knows; ``parts`` is 1, or the number of leaves when each has its own distance."""

    start: Any  # x_0, as the parameters
    guess: jax.Array  # (parts,), at least float32, r_epsilon, in units of the parameters
    reach: jax.Array  # (parts,), at least float32, the largest distance from x_0 so far
    root: jax.Array  # (parts,), at least float32, root of the sum of squared gradient norms
    average: Average | None  # of the iterates


def distance_over_gradients(
    name: str,
    layerwise: bool,
    reps_rel: Number,
    scale: Number | Schedule,
    weight_decay: Number,
    eps: Number,
    gamma: Number | None,
) -> optax.GradientTransformationExtraArgs:
    """Build DoG, over all parameters or for every leaf by itself."""
    require(name, "reps_rel", reps_rel, open_low=True)
    require(name, "scale", scale, open_low=True)
    require(name, "weight_decay", weight_decay)
    require(name, "eps", eps)
    require(name, "gamma", 0.0 if gamma is None else gamma)

    def parts(norms: tuple[jax.Array, ...], dtype: Any) -> jax.Array:
        if not layerwise:
            return _norms.hypot(norms, dtype)[None]
        return jnp.stack(norms) if norms else jnp.zeros(0, dtype)

    def init(params: Any) -> DistanceState:
        dtype = dtype_of(params)
        size = parts(_norms.leaf_norms(wide(params)), dtype)
        guess = jnp.asarray(reps_rel, dtype) * (1 + size)
        root = jnp.full_like(size, jnp.sqrt(jnp.asarray(eps, dtype)))
        average = None if gamma is None else _average.start(params)
        return DistanceState(copy(params), guess, guess, root, average)

    def step(gradient: Gradient, state: DistanceState, p: Any, count: jax.Array) -> Step:
        dtype = dtype_of(p)
        gradient = with_decay(gradient, p, weight_decay, dtype)
        far = lambda: jax.tree.map(jnp.subtract, p, wide(state.start, dtype))  # noqa: E731
        reach = jnp.maximum(state.reach, parts(_norms.leaf_norms(far), dtype))
        seen = parts(gradient.norms, dtype)
        root = jnp.hypot(state.root, seen)
        eta = at(scale, count, dtype) * ratio(reach, root)
        each = list(eta) if layerwise else [eta[0]] * len(gradient.norms)
        leaves, structure = jax.tree.flatten(gradient.tree)
        updates = jax.tree.unflatten(structure, [-e * g for e, g in zip(each, leaves, strict=True)])
        size = _norms.hypot(list(eta * seen), dtype)
        average = state.average
        if average is not None:
            weight = _average.polynomial_weight(average.taken + 1, gamma, dtype)
            average = _average.take(average, jax.tree.map(jnp.add, p, updates), weight)
        return Step(
            updates,
            DistanceState(state.start, state.guess, reach, root, average),
            rate=ratio(size, gradient.norm) if layerwise else eta[0],
            size=size,
            # Read at the end, so that the parameters are not overwritten before it is known.
            whole=None if average is None else lambda kept: kept.average.p,
            at_guess=jnp.all(reach == state.guess),
        )

    return transform(name, init, step)


def with_decay(gradient: Gradient, p: Any, weight_decay: Number, dtype: Any) -> Gradient:
    """Return the gradient with that of ``weight_decay / 2 * |p|^2`` added (coupled decay)."""
    if isinstance(weight_decay, (int, float)) and weight_decay == 0:
        return gradient
    decay = jnp.asarray(weight_decay, dtype)
    tree = lambda: jax.tree.map(lambda g, x: g + decay * x, gradient.tree, p)  # noqa: E731
    norms = _norms.leaf_norms(tree)
    return gradient._replace(tree=tree(), norms=norms, norm=_norms.hypot(norms, dtype))


def ratio(a: jax.Array, b: jax.Array) -> jax.Array:
    """Return a / b for numbers that are not negative: zero for b = 0, and never infinite."""
    quotient = jnp.where(b > 0, a / jnp.where(b > 0, b, 1), 0)
    return jnp.minimum(quotient, jnp.asarray(jnp.finfo(quotient.dtype).max, quotient.dtype))
