"""Schedule-Free SGD: averaging in place of a learning-rate schedule, with no stopping time.

Aaron Defazio, Xingyu Yang, Harsh Mehta, Konstantin Mishchenko, Ahmed Khaled, Ashok Cutkosky, "The
Road Less Scheduled", NeurIPS 2024.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import optax

from parafree.core.card import Card
from parafree.optim._distance import with_decay
from parafree.optim._numbers import Number, Schedule, require
from parafree.optim._schedule_free import Between, Weights, begin, move, updates, warm, weigh
from parafree.optim._transform import Gradient, Step, transform
from parafree.optim._tree import dtype_of


class ScheduleFreeState(NamedTuple):
    """Where Schedule-Free SGD stands."""

    between: Between
    weights: Weights


def schedule_free_sgd(
    learning_rate: Number | Schedule = 1.0,
    *,
    beta: Number = 0.9,
    weight_decay: Number = 0.0,
    warmup_steps: Number = 0,
) -> optax.GradientTransformationExtraArgs:
    """Descend at a constant rate, and average so that no schedule is needed.

    Evaluate and save with :func:`parafree.optim.eval_params`; there is no mode to switch. Where a
    model keeps statistics of its activations (batch normalisation), those were gathered at the
    training point: before evaluating, pass a few dozen batches of training data through the model
    at ``eval_params(opt_state, params)`` and gather them there. Layer and group normalisation need
    nothing.

    Args:
        learning_rate: of every step after the warm-up, or a function of the step; at least 0. It
            may be larger than that of SGD with a schedule.
        beta: share of the average in the point where the gradient is taken, in (0, 1).
        weight_decay: adds this times the parameters to the gradient; at least 0.
        warmup_steps: over so many steps the rate rises linearly; at least 0.

    Returns:
        A gradient transform.

    Raises:
        MethodError: a number is out of its range.

    Cost:
        One gradient a step. Memory: a copy of the parameters, at least float32; a second one where
        the parameters themselves are coarser.

    Source:
        Defazio et al. 2024, arXiv:2405.15682, the method of section 1, with the weights of the
        official package schedulefree: squares of the largest rate so far.

    Differs:
        optax.contrib.schedule_free counts its warm-up from 0, so that the first step has no length,
        and finds the average from bfloat16 parameters, which loses it in rounding. Here the average
        is kept in float32 where the parameters are coarser.

    Example:
        >>> import jax, jax.numpy as jnp, parafree
        >>> from parafree import optim
        >>> bowl = lambda p: jnp.sum((p - 3) ** 2)
        >>> method = optim.schedule_free_sgd(0.3)
        >>> result = parafree.run(method, bowl, jnp.ones(3), jax.random.key(0), steps=200)
        >>> print(optim.eval_params(result.state.inner, result.state.p).round(2))
        [3. 3. 3.]
    """
    name = "schedule_free_sgd"
    require(name, "learning_rate", learning_rate)
    require(name, "beta", beta, high=1.0, open_low=True)
    require(name, "weight_decay", weight_decay)
    require(name, "warmup_steps", warmup_steps)

    def init(params: Any) -> ScheduleFreeState:
        return ScheduleFreeState(*begin(params, beta))

    def step(gradient: Gradient, state: ScheduleFreeState, y: Any, count: jax.Array) -> Step:
        dtype = dtype_of(y)
        rate = warm(learning_rate, warmup_steps, count, dtype)
        weights, share = weigh(state.weights, rate)
        gradient = with_decay(gradient, y, weight_decay, dtype)
        steps = lambda: jax.tree.map(lambda g: rate * g, gradient.tree)  # noqa: E731
        return Step(
            lambda kept: updates(kept.between, y, steps(), share),
            ScheduleFreeState(move(state.between, steps(), share), weights),
            rate,
        )

    return transform(name, init, step)


card = Card(
    method=schedule_free_sgd,
    contract="transform",
    paper="Defazio et al. 2024, arXiv:2405.15682",
    seed=10,
    reference="the three sequences in NumPy, all kept; the official schedulefree, step for step",
    needs={"grad", "learning rate"},
    free_of={"schedule", "stopping time"},
)
