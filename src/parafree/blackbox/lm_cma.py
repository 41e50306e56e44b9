"""LM-CMA: CMA-ES with a Cholesky factor made of a few paths of the mean, for very many parameters.

Ilya Loshchilov, "LM-CMA: An Alternative to L-BFGS for Large-Scale Black Box Optimization",
Evolutionary Computation 25(1), 2017, arXiv:1511.00221.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from parafree.blackbox._path import follow
from parafree.blackbox._ranking import weigh
from parafree.blackbox._remembered import improvement, lowest, replaced, succeeded
from parafree.blackbox._sampled import Core, Sampled
from parafree.core.card import Card

_TARGET = 0.3  # z*, the share of ranks by which a generation is to improve on the last one
_REACH = 4.0  # m_sigma, how many paths candidates are made of; a deviation
_FAR = 10.0  # times as many for the first two


class LMCMAState(NamedTuple):
    """Where LM-CMA stands; d coordinates and m paths, dtype of the frame."""

    core: Core
    paths: jax.Array  # (m, d), p, kept from earlier generations, the newest last
    times: jax.Array  # (m,), int32, the generations that they come from; -1 where there is none
    inverse: jax.Array  # (m, d), v = A^-1 p, where A is made of the paths before p
    path: jax.Array  # (d,), p_c, of this generation
    previous: jax.Array  # (n,), the last generation's best values, in order
    success: jax.Array  # (), s, how much ranks have improved on average


class LMCMA(Sampled):
    """Minimise with a normal distribution whose covariance is reproduced from a few paths.

    Every path stretches what the ones before it have made, so that m of them shape more than m
    directions one after the other do. For ill-conditioned functions of hundreds of parameters.

    Args:
        population: candidates in a batch, at least 4; static. ``None`` takes 4 + 3 log d.
        spread: the first step size, in units of the scale; a leaf, above 0.
        limits: when the search ends by itself.
        memory: how many paths m to keep; static, at least 1. ``None`` takes 4 + 3 log d.

    Returns:
        An ask-and-tell method. ``info`` is the room's record; its status says how the search ended.

    Raises:
        MethodError: ``population`` is no whole number of at least 4.

    Cost:
        A batch of n candidates takes O(n m d) operations, and O(m^2 d) once in log d batches;
        memory O((n + m) d).

    Source:
        arXiv:1511.00221, algorithms 3 to 7: m = 4 + 3 log d, c_c = 1 / (2 sqrt(d)),
        c_1 = 1 / (10 log(d + 1)), a path every log d generations and paths d generations apart,
        the population success rule with z* = 0.3, c_s = 0.3 and d_s = 1, candidates in pairs that
        mirror each other, each pair made of the last few paths only.

    Differs:
        Draws are normal, as in the version of 2014 (arXiv:1404.5520), and not signs of equal
        probability, of which few candidates can be made where there are few parameters. The
        factor is applied as one product of matrices, not path by path. Candidates without a
        finite value take no part. Where a generation has more candidates than a batch, the best
        of it are compared to the best of the last one. Candidates beyond a bound move onto it, and
        the mean stays near it.

    Example:
        >>> from parafree import run
        >>> valley = lambda p: jnp.sum(100 * (p[1:] - p[:-1] ** 2) ** 2 + (1 - p[:-1]) ** 2)
        >>> result = run(LMCMA(), valley, jnp.zeros(10), jax.random.key(0), steps=1000)
        >>> bool(result.value < 1e-6)
        True
    """

    memory: int | None = eqx.field(default=None, static=True)

    clips = True

    def draws(self, dimension: int) -> int:
        """Return how many standard normal numbers make a candidate: one more for its paths."""
        return dimension + 1

    def begin(self, core: Core) -> LMCMAState:
        """Return the state in which nothing was learned yet."""
        d, dtype = core.frame.dimension, core.frame.dtype
        memory = self.memory or 4 + int(3 * math.log(d))
        rows, zero = jnp.zeros((memory, d), dtype), jnp.zeros((), dtype)
        previous = jnp.full(self.size(d), jnp.inf, dtype)
        times = jnp.full(memory, -1, jnp.int32)
        return LMCMAState(core, rows, times, rows, jnp.zeros_like(core.mean), previous, zero)

    def offer(self, state: LMCMAState, draws: jax.Array) -> tuple[Any, LMCMAState]:
        """Return candidates in pairs that mirror each other (algorithm 7, lines 4 to 10)."""
        n, d = draws.shape[0], state.core.frame.dimension
        pairs = jnp.repeat(draws[::2], 2, axis=0)[:n]
        row = jnp.arange(n, dtype=jnp.int32)[:, None]
        z = jnp.where(row % 2 == 0, pairs[:, :d], -pairs[:, :d])
        reach = jnp.where(row < 2, _FAR * pairs[:, d:], pairs[:, d:])
        return super().offer(state, jnp.concatenate([z, reach], axis=1))

    def place(self, state: LMCMAState, draws: jax.Array) -> jax.Array:
        """Return mean + sigma A z."""
        return state.core.mean + state.core.sigma * _transformed(state, draws)

    def deviation(self, state: LMCMAState) -> jax.Array:
        """Return sigma times the root of the diagonal of the covariance that all paths make."""
        _, rate = _rates(state.core.frame.dimension)
        known = (state.times >= 0).astype(state.paths.dtype)
        fade = (1 - rate) ** _later(known)
        variance = (1 - rate) ** jnp.sum(known) + rate * (known * fade) @ state.paths**2
        return state.core.sigma * jnp.sqrt(variance)

    def learn(
        self, state: LMCMAState, draws: jax.Array, values: jax.Array, count: jax.Array
    ) -> LMCMAState:
        """Move the mean, then the path, then the step size, and keep the path if it is time."""
        core, d = state.core, state.core.frame.dimension
        weights = weigh(values, count)
        step = weights.positive @ _transformed(state, draws)
        rate = jnp.asarray(_rates(d)[0], step.dtype)
        path = follow(state.path, rate, weights.mass, step)
        current = lowest(values, state.previous.shape[0])
        even = jnp.full_like(current, 1 / current.shape[0])
        gain = improvement(state.previous, current, even, _TARGET)
        now = core.progress.generation
        success = succeeded(state.success, gain, now == 0)
        sigma = core.sigma * jnp.exp(success)
        core = core._replace(mean=core.mean + core.sigma * step, sigma=sigma)
        state = state._replace(core=core, path=path, previous=current, success=success)
        due = now % max(1, int(math.log(d))) == 0
        gone = _gone(state.times, d)
        return state._replace(
            paths=jnp.where(due, replaced(state.paths, gone, path), state.paths),
            times=jnp.where(due, replaced(state.times, gone, now), state.times),
        )

    def renew(self, state: LMCMAState) -> LMCMAState:
        """Return the state with A^-1 p of all paths, if one is new."""
        due = state.times[-1] == state.core.progress.generation
        inverse = jax.lax.cond(due, _inverse, lambda s: s.inverse, state)
        return state._replace(inverse=inverse)


def _rates(d: int) -> tuple[float, float]:
    """Return c_c and c_1."""
    return 0.5 / math.sqrt(d), 1 / (10 * math.log(d + 1))


def _later(rows: jax.Array) -> jax.Array:
    """Return how many paths (m,) are newer than each."""
    return jnp.arange(rows.shape[0] - 1, -1, -1, dtype=rows.dtype)


def _transformed(state: LMCMAState, draws: jax.Array) -> jax.Array:
    """Return A z for draws (n, d + 1), of as many paths as each says (algorithms 3 and 6).

    With a path more, A z becomes a A z + b (v z) p (4); written out that is one sum over paths.
    """
    d = state.core.frame.dimension
    _, rate = _rates(d)
    z, later = draws[:, :d], _later(state.paths[:, 0])
    used = (later <= jnp.floor(_REACH * jnp.abs(draws[:, d:]))) & (state.times >= 0)  # (n, m)
    root = _root(state.inverse, rate)
    b = math.sqrt(1 - rate) * rate / (1 - rate) / (root + 1)
    along = jnp.where(used, (z @ state.inverse.T) * b * (1 - rate) ** (later / 2), 0)
    rest = (1 - rate) ** (jnp.sum(used, axis=1, keepdims=True).astype(z.dtype) / 2)
    return rest * z + along @ state.paths


def _root(inverse: jax.Array, rate: float) -> jax.Array:
    """Return sqrt(1 + c_1 / (1 - c_1) |v|^2), of which b and d are made without cancellation."""
    return jnp.sqrt(1 + rate / (1 - rate) * jnp.sum(inverse**2, axis=-1))


def _inverse(state: LMCMAState) -> jax.Array:
    """Return A^-1 p for every path, where A is made of those before it (algorithm 4).

    When a row is done, all rows behind it are multiplied by its inverse factor.
    """
    _, rate = _rates(state.core.frame.dimension)
    order = jnp.arange(state.times.shape[0], dtype=jnp.int32)

    def turn(rows: jax.Array, i: jax.Array) -> tuple[jax.Array, None]:
        v = rows[i]
        root = _root(v, rate)
        less = rate / (1 - rate) / (root * (root + 1)) * (rows @ v)[:, None] * v
        behind = (order > i) & (state.times[i] >= 0)
        return jnp.where(behind[:, None], (rows - less) / math.sqrt(1 - rate), rows), None

    return jax.lax.scan(turn, state.paths, order)[0]


def _gone(times: jax.Array, apart: int) -> jax.Array:
    """Return which path makes room (algorithm 5).

    It is the later one of the closest two, or the oldest if all are as far apart as they should.
    """
    gaps = jnp.concatenate([jnp.diff(times) - apart, jnp.zeros(1, jnp.int32)])
    close = (times[0] >= 0) & (jnp.min(gaps) < 0)
    return jnp.where(close, jnp.argmin(gaps).astype(jnp.int32) + 1, 0)


card = Card(
    method=LMCMA,
    contract="asktell",
    paper="Loshchilov 2017, arXiv:1511.00221",
    seed=208,
    reference="the paper's algorithms in NumPy, draw for draw; its covariance, written out",
    needs={"values"},
    free_of={"gradient", "learning rate", "population size"},
)
