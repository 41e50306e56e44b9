"""sep-CMA-ES: CMA-ES with a diagonal covariance, so that time and memory are linear.

Raymond Ros, Nikolaus Hansen, "A Simple Modification in CMA-ES Achieving Linear Time and Space
Complexity", PPSN 2008.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from parafree.blackbox._path import follow, grow, steady
from parafree.blackbox._ranking import weigh
from parafree.blackbox._sampled import Core, Sampled
from parafree.core.card import Card


class SepCMAESState(NamedTuple):
    """Where sep-CMA-ES stands; d coordinates, dtype of the frame."""

    core: Core
    variance: jax.Array  # (d,), without the step size
    path: jax.Array  # (d,), p_sigma, of the step size
    shape_path: jax.Array  # (d,), p_c, of the variances


class SepCMAES(Sampled):
    """Minimise with a normal distribution that learns a scale for every coordinate.

    For many parameters, or few that hardly depend on each other: variances are learned d/3 times
    as fast as a covariance.

    Args:
        population: candidates in a batch, at least 4; static. ``None`` takes 4 + 3 log d.
        spread: the first step size, in units of the scale; a leaf, above 0.
        limits: when the search ends by itself.

    Returns:
        An ask-and-tell method. ``info`` is the room's record; its status says how the search ended.

    Raises:
        MethodError: ``population`` is no whole number of at least 4.

    Cost:
        A batch of n candidates takes O(n d) operations and memory.

    Source:
        Ros and Hansen 2008, section 2: the algorithm, c_cov and its factor (d + 2) / 3.

    Differs:
        The weights are log((n + 1) / 2) - log i, as in later versions of CMA-ES, which for an even
        n hardly differ from log(n / 2 + 1) - log i. Step sizes grow by at most e in a generation.
        Candidates without a finite value take no part; those beyond a bound move onto it, and the
        mean stays near it.

    Example:
        >>> from parafree import run
        >>> units = 10.0 ** jnp.arange(6)
        >>> result = run(SepCMAES(), lambda p: jnp.sum(units * p**2), jnp.ones(6),
        ...              jax.random.key(0), steps=300)
        >>> bool(result.value < 1e-8)
        True
    """

    clips = True

    def begin(self, core: Core) -> SepCMAESState:
        """Return the state in which nothing was learned yet."""
        zero = jnp.zeros_like(core.mean)
        return SepCMAESState(core, jnp.ones_like(core.mean), zero, zero)

    def place(self, state: SepCMAESState, draws: jax.Array) -> jax.Array:
        """Return mean + sigma D z."""
        return state.core.mean + self.deviation(state) * draws

    def deviation(self, state: SepCMAESState) -> jax.Array:
        """Return sigma times the roots of the variances."""
        return state.core.sigma * jnp.sqrt(state.variance)

    def learn(
        self, state: SepCMAESState, draws: jax.Array, values: jax.Array, count: jax.Array
    ) -> SepCMAESState:
        """Move the mean, then the step size, then the variances."""
        core, d = state.core, state.core.frame.dimension
        weights = weigh(values, count)
        mass = weights.mass
        rate = (mass + 2) / (d + mass + 3)
        damping = 1 + 2 * jnp.maximum(0, jnp.sqrt((mass - 1) / (d + 1)) - 1) + rate
        shape_rate = 4 / (d + 4)
        z_mean = weights.positive @ draws
        root = jnp.sqrt(state.variance)
        path = follow(state.path, rate, mass, z_mean)
        calm = steady(path, rate, core.progress.generation)
        shape_path = follow(
            state.shape_path, jnp.asarray(shape_rate, mass.dtype), mass, calm * root * z_mean
        )
        learning = _learning(mass, d)
        missed = (1 - calm) * shape_rate * (2 - shape_rate)
        one = shape_path**2 + missed * state.variance
        many = state.variance * (weights.positive @ draws**2)
        variance = (1 - learning) * state.variance + learning / mass * one
        variance += learning * (1 - 1 / mass) * many
        mean = core.mean + core.sigma * root * z_mean
        core = core._replace(mean=mean, sigma=grow(core.sigma, path, rate, damping))
        return SepCMAESState(core, variance, path, shape_path)


def _learning(mass: jax.Array, d: int) -> jax.Array:
    """Return c_cov of a diagonal covariance, at most 1."""
    many = jnp.minimum(1, (2 * mass - 1) / ((d + 2) ** 2 + mass))
    full = 2 / (mass * (d + 2**0.5) ** 2) + (1 - 1 / mass) * many
    return jnp.minimum(1, (d + 2) / 3 * full)


card = Card(
    method=SepCMAES,
    contract="asktell",
    paper="Ros, Hansen 2008, doi:10.1007/978-3-540-87700-4_30",
    seed=208,
    reference="the paper's algorithm in NumPy, draw for draw",
    needs={"values"},
    free_of={"gradient", "learning rate", "population size"},
)
