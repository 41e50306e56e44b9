"""Adam's step, for the small fits inside of a search; under strict promotion of types.

Diederik P. Kingma, Jimmy Ba, "Adam: A Method for Stochastic Optimization", ICLR 2015.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

_FADE, _FADE_SQUARE, _LEAST = 0.9, 0.999, 1e-8


class Moments(NamedTuple):
    """Moving averages of a gradient."""

    mean: Any  # like the parameters
    square: Any  # like the parameters
    steps: jax.Array  # (), how many there were, as a floating-point number


def still(p: Any) -> Moments:
    """Return the averages before the first step."""
    zero = jax.tree.map(jnp.zeros_like, p)
    return Moments(zero, zero, jnp.zeros((), jax.tree.leaves(p)[0].dtype))


def move(p: Any, gradient: Any, moments: Moments, rate: Any) -> tuple[Any, Moments]:
    """Return parameters after a step, and the averages; what is not finite moves nothing.

    Example:
        >>> p, moments = jnp.array([1.0, 1.0]), still(jnp.zeros(2))
        >>> [f"{x:.3f}" for x in move(p, jnp.array([5.0, -0.1]), moments, 0.25)[0]]
        ['0.750', '1.250']
    """
    g = jax.tree.map(lambda x: jnp.where(jnp.isfinite(x), x, 0), gradient)
    mean = jax.tree.map(lambda m, x: _FADE * m + (1 - _FADE) * x, moments.mean, g)
    square = jax.tree.map(
        lambda v, x: _FADE_SQUARE * v + (1 - _FADE_SQUARE) * x**2, moments.square, g
    )
    steps = moments.steps + 1
    share, share_square = 1 - _FADE**steps, 1 - _FADE_SQUARE**steps

    def moved(x: jax.Array, m: jax.Array, v: jax.Array) -> jax.Array:
        return x - rate * (m / share) / (jnp.sqrt(v / share_square) + _LEAST)

    return jax.tree.map(moved, p, mean, square), Moments(mean, square, steps)
