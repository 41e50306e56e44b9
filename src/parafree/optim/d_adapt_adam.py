"""D-Adapt Adam: Adam whose learning rate is a growing estimate of the distance to go.

Aaron Defazio, Konstantin Mishchenko, "Learning-Rate-Free Learning by D-Adaptation", ICML 2023.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from parafree.core.card import Card
from parafree.optim._d_adapt import check, grow, quotient, total
from parafree.optim._numbers import Number, Schedule, at, held, require, shares
from parafree.optim._transform import Gradient, Step, transform
from parafree.optim._tree import dtype_of, wide


class DAdaptAdamState(NamedTuple):
    """What D-Adapt Adam knows; trees are as the parameters, at least float32."""

    first: Any  # mean of rate * gradient
    second: Any  # mean of squared gradients
    s: Any  # mean of rate * gradient, with the decay of the second moment
    d: jax.Array  # (), at least float32, lower bound on the distance in the largest norm
    numerator: jax.Array  # (), at least float32, mean of rate * <gradient, s / root of second>


def d_adapt_adam(
    *,
    scale: Number | Schedule = 1.0,
    b1: Number = 0.9,
    b2: Number = 0.999,
    eps: Number = 1e-8,
    weight_decay: Number = 0.0,
    d0: Number = 1e-6,
    growth_rate: Number = float("inf"),
) -> optax.GradientTransformationExtraArgs:
    """Descend as Adam does, at a learning rate that it finds itself.

    Args:
        scale: multiplies every step, or a schedule of it, such as the usual decay from 1 to 0; at
            least 0.
        b1: decay of the first moment, in [0, 1).
        b2: decay of the second moment, in (0, 1).
        eps: added to the root of the second moment; above 0.
        weight_decay: of AdamW: times the learning rate, apart from the gradient; at least 0.
        d0: the first guess of the distance, below the true one, in units of one parameter;
            above 0.
        growth_rate: the estimate grows at most so many times in a step; at least 1. 1.02 acts as a
            warm-up.

    Returns:
        A gradient transform.

    Raises:
        MethodError: a number is out of its range.

    Cost:
        One gradient a step. Memory: three copies of the parameters, at least float32.

    Source:
        Defazio and Mishchenko 2023, arXiv:2301.07733, algorithm 5 (Adam), without bias correction,
        as in the official package dadaptation.

    Differs:
        Weight decay is decoupled, which the official code offers beside its default. optax's
        dadapt_adamw corrects the moments' bias, keeps them in the parameters' dtype, and turns to
        NaN when the first gradient is zero.

    Example:
        >>> import jax, jax.numpy as jnp, parafree
        >>> from parafree import optim
        >>> bowl = lambda p: jnp.sum((p - 3) ** 2)
        >>> method = optim.d_adapt_adam()
        >>> result = parafree.run(method, bowl, jnp.ones(3), jax.random.key(0), steps=300)
        >>> print(result.p.round(1))
        [3. 3. 3.]
    """
    check("d_adapt_adam", scale, d0, growth_rate, weight_decay)
    require("d_adapt_adam", "b1", b1, high=1.0)
    require("d_adapt_adam", "b2", b2, high=1.0, open_low=True)
    require("d_adapt_adam", "eps", eps, open_low=True)

    def init(params: Any) -> DAdaptAdamState:
        dtype = dtype_of(params)
        blank = lambda: jax.tree.map(jnp.zeros_like, wide(params, dtype))  # noqa: E731
        d, zero = jnp.asarray(d0, dtype), jnp.zeros((), dtype)
        return DAdaptAdamState(blank(), blank(), blank(), d, zero)

    def step(gradient: Gradient, state: DAdaptAdamState, p: Any, count: jax.Array) -> Step:
        dtype = dtype_of(p)
        small, rate = jnp.asarray(eps, dtype), at(scale, count, dtype) * state.d
        pushed = jax.tree.map(lambda s, v: s / (jnp.sqrt(v) + small), state.s, state.second)
        inner = gradient.dot(pushed)
        # Nothing is overwritten before this sum is known, or it would be copied first.
        finite = gradient.finite & ~jnp.isnan(inner)
        slow, (keep1, new1), (keep2, new2) = (
            held(finite, shares(b, dtype)) for b in (b2**0.5, b1, b2)
        )
        grads = gradient.bounded()
        inner = rate * jnp.where(jnp.isfinite(inner), inner, 0)
        numerator = slow[0] * state.numerator + slow[1] * inner
        first = jax.tree.map(lambda m, g: keep1 * m + new1 * (rate * g), state.first, grads)
        second = jax.tree.map(lambda v, g: keep2 * v + new2 * jnp.square(g), state.second, grads)
        s = jax.tree.map(lambda s, g: slow[0] * s + slow[1] * (rate * g), state.s, grads)
        length = total(jax.tree.map(jnp.abs, s), dtype)
        bound = quotient(numerator, shares(b2**0.5, dtype)[1] * length)
        d = jnp.where(finite, grow(state.d, bound, growth_rate), state.d)
        shrink = rate * jnp.asarray(weight_decay, dtype)

        def updates(kept: DAdaptAdamState) -> Any:
            step = lambda m, v, x: -m / (jnp.sqrt(v) + small) - shrink * x  # noqa: E731
            return jax.tree.map(step, kept.first, kept.second, p)

        new = DAdaptAdamState(first, second, s, d, numerator)
        return Step(updates, new, rate, at_guess=d <= jnp.asarray(d0, dtype), taken=finite)

    return transform("d_adapt_adam", init, step, holds=True)


card = Card(
    method=d_adapt_adam,
    contract="transform",
    paper="Defazio, Mishchenko 2023, arXiv:2301.07733",
    seed=27,
    reference="a slow version in NumPy; the official dadaptation, step for step",
    needs={"grad"},
    free_of={"learning rate"},
)
