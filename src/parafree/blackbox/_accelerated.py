"""The accelerated gradient method of similar triangles, as a gradient transform.

Nesterov's optimal method for smooth convex functions, in the form of Gasnikov and Nesterov,
"Universal Method for Stochastic Composite Optimization Problems", 2018, arXiv:1604.05275.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp


class AcceleratedState(NamedTuple):
    """Where the method stands; vectors as the parameters."""

    weight: jax.Array  # (), A, the sum of the steps
    step: jax.Array  # (), the next step; 0 before the first one
    anchor: Any  # z, which takes whole steps
    answer: Any  # y, the mean of the anchors, weighted with their steps


class Accelerated(eqx.Module):
    """Three sequences: gradients are taken between the answer so far and what takes the steps.

    The parameters are where gradients are taken; ``state.answer`` is what the theory bounds. The
    gap falls as L R^2 / k^2 for a gradient that is L-Lipschitz, which may change from step to step.

    Example:
        >>> import optax
        >>> method, p = Accelerated(), jnp.array([4.0])
        >>> state = method.init(p)
        >>> for _ in range(20):
        ...     update, state = method.update(p, state, p, smoothness=1.0)
        ...     p = optax.apply_updates(p, update)
        >>> bool(abs(state.answer[0]) < 0.1)
        True
    """

    def init(self, p: Any) -> AcceleratedState:
        """Return the state at ``p``."""
        zero = jnp.zeros((), jnp.result_type(*jax.tree.leaves(p)))
        return AcceleratedState(zero, zero, p, p)

    def update(
        self,
        gradient: Any,
        state: AcceleratedState,
        p: Any,
        *,
        smoothness: Any,
        into: Callable[[Any], Any] = lambda p: p,
        **extra: Any,
    ) -> tuple[Any, AcceleratedState]:
        """Return the way to where the next gradient is taken.

        Args:
            gradient: at ``p``.
            state: of the method.
            p: where the gradient was taken.
            smoothness: L, the Lipschitz constant of the gradient in the next step, above 0.
            into: projects on the set of allowed parameters.
            extra: what other transforms take.
        """
        weight, lipschitz = state.weight, jnp.asarray(smoothness, state.weight.dtype)
        # The step was fixed when p was chosen; before the first one p is the start in any case.
        step = jnp.where(state.step > 0, state.step, 1 / lipschitz)
        anchor = into(jax.tree.map(lambda z, g: z - step * g, state.anchor, gradient))
        answer = _between(state.answer, weight, anchor, step)
        weight = weight + step
        # The next weight is the smoothness times the square of the next step.
        root = jnp.sqrt(1 + 4 * lipschitz * weight)
        following = (1 + root) / (2 * lipschitz)
        place = _between(answer, weight, anchor, following)
        update = jax.tree.map(lambda new, old: new - old, place, p)
        return update, AcceleratedState(weight, following, anchor, answer)


def _between(a: Any, weight: jax.Array, b: Any, step: jax.Array) -> Any:
    share = step / (weight + step)
    return jax.tree.map(lambda x, y: x + share * (y - x), a, b)
