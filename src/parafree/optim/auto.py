"""Adam without a learning rate, a schedule or a stopping time: nothing is left to set.

Prodigy's estimate of the distance (Konstantin Mishchenko, Aaron Defazio, "Prodigy: An Expeditiously
Adaptive Parameter-Free Learner", ICML 2024) sets the step size of Schedule-Free Adam (Aaron Defazio
and others, "The Road Less Scheduled", NeurIPS 2024), which averages in place of a schedule.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from parafree.core.card import Card
from parafree.optim._d_adapt import grow, quotient, total
from parafree.optim._numbers import Number, held, require, shares
from parafree.optim._schedule_free import Between, Weights, begin, move, updates, warm, weigh
from parafree.optim._transform import Gradient, Step, choose, transform
from parafree.optim._tree import copy, dtype_of, wide

# One setting for all workloads of docs/noknob.md, which also shows what each part contributes.
_GUESS = 1e-2  # of the distance: what Adam's rate would be if the estimate never grew
_WARMUP = 50  # steps
_BETA = 0.9  # share of the average in the point where the gradient is taken
_B2 = 0.99  # decay of the second moment
_POWER = 3.0  # the iterate of step t has the weight t^power in the average
_EPS = 1e-12


class AutoState(NamedTuple):
    """Where the method stands."""

    between: Between
    weights: Weights
    start: Any  # x_0, as the parameters
    second: Any  # mean of squared gradients times d^2, as the parameters, at least float32
    sums: Any  # mean of gradients times d^2, as the parameters, at least float32
    numerator: jax.Array  # (), mean of d^2 <g, x_0 - z>, at least float32
    d: jax.Array  # (), the estimate of the distance in a coordinate, at least float32


def auto(*, weight_decay: Number = 0.0) -> optax.GradientTransformationExtraArgs:
    """Descend as Adam does, with a step size that finds itself and an average for a schedule.

    Evaluate and save with :func:`parafree.optim.eval_params`. Where a model has batch
    normalisation, see :func:`parafree.optim.schedule_free_adamw`.

    Args:
        weight_decay: of AdamW: times the step size, apart from the gradient; at least 0. It says
            what is wanted of the parameters, and nothing about how they are found.

    Returns:
        A gradient transform.

    Raises:
        MethodError: a number is out of its range.

    Cost:
        One gradient a step, and two sums over all parameters. Memory: four copies of the
        parameters, at least float32, where Adam has two; a fifth where the parameters themselves
        are coarser.

    Source:
        Mishchenko and Defazio 2023, arXiv:2306.06101, algorithm 4; Defazio et al. 2024,
        arXiv:2405.15682, algorithm 1.

    Differs:
        From both papers: the gradient is taken between the average and z, and the distance is
        measured from z. The first guess is 1e-2, not 1e-6, because Adam seldom wants less, and the
        estimate never falls; the step size rises over 50 steps. Later iterates have a larger
        weight in the average, so that its beginning is forgotten sooner.

    Example:
        >>> import jax, jax.numpy as jnp, parafree
        >>> from parafree import optim
        >>> bowl = lambda p: jnp.sum((p - 3) ** 2)
        >>> result = parafree.run(optim.auto(), bowl, jnp.ones(3), jax.random.key(0), steps=300)
        >>> print(optim.eval_params(result.state.inner, result.state.p).round(1))
        [3. 3. 3.]
    """
    require("auto", "weight_decay", weight_decay)
    return compose(weight_decay)


def compose(
    weight_decay: Number = 0.0,
    *,
    guess: float = _GUESS,
    warmup: int = _WARMUP,
    beta: float = _BETA,
    b2: float = _B2,
    power: float = _POWER,
    growth: float = math.inf,
) -> optax.GradientTransformationExtraArgs:
    """Return the method with other constants, to see what each of them contributes.

    Args:
        weight_decay: as of :func:`auto`.
        guess: of the distance, at first.
        warmup: steps over which the step size rises.
        beta: share of the average in the point where the gradient is taken.
        b2: decay of the second moment.
        power: of the step's number in an iterate's weight in the average.
        growth: the estimate grows by this factor in a step at most; 1 holds it at the guess.
    """

    def init(params: Any) -> AutoState:
        between, weights = begin(params, beta)
        blank = jax.tree.map(jnp.zeros_like, between.p)
        dtype = dtype_of(params)
        return AutoState(
            between,
            weights,
            copy(params),
            blank,
            blank,
            jnp.zeros((), dtype),
            jnp.asarray(guess, dtype),
        )

    def step(gradient: Gradient, state: AutoState, y: Any, count: jax.Array) -> Step:
        dtype, d = dtype_of(y), state.d
        come = jax.tree.map(jnp.subtract, wide(state.start, dtype), state.between.p)
        inner = gradient.dot(come)
        # Nothing is overwritten before this sum is known, or it would be copied first.
        finite = gradient.finite & ~jnp.isnan(inner)
        keep, new = held(finite, shares(b2, dtype))
        slow, fresh = held(finite, shares(math.sqrt(b2), dtype))
        grads = gradient.bounded()
        # Gradients count by the distance that was known when they came.
        second = jax.tree.map(lambda v, g: keep * v + new * jnp.square(d * g), state.second, grads)
        sums = jax.tree.map(lambda s, g: slow * s + fresh * d * d * g, state.sums, grads)
        inner = jnp.where(jnp.isfinite(inner), inner, 0)
        numerator = slow * state.numerator + fresh * d * d * inner
        bound = quotient(numerator, total(jax.tree.map(jnp.abs, sums), dtype))

        rate = jnp.where(finite, warm(d, warmup, count, dtype), 0)
        small = d * jnp.asarray(_EPS, dtype)
        shrink = rate * jnp.asarray(weight_decay, dtype)

        def steps(second: Any) -> Any:
            return jax.tree.map(descend, gradient.bounded(), second, y)

        def descend(g: jax.Array, v: jax.Array, y: jax.Array) -> jax.Array:
            below = jnp.sqrt(v) + small
            return shrink * y + rate * jnp.where(g == 0, 0, d * g / below)

        late = (count.astype(dtype) + 1) ** (power / 2)
        weights, share = weigh(state.weights, rate * late)
        share = jnp.where(finite, share, 0)
        between = move(state.between, steps(second), share)
        weights, distance = choose(finite, (weights, grow(d, bound, growth)), (state.weights, d))
        return Step(
            lambda kept: updates(kept.between, y, steps(kept.second), share),
            AutoState(between, weights, state.start, second, sums, numerator, distance),
            rate,
            taken=finite,
        )

    return transform("auto", init, step, holds=True)


card = Card(
    method=auto,
    contract="transform",
    paper="Mishchenko and Defazio 2023, arXiv:2306.06101; Defazio et al. 2024, arXiv:2405.15682",
    reference="the algorithm in NumPy, all sequences kept; Schedule-Free Adam where d cannot grow",
    needs={"grad"},
    free_of={"learning rate", "schedule", "stopping time"},
)
