"""Fast CMA-ES: every candidate is stretched along the newest path of the mean and an older one.

Zhenhua Li, Qingfu Zhang, Xi Lin, Hui-Ling Zhen, "Fast Covariance Matrix Adaptation for Large-Scale
Black-Box Optimization", IEEE Transactions on Cybernetics 50(5), 2020.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from parafree.blackbox._path import follow
from parafree.blackbox._ranking import weigh
from parafree.blackbox._remembered import improvement, logarithmic, lowest, replaced, succeeded
from parafree.blackbox._sampled import Core, Sampled
from parafree.core.card import Card

_TARGET = 0.27  # q*, the share of ranks by which a generation is to improve on the last one


class FastCMAESState(NamedTuple):
    """Where Fast CMA-ES stands; d coordinates and m paths, dtype of the frame."""

    core: Core
    paths: jax.Array  # (m, d), of every d-th generation, the newest last
    path: jax.Array  # (d,), p, of this generation
    previous: jax.Array  # (mu,), the last generation's best values, in order
    success: jax.Array  # (), s, how much ranks have improved on average


class FastCMAES(Sampled):
    """Minimise with a mixture of normal distributions, each stretched along two paths of the mean.

    Taken together they reproduce a covariance of as many directions as there are paths, at the
    price of two for every candidate. For hundreds of parameters and more.

    Args:
        population: candidates in a batch, at least 4; static. ``None`` takes 4 + 3 log d.
        spread: the first step size, in units of the scale; a leaf, above 0.
        limits: when the search ends by itself.
        memory: how many paths m to keep; static, at least 1. ``None``: as many as candidates.

    Returns:
        An ask-and-tell method. ``info`` is the room's record; its status says how the search ended.

    Raises:
        MethodError: ``population`` is no whole number of at least 4.

    Cost:
        A batch of n candidates takes O(n d) operations; memory O((n + m) d).

    Source:
        Li, Zhang, Lin and Zhen 2020, with the parameters of PyPop7's FCMAES: c = 2 / (d + 5),
        c_1 = 1 / (3 sqrt(d) + 5), the rank-based rule with q* = 0.27, c_s = 0.3 and d_s = 1, a
        path every d generations, and candidates without a direction in the first m generations.

    Differs:
        Candidates without a finite value take no part. Where there are not as many paths as
        candidates, these are spread evenly over them. Where a generation has more candidates than
        a batch, the best of it are compared to the best of the last one. Candidates beyond a bound
        move onto it, and the mean stays near it.

    Example:
        >>> from parafree import run
        >>> result = run(FastCMAES(), lambda p: jnp.sum((p - 3) ** 2), jnp.zeros(50),
        ...              jax.random.key(0), steps=400)
        >>> bool(result.value < 1e-2)
        True
    """

    memory: int | None = eqx.field(default=None, static=True)

    clips = True

    def draws(self, dimension: int) -> int:
        """Return how many standard normal numbers make a candidate: three more for its paths."""
        return dimension + 3

    def begin(self, core: Core) -> FastCMAESState:
        """Return the state in which nothing was learned yet."""
        d, dtype = core.frame.dimension, core.frame.dtype
        paths = jnp.zeros((self.memory or self.size(d), d), dtype)
        previous = jnp.full(self.size(d) // 2, jnp.inf, dtype)
        return FastCMAESState(
            core, paths, jnp.zeros_like(core.mean), previous, jnp.zeros((), dtype)
        )

    def offer(self, state: FastCMAESState, draws: jax.Array) -> tuple[Any, FastCMAESState]:
        """Return candidates that take one path each, in turn."""
        n = draws.shape[0]
        turn = jax.scipy.special.ndtri((jnp.arange(n, dtype=draws.dtype) + 0.5) / n)
        return super().offer(state, draws.at[:, -1].set(turn))

    def place(self, state: FastCMAESState, draws: jax.Array) -> jax.Array:
        """Return mean + sigma y."""
        return state.core.mean + state.core.sigma * _transformed(state, draws)

    def deviation(self, state: FastCMAESState) -> jax.Array:
        """Return the root of the covariance's diagonal, over all paths."""
        rest, old, new = _shares(state)
        older = jnp.mean(state.paths**2, axis=0)
        variance = rest**2 + old**2 * older + new**2 * state.path**2
        return state.core.sigma * jnp.sqrt(variance)

    def learn(
        self, state: FastCMAESState, draws: jax.Array, values: jax.Array, count: jax.Array
    ) -> FastCMAESState:
        """Move the mean, then the path, then the step size, and keep the path if it is time."""
        core, d = state.core, state.core.frame.dimension
        weights = weigh(values, count)
        step = weights.positive @ _transformed(state, draws)
        path = follow(state.path, jnp.asarray(2 / (d + 5), step.dtype), weights.mass, step)
        half, now = state.previous.shape[0], core.progress.generation
        current = lowest(values, half)
        gain = improvement(state.previous, current, logarithmic(half, current.dtype), _TARGET)
        success = succeeded(state.success, gain, now == 0)
        sigma = core.sigma * jnp.exp(success)
        core = core._replace(mean=core.mean + core.sigma * step, sigma=sigma)
        newer = replaced(state.paths, jnp.int32(0), path)
        paths = jnp.where(now % d == 0, newer, state.paths)
        return FastCMAESState(core, paths, path, current, success)


def _shares(state: FastCMAESState) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Return how much of a candidate is in any direction, along an older path, and the newest.

    Two rank-one updates, one upon the other; their squares sum to 1.
    """
    memory, d = state.paths.shape
    rate = 1 / (3 * math.sqrt(d) + 5)
    ready = state.core.progress.generation >= memory
    parts = jnp.asarray([1 - rate, math.sqrt((1 - rate) * rate), math.sqrt(rate)], state.path.dtype)
    rest, old, new = jnp.where(ready, parts, jnp.asarray([1, 0, 0], parts.dtype))
    return rest, old, new


def _transformed(state: FastCMAESState, draws: jax.Array) -> jax.Array:
    """Return y = (1 - c_1) z + sqrt((1 - c_1) c_1) r_1 q + sqrt(c_1) r_2 p for draws (n, d + 3)."""
    memory, d = state.paths.shape
    rest, old, new = _shares(state)
    which = jnp.floor(jax.scipy.special.ndtr(draws[:, -1]) * memory).astype(jnp.int32)
    older = state.paths[jnp.clip(which, 0, memory - 1)]
    one, two = draws[:, d, None], draws[:, d + 1, None]
    return rest * draws[:, :d] + old * one * older + new * two * state.path


card = Card(
    method=FastCMAES,
    contract="asktell",
    paper="Li, Zhang, Lin, Zhen 2020, doi:10.1109/TCYB.2018.2877641",
    seed=208,
    reference="its update in NumPy, draw for draw; its covariance, from many draws",
    needs={"values"},
    free_of={"gradient", "learning rate", "population size"},
)
