"""LM-MA-ES: MA-ES with a few vectors in place of the matrix, for very many parameters.

Ilya Loshchilov, Tobias Glasmachers, Hans-Georg Beyer, "Large Scale Black-Box Optimization by
Limited-Memory Matrix Adaptation", IEEE Transactions on Evolutionary Computation, 2019.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from parafree.blackbox._path import follow
from parafree.blackbox._ranking import weigh
from parafree.blackbox._sampled import Core, Sampled
from parafree.core.card import Card


class LMMAESState(NamedTuple):
    """Where LM-MA-ES stands; d coordinates and m vectors, dtype of the frame."""

    core: Core
    vectors: jax.Array  # (m, d), paths that remember for ever longer times
    path: jax.Array  # (d,), p_sigma


class LMMAES(Sampled):
    """Minimise with a normal distribution that is shaped by a few remembered directions.

    Args:
        population: candidates in a batch, at least 4; static. ``None`` takes 4 + 3 log d.
        spread: the first step size, in units of the scale; a leaf, above 0.
        limits: when the search ends by itself.
        memory: how many directions m to remember; static. ``None`` takes 4 + 3 log d.

    Returns:
        An ask-and-tell method. ``info`` is the room's record; its status says how the search
        ended, and its spread leaves out what the directions do to the scales of coordinates.

    Raises:
        MethodError: ``population`` is no whole number of at least 4.

    Cost:
        A batch of n candidates takes O(n m d) operations; memory O((n + m) d).

    Source:
        Loshchilov, Glasmachers and Beyer 2019, algorithm 1 and its default parameters.

    Differs:
        Rates are at most 1/2; the paper's own, which are meant for d in the hundreds, pass 1 in
        few dimensions. Step sizes grow by at most e in a generation. Candidates without a finite
        value take no part.

    Example:
        >>> from parafree import run
        >>> result = run(LMMAES(), lambda p: jnp.sum((p - 3) ** 2), jnp.zeros(50),
        ...              jax.random.key(0), steps=400)
        >>> bool(result.value < 1e-3)
        True
    """

    memory: int | None = eqx.field(default=None, static=True)

    def begin(self, core: Core) -> LMMAESState:
        """Return the state in which nothing was learned yet."""
        d = core.frame.dimension
        count = self.memory or 4 + int(3 * math.log(d))
        return LMMAESState(core, jnp.zeros((count, d), core.frame.dtype), jnp.zeros_like(core.mean))

    def place(self, state: LMMAESState, draws: jax.Array) -> jax.Array:
        """Return mean + sigma d, with d from line 8."""
        return state.core.mean + state.core.sigma * _transformed(state, draws)

    def deviation(self, state: LMMAESState) -> jax.Array:
        """Return sigma for every coordinate."""
        return jnp.broadcast_to(state.core.sigma, state.core.mean.shape)

    def learn(
        self, state: LMMAESState, draws: jax.Array, values: jax.Array, count: jax.Array
    ) -> LMMAESState:
        """Move the mean, then the directions, then the step size."""
        core, d = state.core, state.core.frame.dimension
        weights = weigh(values, count)
        size = jnp.asarray(count, core.frame.dtype)
        z_mean = weights.positive @ draws
        # Linear in the draws, so the mean draw alone is stretched.
        mean = core.mean + core.sigma * _transformed(state, z_mean[None])[0]
        rate = jnp.minimum(2 * size / d, 0.5)
        path = follow(state.path, rate, weights.mass, z_mean)
        order = jnp.arange(state.vectors.shape[0], dtype=size.dtype)
        forget = jnp.minimum(size / (d * 4.0**order), 0.5)[:, None]
        vectors = follow(state.vectors, forget, weights.mass, z_mean)
        growth = rate / 2 * (jnp.sum(path**2) / d - 1)
        sigma = core.sigma * jnp.exp(jnp.minimum(growth, 1))
        return LMMAESState(core._replace(mean=mean, sigma=sigma), vectors, path)


def _transformed(state: LMMAESState, draws: jax.Array) -> jax.Array:
    """Stretch draws (n, d) along every remembered direction in turn."""
    count, d = state.vectors.shape
    order = jnp.arange(count, dtype=jnp.int32)
    rates = jnp.minimum(1 / (d * 1.5 ** order.astype(draws.dtype)), 0.5)
    rates = jnp.where(order < state.core.progress.generation, rates, 0)

    def stretch(steps: jax.Array, turn: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, None]:
        rate, vector = turn
        return (1 - rate) * steps + rate * (steps @ vector)[:, None] * vector, None

    return jax.lax.scan(stretch, draws, (rates, state.vectors))[0]


card = Card(
    method=LMMAES,
    contract="asktell",
    paper="Loshchilov, Glasmachers, Beyer 2019, doi:10.1109/TEVC.2018.2855049",
    seed=208,
    reference="the paper's algorithm in NumPy, draw for draw",
    needs={"values"},
    free_of={"gradient", "learning rate", "population size"},
)
