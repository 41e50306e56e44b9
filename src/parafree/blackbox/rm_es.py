"""Rm-ES: an isotropic distribution stretched along a few paths of the mean, of different times.

Zhenhua Li, Qingfu Zhang, "A Simple Yet Efficient Evolution Strategy for Large-Scale Black-Box
Optimization", IEEE Transactions on Evolutionary Computation, 2018.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from parafree.blackbox._path import follow
from parafree.blackbox._ranking import weigh
from parafree.blackbox._remembered import improvement, logarithmic, lowest, replaced, succeeded
from parafree.blackbox._sampled import Core, Sampled
from parafree.core.card import Card

_TARGET = 0.3  # q*, the share of ranks by which a generation should be better than the last


class RmESState(NamedTuple):
    """Where Rm-ES stands; d coordinates and m paths, dtype of the frame."""

    core: Core
    paths: jax.Array  # (m, d), kept from earlier generations, the newest last
    times: jax.Array  # (m,), int32, the generations that they come from
    path: jax.Array  # (d,), p, of this generation
    previous: jax.Array  # (mu,), the last generation's best values, in order
    success: jax.Array  # (), s, how much ranks have improved on average


class RmES(Sampled):
    """Minimise with a normal distribution that is stretched along directions of past success.

    Args:
        population: candidates in a batch, at least 4; static. ``None`` takes 4 + 3 log d.
        spread: the first step size, in units of the scale; a leaf, above 0.
        limits: when the search ends by itself.
        memory: how many directions m to keep; static, at least 1. With one it is the R1-ES.

    Returns:
        An ask-and-tell method. ``info`` is the room's record; its status says how the search ended.

    Raises:
        MethodError: ``population`` is no whole number of at least 4.

    Cost:
        A batch of n candidates takes O(n m d) operations; memory O((n + m) d).

    Source:
        Li and Zhang 2018, algorithms 1 to 3: c_cov = 1 / (3 sqrt(d) + 5), c = 2 / (d + 7), the
        rank-based rule with q* = 0.3 and c_s = 0.3, paths at least d generations apart.

    Differs:
        The start is not evaluated; the first generation counts as better than what was before.
        Weights are log((n + 1) / 2) - log i. Candidates without a finite value take no part; those
        beyond a bound move onto it, and the mean stays near it.

    Example:
        >>> from parafree import run
        >>> result = run(RmES(), lambda p: jnp.sum((p - 3) ** 2), jnp.zeros(50),
        ...              jax.random.key(0), steps=400)
        >>> bool(result.value < 1e-2)
        True
    """

    memory: int = eqx.field(default=2, static=True)

    clips = True

    def draws(self, dimension: int) -> int:
        """Return how many standard normal numbers make a candidate: one more for every path."""
        return dimension + self.memory

    def begin(self, core: Core) -> RmESState:
        """Return the state in which nothing was learned yet."""
        d, dtype = core.frame.dimension, core.frame.dtype
        previous = jnp.full(self.size(d) // 2, jnp.inf, dtype)
        paths, times = jnp.zeros((self.memory, d), dtype), jnp.zeros(self.memory, jnp.int32)
        zero = jnp.zeros((), dtype)
        return RmESState(core, paths, times, jnp.zeros_like(core.mean), previous, zero)

    def place(self, state: RmESState, draws: jax.Array) -> jax.Array:
        """Return mean + sigma (a^m z + b sum_i a^(m-i) r_i p_i) (algorithm 3, line 4)."""
        d = state.core.frame.dimension
        rest, along = _shares(d, self.memory, draws.dtype)
        steps = rest * draws[:, :d] + (draws[:, d:] * along) @ state.paths
        return state.core.mean + state.core.sigma * steps

    def deviation(self, state: RmESState) -> jax.Array:
        """Return the root of the covariance's diagonal."""
        rest, along = _shares(state.core.frame.dimension, self.memory, state.paths.dtype)
        return state.core.sigma * jnp.sqrt(rest**2 + along**2 @ state.paths**2)

    def learn(
        self, state: RmESState, draws: jax.Array, values: jax.Array, count: jax.Array
    ) -> RmESState:
        """Move the mean, then the path, then the step size, and keep the path if it is time."""
        core, d = state.core, state.core.frame.dimension
        weights = weigh(values, count)
        # A candidate is linear in its draws, so the mean of candidates is that of the mean draw.
        mean = self.place(state, (weights.positive @ draws)[None])[0]
        step = (mean - core.mean) / core.sigma
        path = follow(state.path, jnp.asarray(2 / (d + 7), step.dtype), weights.mass, step)
        current = lowest(values, state.previous.shape[0])
        shares = logarithmic(len(current), current.dtype)
        gain = improvement(state.previous, current, shares, _TARGET)
        success = succeeded(state.success, gain, jnp.bool(False))
        core = core._replace(mean=mean, sigma=core.sigma * jnp.exp(success))
        paths, times = _kept(state, path)
        return RmESState(core, paths, times, path, current, success)


def _shares(d: int, memory: int, dtype: Any) -> tuple[float, jax.Array]:
    """Return a^m and b a^(m-i) for i = 1 ... m."""
    learning = 1 / (3 * math.sqrt(d) + 5)
    a = math.sqrt(1 - learning)
    along = np.sqrt(learning) * a ** np.arange(memory - 1, -1, -1)
    return a**memory, jnp.asarray(along, dtype)


def _kept(state: RmESState, path: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return the paths with the new one last (algorithm 2).

    One goes: the oldest if all are far enough apart, else the later one of the closest two.
    """
    memory = state.times.shape[0]
    now = state.core.progress.generation
    if memory == 1:
        return path[None], now[None]
    gaps = jnp.diff(state.times)
    apart = (jnp.min(gaps) > state.core.frame.dimension) | (now < memory)
    gone = jnp.where(apart, 0, jnp.argmin(gaps).astype(jnp.int32) + 1)
    return replaced(state.paths, gone, path), replaced(state.times, gone, now)


card = Card(
    method=RmES,
    contract="asktell",
    paper="Li, Zhang 2018, doi:10.1109/TEVC.2017.2765682",
    seed=208,
    reference="the paper's algorithms in NumPy, draw for draw",
    needs={"values"},
    free_of={"gradient", "learning rate", "population size"},
)
