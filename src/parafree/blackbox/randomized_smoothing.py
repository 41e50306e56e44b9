"""Randomised smoothing: any first-order method on a smoothed function, from batches of values.

Alexander Gasnikov, Anton Novitskii, Vasilii Novitskii, Farshed Abdukhakimov, Dmitry Kamzolov,
Aleksandr Beznosikov, Martin Takac, Pavel Dvurechensky, Bin Gu, "The Power of First-Order Smooth
Optimization for Black-Box Non-Smooth Problems", ICML 2022.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from parafree.blackbox._accelerated import Accelerated
from parafree.blackbox._sampled import Core, Sampled
from parafree.blackbox._sphere import on_sphere, slope
from parafree.core.card import Card

_NOISE = 0.4  # about 2 / sqrt(24): how steps of Lan's stochastic accelerated method shrink


class RandomizedSmoothingState(NamedTuple):
    """Where a search stands; d coordinates, dtype of the frame."""

    core: Core  # its mean is where gradients are asked for, its sigma the radius over sqrt(d)
    inner: Any  # the first-order method's own state
    answer: jax.Array  # (d,), what the first-order method holds for the minimum
    steepness: jax.Array  # (), the largest slope so far, an estimate of the Lipschitz constant


class RandomizedSmoothing(Sampled):
    """Minimise what is convex but not smooth, in few rounds of many values at once.

    The mean of a function over a small ball is smooth, and pairs of values give its gradient. So a
    first-order method for smooth functions goes down on it, and an accelerated one needs few
    rounds: with batches that are large enough, about d^(1/4) / accuracy instead of the
    d / accuracy^2 of a method that goes on after every pair. What a round asks for can be computed
    in parallel.

    Args:
        population: values in a round, at least 3; static. The first is of the answer so far, the
            others are pairs. ``None`` takes 4 + d^(3/4) pairs.
        spread: how far away the minimum is, as a root mean square over the coordinates, in units of
            the scale; a leaf, above 0.
        limits: when the search ends by itself.
        accuracy: epsilon over M R, the gap to get to, where M is the Lipschitz constant and R the
            distance to the minimum; a leaf in (0, 1). It fixes the radius to R accuracy / 2.
            ``None`` needs none: the radius shrinks from round to round.
        first_order: an optax transform, or ``Accelerated()``.

    Returns:
        An ask-and-tell method. ``best`` is the candidate with the smallest value, ``state.answer``
        what the theory speaks of. ``info`` is the room's record.

    Raises:
        MethodError: ``population`` is no whole number of at least 3.

    Cost:
        A round of n values takes O(n d) operations and memory.

    Source:
        arXiv:2201.12289: the l2 sphere, radius epsilon / (2 M), smoothness sqrt(d) M / radius, and
        a batched accelerated method: O(d^(1/4) M R / epsilon) rounds and O(d M^2 R^2 / epsilon^2)
        values.

    Differs:
        M is measured: the largest root mean square slope of a round. So nothing depends on the
        units of values. Steps are those of the method of similar triangles, shortened for noise as
        Lan's. Without an accuracy the radius in round k is the best one for k rounds,
        2 R d^(1/4) / (k + 4 d^(1/4)). Coordinates keep their bounds by projection, pairs by
        mirroring. Pairs that are not finite are left out.

    Example:
        >>> from parafree import run
        >>> kink = lambda p: jnp.max(jnp.abs(p - jnp.array([1.0, -0.5, 0.25])))
        >>> method = RandomizedSmoothing(population=65)
        >>> result = run(method, kink, jnp.zeros(3), jax.random.key(0), steps=100)
        >>> print(float(result.value) < 0.05)
        True
    """

    accuracy: Any = None
    first_order: Any = Accelerated()

    def least(self) -> int:
        """Return the smallest population allowed."""
        return 3

    def size(self, dimension: int) -> int:
        """Return an odd number: the answer, and pairs."""
        pairs = 4 + math.ceil(dimension**0.75)
        return 2 * (((self.population or 2 * pairs + 1) - 1) // 2) + 1

    def begin(self, core: Core) -> RandomizedSmoothingState:
        """Return the state in which nothing was learned yet."""
        core = core._replace(sigma=self._radius(core, 0) / core.frame.dimension**0.5)
        zero = jnp.zeros((), core.frame.dtype)
        return RandomizedSmoothingState(core, self.first_order.init(core.mean), core.mean, zero)

    def ask(self, key: jax.Array, state: RandomizedSmoothingState) -> tuple[Any, Any]:
        """Return the answer so far and pairs around where the gradient is asked for."""
        n, d = state.core.asked.shape
        e = on_sphere(key, ((n - 1) // 2, d), state.core.asked.dtype)
        draws = jnp.concatenate([jnp.zeros((1, d), e.dtype), e, -e])
        candidates = state.core.frame.points(self.place(state, draws))
        return candidates, state._replace(core=state.core._replace(asked=draws))

    def place(self, state: RandomizedSmoothingState, draws: jax.Array) -> jax.Array:
        """Return the point at the end of each direction; a draw of zeros stands for the answer."""
        core = state.core
        reach = core.sigma * core.frame.dimension**0.5
        pair = jnp.any(draws != 0, axis=1, keepdims=True)
        return jnp.where(pair, core.mean + reach * draws, state.answer)

    def deviation(self, state: RandomizedSmoothingState) -> jax.Array:
        """Return the radius as a deviation of every coordinate."""
        return jnp.broadcast_to(state.core.sigma, state.core.mean.shape)

    def learn(
        self,
        state: RandomizedSmoothingState,
        draws: jax.Array,
        values: jax.Array,
        count: jax.Array,
    ) -> RandomizedSmoothingState:
        """Estimate the gradient and give it to the first-order method."""
        core, n = state.core, (values.shape[0] - 1) // 2
        d, round_ = core.frame.dimension, core.progress.generation
        ahead, behind = values[1 : n + 1], values[n + 1 :]
        found = slope(draws[1 : n + 1], ahead, behind, core.sigma * d**0.5)
        steepness = jnp.maximum(state.steepness, found.length)
        radius = self._radius(core, round_ + 1)
        smoothness = self._smoothness(core, steepness, radius, found.pairs, round_ + 1)
        method = self.first_order
        if isinstance(method, optax.GradientTransformation):
            method = optax.with_extra_args_support(method)
        update, inner = method.update(
            found.gradient, state.inner, core.mean, smoothness=smoothness, into=self._into(core)
        )
        mean = self._into(core)(core.mean + update)
        core = core._replace(mean=mean, sigma=radius / d**0.5)
        after = RandomizedSmoothingState(core, inner, getattr(inner, "answer", mean), steepness)
        flat = (found.pairs == 0) | (steepness == 0)
        return jax.tree.map(lambda old, new: jnp.where(flat, old, new), state, after)

    def _radius(self, core: Core, round_: Any) -> jax.Array:
        """Return gamma, in units of the scale."""
        d, dtype = core.frame.dimension, core.frame.dtype
        distance = core.first * d**0.5
        if self.accuracy is not None:
            return distance * jnp.asarray(self.accuracy, dtype) / 2
        slow = 2 * d**0.25
        return distance * slow / (jnp.asarray(round_, dtype) + 2 * slow)

    def _smoothness(
        self, core: Core, steepness: jax.Array, radius: jax.Array, pairs: jax.Array, round_: Any
    ) -> jax.Array:
        """Return L, and what makes steps short enough that noise averages out."""
        d, dtype = core.frame.dimension, core.frame.dtype
        distance = core.first * d**0.5
        noise = (d / jnp.maximum(pairs, 1).astype(dtype)) ** 0.5  # of a round, over the slope
        steps = jnp.asarray(round_, dtype)
        found = steepness * (2 * d**0.5 / radius + _NOISE * noise * steps**1.5 / distance)
        return jnp.where(found > 0, found, 1)

    @staticmethod
    def _into(core: Core) -> Any:
        """Return the projection on the bounds, in coordinates."""
        where = core.frame
        scale = jnp.where(where.scale > 0, where.scale, jnp.ones_like(where.scale))
        low, high = (where.low - where.origin) / scale, (where.high - where.origin) / scale
        return lambda x: jnp.clip(x, low, high)


card = Card(
    method=RandomizedSmoothing,
    contract="asktell",
    paper="Gasnikov et al. 2022, arXiv:2201.12289",
    seed=22,
    reference="the batched accelerated method in slow NumPy with the same draws",
    needs={"values"},
    free_of={"gradient", "smoothness", "learning rate", "Lipschitz constant"},
)
