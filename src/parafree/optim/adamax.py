"""AdaMax: Adam with the largest recent gradient in place of the root mean square.

Diederik P. Kingma, Jimmy Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015, section 7.1.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from parafree.core.card import Card
from parafree.optim._numbers import Number, Schedule, at, remaining, require, shares
from parafree.optim._transform import Gradient, Step, transform
from parafree.optim._tree import dtype_of, wide


class AdaMaxState(NamedTuple):
    """Where AdaMax stands."""

    first: Any  # mean gradient, as the parameters, at least float32
    largest: Any  # decayed largest size of the gradient


def adamax(
    learning_rate: Number | Schedule = 2e-3,
    *,
    b1: Number = 0.9,
    b2: Number = 0.999,
    eps: Number = 1e-8,
) -> optax.GradientTransformationExtraArgs:
    """Descend along the first moment of the gradient over its decayed largest size.

    Args:
        learning_rate: the length of a step in every coordinate, or a schedule of it; at least 0.
        b1: decay of the first moment, in [0, 1).
        b2: decay of the largest size, in [0, 1).
        eps: added to the size of every gradient entry; above 0.

    Returns:
        A gradient transform.

    Raises:
        MethodError: a number is out of its range.

    Cost:
        One gradient a step. Memory: two copies of the parameters, at least float32.

    Source:
        Kingma and Ba 2015, arXiv:1412.6980, algorithm 2.

    Differs:
        From the paper: ``eps``, which keeps an entry that never had a gradient from dividing zero
        by zero, as in optax and PyTorch. From optax.adamax: works under strict promotion of
        dtypes, keeps float32 moments of bfloat16 parameters, and skips a step whose gradient is
        not finite.

    Example:
        >>> import jax, jax.numpy as jnp, parafree
        >>> from parafree import optim
        >>> bowl = lambda p: jnp.sum((p - 3) ** 2)
        >>> result = parafree.run(optim.adamax(0.1), bowl, jnp.ones(3), jax.random.key(0),
        ...                       steps=200)
        >>> print(result.p.round(2))
        [3. 3. 3.]
    """
    require("adamax", "learning_rate", learning_rate)
    require("adamax", "b1", b1, high=1.0)
    require("adamax", "b2", b2, high=1.0)
    require("adamax", "eps", eps, open_low=True)

    def init(params: Any) -> AdaMaxState:
        blank = jax.tree.map(jnp.zeros_like, wide(params))
        return AdaMaxState(blank, blank)

    def step(gradient: Gradient, state: AdaMaxState, p: Any, count: jax.Array) -> Step:
        dtype, grads = dtype_of(p), gradient.bounded()
        (keep, new), decay = shares(b1, dtype), jnp.asarray(b2, dtype)
        small = jnp.asarray(eps, dtype)
        largest = lambda u, g: jnp.maximum(decay * u, jnp.abs(g) + small)  # noqa: E731
        first = jax.tree.map(lambda m, g: keep * m + new * g, state.first, grads)
        top = jax.tree.map(largest, state.largest, grads)
        rate = at(learning_rate, count, dtype)
        length = rate / remaining(b1, count + 1, dtype)

        def moved(m: jax.Array, u: jax.Array) -> jax.Array:
            # The quotient first: both may be as small as numbers get.
            return jnp.where(u > 0, -length * (m / jnp.where(u > 0, u, 1)), 0)

        return Step(
            lambda kept: jax.tree.map(moved, kept.first, kept.largest),
            AdaMaxState(first, top),
            rate,
        )

    return transform("adamax", init, step)


card = Card(
    method=adamax,
    contract="transform",
    paper="Kingma, Ba 2015, arXiv:1412.6980",
    seed=147,
    reference="algorithm 2 in NumPy; torch.optim.Adamax, step for step",
    needs={"grad", "learning rate"},
    free_of={"scale of each gradient entry"},
)
