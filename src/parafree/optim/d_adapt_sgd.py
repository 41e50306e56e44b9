"""D-Adapt SGD: gradient descent whose rate grows with a lower bound on the distance to go.

Aaron Defazio, Konstantin Mishchenko, "Learning-Rate-Free Learning by D-Adaptation", ICML 2023.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from parafree.core.card import Card
from parafree.optim import _norms
from parafree.optim._d_adapt import check, dot, grow, quotient
from parafree.optim._distance import ratio, with_decay
from parafree.optim._numbers import Number, Schedule, at, require
from parafree.optim._transform import Gradient, Step, choose, transform
from parafree.optim._tree import copy, dtype_of, wide


class DAdaptSGDState(NamedTuple):
    """What D-Adapt SGD knows."""

    start: Any  # x_0, as the parameters
    s: Any  # sum of rate * gradient, as the parameters, at least float32
    d: jax.Array  # (), at least float32, lower bound on |x_0 - x*|
    first: jax.Array  # (), at least float32, norm of the first gradient that was not zero
    numerator: jax.Array  # (), at least float32, sum of rate * <gradient, s>


def d_adapt_sgd(
    *,
    scale: Number | Schedule = 1.0,
    momentum: Number = 0.0,
    weight_decay: Number = 0.0,
    d0: Number = 1e-6,
    growth_rate: Number = float("inf"),
) -> optax.GradientTransformationExtraArgs:
    """Descend at a rate that is found from the gradients' own inner products.

    Args:
        scale: multiplies every step, or a schedule of it, such as the usual decay from 1 to 0; at
            least 0.
        momentum: share of the old point in the new one, in [0, 1).
        weight_decay: adds this times the parameters to the gradient; at least 0.
        d0: the first guess of the distance, below the true one, in units of the parameters;
            above 0.
        growth_rate: the estimate grows at most so many times in a step; at least 1. 1.02 acts as a
            warm-up.

    Returns:
        A gradient transform.

    Raises:
        MethodError: a number is out of its range.

    Cost:
        One gradient a step. Memory: a copy of the parameters, and one of at least float32.

    Source:
        Defazio and Mishchenko 2023, arXiv:2301.07733, D-Adapted SGD; the constants are those of the
        official package dadaptation, whose bound is twice the sum of <g, s> over |s|.

    Differs:
        The official code divides by the norm of the first gradient even if that is zero; here the
        first one that is not zero counts, and nothing moves before. Weight decay takes part in that
        norm, which the official code leaves out by oversight.

    Example:
        >>> import jax, jax.numpy as jnp, parafree
        >>> from parafree import optim
        >>> bowl = lambda p: jnp.sum((p - 3) ** 2)
        >>> result = parafree.run(optim.d_adapt_sgd(), bowl, jnp.ones(3), jax.random.key(0),
        ...                       steps=200)
        >>> print(result.p.round(2))
        [3. 3. 3.]
    """
    check("d_adapt_sgd", scale, d0, growth_rate, weight_decay)
    require("d_adapt_sgd", "momentum", momentum, high=1.0)

    def init(params: Any) -> DAdaptSGDState:
        dtype = dtype_of(params)
        zero, s = jnp.zeros((), dtype), jax.tree.map(jnp.zeros_like, wide(params, dtype))
        return DAdaptSGDState(copy(params), s, jnp.asarray(d0, dtype), zero, zero)

    def step(gradient: Gradient, state: DAdaptSGDState, p: Any, count: jax.Array) -> Step:
        dtype = dtype_of(p)
        gradient = with_decay(gradient, p, weight_decay, dtype)
        first = jnp.where(state.first > 0, state.first, gradient.norm)
        rate = at(scale, count, dtype) * ratio(state.d, first)
        # rate * g first: g alone may be 1e20, and rate 1e-26.
        inner = dot(jax.tree.map(lambda g: rate * g, gradient.tree), state.s, dtype)
        # Nothing is overwritten before this sum is known, or it would be copied first.
        finite = gradient.finite & ~jnp.isnan(inner)
        rate = jnp.where(finite, rate, 0)
        numerator = state.numerator + jnp.where(jnp.isfinite(inner), inner, 0)
        s = jax.tree.map(lambda s, g: s + _step(rate, g), state.s, gradient.tree)
        bound = quotient(2 * numerator, _norms.norm(s, dtype))
        d, first = choose(
            finite, (grow(state.d, bound, growth_rate), first), (state.d, state.first)
        )
        share = 1 - jnp.asarray(momentum, dtype)
        start = wide(state.start, dtype)

        def updates(kept: DAdaptSGDState) -> Any:
            return jax.tree.map(lambda x0, s, x: share * (x0 - s - x), start, kept.s, p)

        new = DAdaptSGDState(state.start, s, d, first, numerator)
        at_guess = d <= jnp.asarray(d0, dtype)
        return Step(updates, new, rate, at_guess=at_guess, taken=finite)

    return transform("d_adapt_sgd", init, step, holds=True)


def _step(rate: jax.Array, g: jax.Array) -> jax.Array:
    """Return rate * g: nothing where the rate is zero, and nothing whose square overflows."""
    top = jnp.asarray(0.1 * jnp.finfo(g.dtype).max ** 0.5, g.dtype)
    return jnp.where(rate > 0, jnp.clip(rate * g, -top, top), 0)


card = Card(
    method=d_adapt_sgd,
    contract="transform",
    paper="Defazio, Mishchenko 2023, arXiv:2301.07733",
    seed=27,
    reference="a slow version in NumPy with all history; the official dadaptation, step for step",
    needs={"grad"},
    free_of={"learning rate"},
)
