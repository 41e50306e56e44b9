"""Where a model of several figures is lowest in the first while the others keep their limits.

The method of multipliers: Powell 1969 and Hestenes 1969, as in Nocedal, Wright, "Numerical
Optimization", 2006, section 17.3. Here all figures are quadratic models, so that a step between two
changes of the multipliers leads towards the lowest point of one more quadratic.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from parafree.blackbox._frame import Frame
from parafree.blackbox._quadratic import Quadratic, aim

_TURNS = 20  # changes of the multipliers
_PENALTY = 10.0  # of a broken limit, in units of how steep and how curved the first figure is
# Of the way to that lowest point: limits begin to count and cease to along it, so that a search
# that always goes the whole way runs in circles.
_SHARES = np.array([0, 1, 0.5, 0.25, 0.1, 0.03, 0.01])


def aim_within(
    models: Quadratic, where: Frame, mean: jax.Array, axes: jax.Array, radius: Any
) -> jax.Array:
    """Return about where the first figure is lowest while all others are at most 0.

    It keeps the bounds, and is no further from the mean than the radius; if no such point keeps
    all limits, it is one that breaks them little.

    Args:
        models: of the figures.
        where: the search.
        mean: (d,), where the steps begin.
        axes: (d, d), columns in which lengths are measured.
        radius: in their units.
    """
    slope, curvature = models.slope[0], models.curvature[0]
    constant = models.constant[1:] + models.offset[1:] / models.unit[1:]
    slopes, curvatures = models.slope[1:], models.curvature[1:]

    def first(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return the first figure, up to a constant, in the model's unit, and its slope (d,)."""
        q = models.inverse @ (x - models.centre)
        turned = curvature @ q
        return (slope + turned / 2) @ q, slope + turned

    def others(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return the other figures (k,), in the models' units, and their slopes (k, d)."""
        q = models.inverse @ (x - models.centre)
        turned = curvatures @ q
        return constant + (slopes + turned / 2) @ q, slopes + turned

    steep = jnp.linalg.norm(first(mean)[1]) / radius + jnp.linalg.norm(curvature)
    lengths = jnp.sum(others(mean)[1] ** 2, axis=1)
    penalty = _PENALTY * steep / (lengths + jnp.finfo(mean.dtype).tiny)

    def paid(x: jax.Array, multipliers: jax.Array) -> jax.Array:
        return jnp.maximum(multipliers + penalty * others(x)[0], 0)

    def lagrangian(x: jax.Array, multipliers: jax.Array) -> jax.Array:
        return first(x)[0] + jnp.sum(paid(x, multipliers) ** 2 / (2 * penalty))

    def again(_: Any, carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        x, multipliers = carry
        prices, rows = paid(x, multipliers), others(x)[1]
        pull = first(x)[1] + prices @ rows
        bend = curvature + jnp.tensordot(prices, curvatures, 1)
        bend += (rows.T * jnp.where(prices > 0, penalty, 0)) @ rows
        zero = jnp.zeros((), x.dtype)
        model = Quadratic(x, models.inverse, zero, pull, bend, zero, zero + 1)
        way = aim(model, where, mean, axes, radius) - x
        tried = x + jnp.asarray(_SHARES, x.dtype)[:, None] * way
        x = tried[jnp.argmin(jax.vmap(lagrangian, (0, None))(tried, multipliers))]
        return x, paid(x, multipliers)

    return jax.lax.fori_loop(0, _TURNS, again, (mean, jnp.zeros_like(penalty)))[0]
