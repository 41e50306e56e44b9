"""U-DoG: accelerated steps from distances and gradient differences, with no rate to set.

Itai Kreisler, Maor Ivgi, Oliver Hinder, Yair Carmon, "Accelerated Parameter-Free Stochastic
Optimization", COLT 2024.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from parafree.core.card import Card
from parafree.optim import _norms
from parafree.optim._average import Average
from parafree.optim._distance import ratio, with_decay
from parafree.optim._numbers import Number, require
from parafree.optim._transform import Gradient, Step, choose, transform
from parafree.optim._tree import copy, dtype_of, wide


class UDoGState(NamedTuple):
    """Where U-DoG stands; trees are as the parameters, scalars and all but start at least float32.

    One round t takes two gradients: m at a point ahead of the average, g at the average itself.
    """

    start: Any  # x_0, in the parameters' own dtypes
    y: Any  # y_t, the leading sequence
    m: Any  # the round's first gradient
    average: Average  # of x_1 ... x_t with weights w_0 ... w_{t-1}: what the method returns
    guess: jax.Array  # (), r_epsilon
    reach: jax.Array  # (), r_t, the largest distance from x_0 up to the round before
    ahead: jax.Array  # (), the same, with this round's x
    reaches: jax.Array  # (), r_0 + ... + r_t, which is also the weight w_t of this round
    weights: jax.Array  # (), w_0 + ... + w_t
    peak: jax.Array  # (), the largest alpha |m| or alpha |g| so far
    spread: jax.Array  # (), root of the sum of alpha^2 |g - m|^2


def u_dog(
    *, reps_rel: Number = 1e-6, weight_decay: Number = 0.0
) -> optax.GradientTransformationExtraArgs:
    """Descend with acceleration, and with a step size that sets itself.

    It is a transform, not a search, although a round needs gradients at two points: the parameters
    are moved to the one and then to the other, and each call of ``update`` takes the gradient where
    they stand. So it fits any training loop, fresh batches for both included. Evaluate with
    :func:`parafree.optim.eval_params`: the parameters are where gradients are taken, the average is
    the result.

    Args:
        reps_rel: the first guess of the distance, in units of 1 + |x_0|; above 0.
        weight_decay: adds this times the parameters to the gradient; at least 0.

    Returns:
        A gradient transform.

    Raises:
        MethodError: a number is out of its range.

    Cost:
        One gradient a call, two calls a round. Memory: a copy of the parameters, and three of at
        least float32.

    Source:
        Kreisler, Ivgi, Hinder, Carmon 2024, arXiv:2404.00666: UniXGrad's two sequences and weights
        alpha_t = (r_0 + ... + r_t) / r_t, with steps r_t / sqrt(G). There is no public code.

    Differs:
        The root of G is made of the sum of alpha^2 |g - m|^2, as in UniXGrad, and of the largest
        alpha |m| and alpha |g| so far, which keep an iterate from moving further in a step than the
        distance known so far. The paper's own stabilising terms carry constants and logarithms of
        its proofs, which are left out here; the orders of G_x and G_y that it asks for hold.

    Example:
        >>> import jax, jax.numpy as jnp, parafree
        >>> from parafree import optim
        >>> bowl = lambda p: jnp.sum((p - 3) ** 2)
        >>> result = parafree.run(optim.u_dog(), bowl, jnp.ones(3), jax.random.key(0), steps=300)
        >>> print(optim.eval_params(result.state.inner, result.state.p).round(1))
        [3. 3. 3.]
    """
    require("u_dog", "reps_rel", reps_rel, open_low=True)
    require("u_dog", "weight_decay", weight_decay)

    def init(params: Any) -> UDoGState:
        dtype = dtype_of(params)
        p, zero = wide(params, dtype), jnp.zeros((), dtype)
        guess = jnp.asarray(reps_rel, dtype) * (1 + _norms.norm(p, dtype))
        average = Average(p, jnp.zeros((), jnp.int32))
        blank = jax.tree.map(jnp.zeros_like, p)
        return UDoGState(
            copy(params), p, blank, average, guess, guess, guess, guess, guess, zero, zero
        )

    def step(gradient: Gradient, s: UDoGState, p: Any, count: jax.Array) -> Step:
        dtype, looks = dtype_of(p), count % 2 == 0
        gradient = with_decay(gradient, p, weight_decay, dtype)
        apart = _norms.branch(
            looks,
            lambda: jnp.zeros((), dtype),
            lambda: _norms.norm(lambda: jax.tree.map(jnp.subtract, gradient.tree, s.m), dtype),
        )
        alpha = ratio(s.reaches, s.reach)
        peak = jnp.maximum(s.peak, alpha * gradient.norm)
        spread = jnp.hypot(s.spread, alpha * apart)
        rate = ratio(s.reach, jnp.hypot(peak, spread))

        def moved() -> Any:
            """Return where a step from y along the gradient leads: the round's x, or the next y."""
            return jax.tree.map(lambda y, g: y - alpha * (rate * g), s.y, gradient.tree)

        come = lambda: jax.tree.map(jnp.subtract, moved(), wide(s.start, dtype))  # noqa: E731
        ahead = jnp.maximum(s.ahead, _norms.norm(come, dtype))
        reach = jnp.where(looks, s.reach, ahead)
        reaches = s.reaches + jnp.where(looks, 0, ahead)
        weights = s.weights + jnp.where(looks, 0, reaches)
        share = reaches / weights
        part = lambda share: lambda a, x: a + share * (x - a)  # noqa: E731
        mean = jax.tree.map(part(jnp.where(looks, share, 0)), s.average.p, moved())
        new = UDoGState(
            s.start,
            choose(looks, s.y, moved()),
            choose(looks, gradient.tree, s.m),
            Average(mean, s.average.taken + looks.astype(jnp.int32)),
            s.guess,
            reach,
            ahead,
            reaches,
            weights,
            peak,
            spread,
        )

        def updates(kept: UDoGState) -> Any:
            # After the average moved the second gradient is taken there; after y did, the next
            # round's first gradient is taken where y would bring the average.
            to = jax.tree.map(part(jnp.where(looks, 0, share)), kept.average.p, kept.y)
            return jax.tree.map(jnp.subtract, to, p)

        return Step(updates, new, rate, at_guess=ahead <= s.guess)

    return transform("u_dog", init, step)


card = Card(
    method=u_dog,
    contract="transform",
    paper="Kreisler, Ivgi, Hinder, Carmon 2024, arXiv:2404.00666",
    seed=213,
    reference="a slow version in NumPy with all history; the accelerated order of convergence",
    needs={"grad"},
    free_of={"learning rate", "schedule", "smoothness constant"},
)
