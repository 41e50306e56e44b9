"""Schedule-Free AdamW: averaging in place of a learning-rate schedule, with no stopping time.

Aaron Defazio, Xingyu Yang, Harsh Mehta, Konstantin Mishchenko, Ahmed Khaled, Ashok Cutkosky, "The
Road Less Scheduled", NeurIPS 2024.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from parafree.core.card import Card
from parafree.optim._numbers import Number, Schedule, held, remaining, require, shares
from parafree.optim._schedule_free import Between, Weights, begin, move, updates, warm, weigh
from parafree.optim._transform import Gradient, Step, choose, transform
from parafree.optim._tree import dtype_of


class ScheduleFreeAdamState(NamedTuple):
    """Where Schedule-Free AdamW stands."""

    between: Between
    weights: Weights
    second: Any  # mean of squared gradients, as the parameters, at least float32


def schedule_free_adamw(
    learning_rate: Number | Schedule = 2.5e-3,
    *,
    beta: Number = 0.9,
    b2: Number = 0.999,
    eps: Number = 1e-8,
    weight_decay: Number = 0.0,
    warmup_steps: Number = 0,
) -> optax.GradientTransformationExtraArgs:
    """Descend as AdamW does, at a constant rate, and average so that no schedule is needed.

    Evaluate and save with :func:`parafree.optim.eval_params`; there is no mode to switch. Where a
    model keeps statistics of its activations (batch normalisation), those were gathered at the
    training point: before evaluating, pass a few dozen batches of training data through the model
    at ``eval_params(opt_state, params)`` and gather them there. Layer and group normalisation need
    nothing.

    Args:
        learning_rate: of every step after the warm-up, or a function of the step; at least 0. It
            may be larger than that of AdamW with a schedule.
        beta: share of the average in the point where the gradient is taken, in (0, 1); it takes the
            place of momentum.
        b2: decay of the second moment, in [0, 1).
        eps: added to the root of the second moment; at least 0.
        weight_decay: of AdamW: times the learning rate, apart from the gradient; at least 0.
        warmup_steps: over so many steps the rate rises linearly; at least 0.

    Returns:
        A gradient transform.

    Raises:
        MethodError: a number is out of its range.

    Cost:
        One gradient a step. Memory: two copies of the parameters, at least float32, as for Adam; a
        third where the parameters themselves are coarser.

    Source:
        Defazio et al. 2024, arXiv:2405.15682, algorithm 1, with the weights and the bias correction
        of the official package schedulefree.

    Differs:
        optax.contrib.schedule_free_adamw counts its warm-up from 0, so that the first step has no
        length, and finds the average from bfloat16 parameters, which loses it in rounding. Here the
        average is kept in float32 where the parameters are coarser.

    Example:
        >>> import jax, jax.numpy as jnp, parafree
        >>> from parafree import optim
        >>> bowl = lambda p: jnp.sum((p - 3) ** 2)
        >>> method = optim.schedule_free_adamw(0.1)
        >>> result = parafree.run(method, bowl, jnp.ones(3), jax.random.key(0), steps=300)
        >>> print(optim.eval_params(result.state.inner, result.state.p).round(1))
        [3. 3. 3.]
    """
    name = "schedule_free_adamw"
    require(name, "learning_rate", learning_rate)
    require(name, "beta", beta, high=1.0, open_low=True)
    require(name, "b2", b2, high=1.0)
    require(name, "eps", eps)
    require(name, "weight_decay", weight_decay)
    require(name, "warmup_steps", warmup_steps)

    def init(params: Any) -> ScheduleFreeAdamState:
        between, weights = begin(params, beta)
        return ScheduleFreeAdamState(between, weights, jax.tree.map(jnp.zeros_like, between.p))

    def step(gradient: Gradient, state: ScheduleFreeAdamState, y: Any, count: jax.Array) -> Step:
        dtype = dtype_of(y)
        finite, small = gradient.finite, jnp.asarray(eps, dtype)
        keep, new = held(finite, shares(b2, dtype))
        rate = warm(learning_rate, warmup_steps, count, dtype)
        weights, share = weigh(state.weights, rate)
        weights, share = choose(finite, (weights, share), (state.weights, jnp.zeros_like(share)))
        shrink = jnp.where(finite, rate * jnp.asarray(weight_decay, dtype), 0)
        correction = remaining(b2, count + 1, dtype)
        second = jax.tree.map(
            lambda v, g: keep * v + new * jnp.square(g), state.second, gradient.bounded()
        )

        def steps(second: Any) -> Any:
            return jax.tree.map(descend, gradient.bounded(), second, y)

        def descend(g: jax.Array, v: jax.Array, y: jax.Array) -> jax.Array:
            below = jnp.sqrt(v / correction) + small
            return shrink * y + rate * jnp.where(g == 0, 0, g / below)

        return Step(
            lambda kept: updates(kept.between, y, steps(kept.second), share),
            ScheduleFreeAdamState(move(state.between, steps(second), share), weights, second),
            rate,
        )

    return transform(name, init, step, holds=True)


card = Card(
    method=schedule_free_adamw,
    contract="transform",
    paper="Defazio et al. 2024, arXiv:2405.15682",
    seed=10,
    reference="the three sequences in NumPy, all kept; the official schedulefree, step for step",
    needs={"grad", "learning rate"},
    free_of={"schedule", "stopping time"},
)
