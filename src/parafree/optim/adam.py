"""Adam: steps along the mean gradient, each entry divided by its own root mean square.

Diederik P. Kingma, Jimmy Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015.
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


class AdamState(NamedTuple):
    """Where Adam stands."""

    first: Any  # mean gradient, as the parameters, at least float32
    second: Any  # mean square of the gradient


def adam(
    learning_rate: Number | Schedule = 1e-3,
    *,
    b1: Number = 0.9,
    b2: Number = 0.999,
    eps: Number = 1e-8,
) -> optax.GradientTransformationExtraArgs:
    """Descend along the first moment of the gradient over the root of the second.

    Args:
        learning_rate: the length of a step in every coordinate, or a schedule of it; at least 0.
        b1: decay of the first moment, in [0, 1).
        b2: decay of the second moment, in [0, 1).
        eps: added to the root of the second moment; at least 0.

    Returns:
        A gradient transform.

    Raises:
        MethodError: a number is out of its range.

    Cost:
        One gradient a step. Memory: two copies of the parameters, at least float32.

    Source:
        Kingma and Ba 2015, arXiv:1412.6980, algorithm 1.

    Differs:
        From optax.adam: works under strict promotion of dtypes, keeps float32 moments of bfloat16
        parameters, skips a step whose gradient is not finite, and cuts float32 gradients at 2e18,
        whose squares would overflow and end all motion. From the paper: an entry whose mean
        gradient is zero stays where it is also where ``eps`` is zero.

    Example:
        >>> import jax, jax.numpy as jnp, parafree
        >>> from parafree import optim
        >>> bowl = lambda p: jnp.sum((p - 3) ** 2)
        >>> result = parafree.run(optim.adam(0.1), bowl, jnp.ones(3), jax.random.key(0), steps=200)
        >>> print(result.p.round(2))
        [3. 3. 3.]
    """
    require("adam", "learning_rate", learning_rate)
    require("adam", "b1", b1, high=1.0)
    require("adam", "b2", b2, high=1.0)
    require("adam", "eps", eps)

    def init(params: Any) -> AdamState:
        blank = jax.tree.map(jnp.zeros_like, wide(params))
        return AdamState(blank, blank)

    def step(gradient: Gradient, state: AdamState, p: Any, count: jax.Array) -> Step:
        dtype, grads = dtype_of(p), gradient.bounded()
        (keep1, new1), (keep2, new2) = shares(b1, dtype), shares(b2, dtype)
        first = jax.tree.map(lambda m, g: keep1 * m + new1 * g, state.first, grads)
        second = jax.tree.map(lambda v, g: keep2 * v + new2 * jnp.square(g), state.second, grads)
        rate, small = at(learning_rate, count, dtype), jnp.asarray(eps, dtype)
        length = rate / remaining(b1, count + 1, dtype)
        root = jnp.sqrt(remaining(b2, count + 1, dtype))

        def moved(m: jax.Array, v: jax.Array) -> jax.Array:
            return jnp.where(m == 0, 0, -length * m / (jnp.sqrt(v) / root + small))

        return Step(
            lambda kept: jax.tree.map(moved, kept.first, kept.second),
            AdamState(first, second),
            rate,
        )

    return transform("adam", init, step)


card = Card(
    method=adam,
    contract="transform",
    paper="Kingma, Ba 2015, arXiv:1412.6980",
    seed=147,
    reference="algorithm 1 in NumPy; torch.optim.Adam, step for step",
    needs={"grad", "learning rate"},
    free_of={"scale of each gradient entry"},
)
