"""Measures how far a point is from Goldstein-stationary, where a gradient says nothing.

Allen A. Goldstein, "Optimization of Lipschitz Continuous Functions", Mathematical Programming 1977;
as the measure of Chen, Xu, Luo, "Faster Gradient-Free Algorithms for Nonsmooth Nonconvex Stochastic
Optimization", ICML 2023.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from parafree.blackbox._frame import Frame, frame
from parafree.blackbox._sphere import on_sphere
from parafree.core.card import Card
from parafree.core.errors import MethodError


class GoldsteinInfo(NamedTuple):
    """What stands behind an estimate."""

    mean: jax.Array  # (d,), the estimated gradient of the mean over the ball
    noise: jax.Array  # (), its standard error, as a length: what a norm of 0 would look like
    samples: jax.Array  # (), int32, samples that are finite
    calls: jax.Array  # (), int32, values asked for, or values with gradients


class Goldstein(eqx.Module):
    """The norm of the gradient of a function's mean over a small ball.

    That gradient lies in the convex hull of the gradients in the ball. So where its norm is at most
    epsilon, the point is (radius, epsilon)-Goldstein stationary; where it is not, the point may
    still be, for the hull may hold something shorter.

    Args:
        radius: delta, of the ball, in units of the scale; a leaf, above 0.
        samples: how many pairs of values, or gradients; at least 2, static.
        gradients: take JAX's gradients at points of the ball instead of pairs of values on its
            surface, which is much less noisy; static.

    Returns:
        An estimator: ``estimate(key, f, p, a)`` returns the norm for ``f(p, a)`` and an info
        record. The square of the norm is unbiased before it is cut off at 0, so that noise does
        not look like a slope.

    Shapes:
        ``p`` is what the room's methods take: a pytree, a :class:`Region` or a space.

    Raises:
        MethodError: ``samples`` is no whole number of at least 2.

    Cost:
        2 ``samples`` values at once, or ``samples`` gradients. Memory O(samples d).

    Source:
        arXiv:2301.06428, proposition on the smoothed surrogate: its gradient is in the Goldstein
        subdifferential.

    Differs:
        The paper bounds the norm in theory and does not measure it.

    Example:
        >>> kink = lambda p, a: jnp.abs(p[0]) + 2 * p[1]
        >>> measure = Goldstein(0.1, gradients=True)
        >>> at = lambda *x: measure.estimate(jax.random.key(0), kink, jnp.array(x), None)[0]
        >>> print(at(0.0, 5.0).round(1), at(1.0, 5.0).round(1))
        2.0 2.2
    """

    radius: Any = 1e-3
    samples: int = eqx.field(static=True, default=1000)
    gradients: bool = eqx.field(static=True, default=False)

    def __check_init__(self) -> None:
        if type(self.samples) is not int or self.samples < 2:
            raise MethodError(
                f"samples is {self.samples!r}",
                where="parafree.blackbox.Goldstein",
                fix="give a whole number of at least 2",
            )

    def estimate(
        self, key: jax.Array, f: Callable[[Any, Any], Any], p: Any, a: Any
    ) -> tuple[jax.Array, GoldsteinInfo]:
        """Return the norm at ``p`` and what stands behind it."""
        where = frame(p)
        objective = lambda x: f(where.point(x), a)  # noqa: E731
        draws = self._in_ball if self.gradients else self._on_surface
        drawn, calls = draws(key, objective, where)
        good = jnp.isfinite(drawn).all(axis=1)
        drawn = jnp.where(good[:, None], drawn, 0)
        n = jnp.sum(good).astype(drawn.dtype)
        mean = jnp.sum(drawn, axis=0) / jnp.maximum(n, 1)
        spread = jnp.sum(jnp.where(good[:, None], drawn - mean, 0) ** 2) / jnp.maximum(n - 1, 1)
        noise = spread / jnp.maximum(n, 1)  # E |mean|^2 = |E mean|^2 + noise
        norm = jnp.sqrt(jnp.maximum(jnp.sum(mean**2) - noise, 0))
        info = GoldsteinInfo(mean, jnp.sqrt(noise), n.astype(jnp.int32), jnp.int32(calls))
        return jnp.where(n > 1, norm, jnp.nan), info

    def _on_surface(self, key: jax.Array, objective: Any, where: Frame) -> tuple[jax.Array, int]:
        d, radius = where.dimension, jnp.asarray(self.radius, where.dtype)
        e = on_sphere(key, (self.samples, d), where.dtype)
        values = jax.vmap(objective)(jnp.concatenate([radius * e, -radius * e]))
        ahead, behind = values.astype(where.dtype).reshape(2, -1)
        return d * ((ahead - behind) / (2 * radius))[:, None] * e, 2 * self.samples

    def _in_ball(self, key: jax.Array, objective: Any, where: Frame) -> tuple[jax.Array, int]:
        turn, depth = jax.random.split(key)
        d, dtype = where.dimension, where.dtype
        e = on_sphere(turn, (self.samples, d), dtype)
        reach = jax.random.uniform(depth, (self.samples, 1), dtype) ** (1 / d)
        x = jnp.asarray(self.radius, dtype) * reach * e
        return jax.vmap(jax.grad(objective))(x).astype(dtype), self.samples


card = Card(
    method=Goldstein,
    contract="estimator",
    paper="Chen, Xu, Luo 2023, arXiv:2301.06428",
    seed=40,
    reference="closed forms: a linear function, a kink, a quadratic, and a kink beside the ball",
    needs={"values"},
    free_of={"gradient", "smoothness"},
)
