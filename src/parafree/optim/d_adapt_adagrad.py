"""D-Adapt AdaGrad: AdaGrad whose learning rate is a growing estimate of the distance to go.

Aaron Defazio, Konstantin Mishchenko, "Learning-Rate-Free Learning by D-Adaptation", ICML 2023.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from parafree.core.card import Card
from parafree.optim._d_adapt import check, grow, quotient, total
from parafree.optim._distance import with_decay
from parafree.optim._numbers import Number, Schedule, at, require
from parafree.optim._transform import Gradient, Step, transform
from parafree.optim._tree import copy, dtype_of, wide


class DAdaptAdaGradState(NamedTuple):
    """What D-Adapt AdaGrad knows; trees are as the parameters, at least float32 but for start."""

    start: Any  # x_0, in the parameters' own dtypes
    s: Any  # sum of rate * gradient
    squares: Any  # sum of squared gradients
    d: jax.Array  # (), at least float32, lower bound on the distance in the largest norm
    weighted: jax.Array  # (), at least float32, sum of rate^2 * g^2 / root of squares


def d_adapt_adagrad(
    *,
    scale: Number | Schedule = 1.0,
    momentum: Number = 0.0,
    eps: Number = 1e-6,
    weight_decay: Number = 0.0,
    d0: Number = 1e-6,
    growth_rate: Number = float("inf"),
) -> optax.GradientTransformationExtraArgs:
    """Descend as AdaGrad does, at a learning rate that it finds itself.

    Args:
        scale: multiplies every step, or a schedule of it, such as the usual decay from 1 to 0; at
            least 0.
        momentum: share of the old point in the new one, in [0, 1).
        eps: added to the root of the sum of squared gradients, and its first square; above 0.
        weight_decay: adds this times the parameters to the gradient; at least 0.
        d0: the first guess of the distance, below the true one, in units of one parameter;
            above 0.
        growth_rate: the estimate grows at most so many times in a step; at least 1.

    Returns:
        A gradient transform.

    Raises:
        MethodError: a number is out of its range.

    Cost:
        One gradient a step. Memory: a copy of the parameters, and two of at least float32.

    Source:
        Defazio and Mishchenko 2023, arXiv:2301.07733, algorithm 3 (AdaGrad); the constants are
        those of the official package dadaptation.

    Differs:
        The official code starts the sum of squares at 1e-6 whatever ``eps`` is; here it starts at
        ``eps``, which is 1e-6 as well unless it is given. Its sparse gradients have no counterpart.

    Example:
        >>> import jax, jax.numpy as jnp, parafree
        >>> from parafree import optim
        >>> bowl = lambda p: jnp.sum(jnp.sqrt((p - 3) ** 2 + 1))
        >>> result = parafree.run(optim.d_adapt_adagrad(), bowl, jnp.ones(3), jax.random.key(0),
        ...                       steps=300)
        >>> print(result.p.round(1))
        [3. 3. 3.]
    """
    check("d_adapt_adagrad", scale, d0, growth_rate, weight_decay)
    require("d_adapt_adagrad", "momentum", momentum, high=1.0)
    require("d_adapt_adagrad", "eps", eps, open_low=True)

    def init(params: Any) -> DAdaptAdaGradState:
        dtype = dtype_of(params)
        s = jax.tree.map(jnp.zeros_like, wide(params, dtype))
        squares = jax.tree.map(lambda x: jnp.full_like(x, eps), s)
        d, zero = jnp.asarray(d0, dtype), jnp.zeros((), dtype)
        return DAdaptAdaGradState(copy(params), s, squares, d, zero)

    def step(gradient: Gradient, state: DAdaptAdaGradState, p: Any, count: jax.Array) -> Step:
        dtype = dtype_of(p)
        small = jnp.asarray(eps, dtype)
        rate = at(scale, count, dtype) * state.d
        grads = with_decay(gradient, p, weight_decay, dtype).bounded()
        squares = jax.tree.map(lambda a, g: a + jnp.square(g), state.squares, grads)
        below = jax.tree.map(lambda a: jnp.sqrt(a) + small, squares)
        over = lambda tree: total(jax.tree.map(lambda x, b: x * (x / b), tree, below), dtype)  # noqa: E731
        weighted = state.weighted + rate * (rate * over(grads))
        s = jax.tree.map(lambda s, g: s + rate * g, state.s, grads)
        bound = quotient(over(s) - weighted, total(jax.tree.map(jnp.abs, s), dtype))
        d = jnp.where(gradient.finite, grow(state.d, bound, growth_rate), state.d)
        share, start = 1 - jnp.asarray(momentum, dtype), wide(state.start, dtype)

        def updates(kept: DAdaptAdaGradState) -> Any:
            step = lambda x0, s, a, x: share * (x0 - s / (jnp.sqrt(a) + small) - x)  # noqa: E731
            return jax.tree.map(step, start, kept.s, kept.squares, p)

        new = DAdaptAdaGradState(state.start, s, squares, d, weighted)
        return Step(updates, new, rate, at_guess=d <= jnp.asarray(d0, dtype))

    return transform("d_adapt_adagrad", init, step, holds=True)


card = Card(
    method=d_adapt_adagrad,
    contract="transform",
    paper="Defazio, Mishchenko 2023, arXiv:2301.07733",
    seed=27,
    reference="a slow version in NumPy; the official dadaptation, step for step",
    needs={"grad"},
    free_of={"learning rate"},
)
