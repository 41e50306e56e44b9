"""CMA-ES: draws from a normal distribution that learns the shape of the objective.

Nikolaus Hansen, "The CMA Evolution Strategy: A Tutorial", 2016, arXiv:1604.00772; active update of
the covariance as there.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from parafree.blackbox._path import Rates, follow, grow, rates, steady
from parafree.blackbox._progress import Status
from parafree.blackbox._ranking import Weights, weigh
from parafree.blackbox._sampled import Core, Sampled
from parafree.core.card import Card

_WORST_CONDITION = 1e14


class CMAESState(NamedTuple):
    """Where CMA-ES stands; d coordinates, dtype of the frame."""

    core: Core
    covariance: jax.Array  # (d, d), without the step size
    root: jax.Array  # (d, d), A with A A^T = the covariance when it was computed last
    inverse: jax.Array  # (d, d), of the root
    age: jax.Array  # (), int32, generations since then
    due: jax.Array  # (), bool, it is to be computed again
    path: jax.Array  # (d,), p_sigma, of the step size
    shape_path: jax.Array  # (d,), p_c, of the covariance
    condition: jax.Array  # (), largest over smallest eigenvalue of the correlations


class Moments(NamedTuple):
    """What CMA-ES learns from a generation; d coordinates, y the root times a draw."""

    mean: jax.Array  # (d,), of the draws, by their positive weights
    shape: jax.Array  # (d, d), of y y^T, by weights of either sign
    total: jax.Array  # (), what these sum to before scaling
    mass: jax.Array  # (), mu_eff of the positive ones


class CMAES(Sampled):
    """Minimise with a normal distribution whose covariance is learned.

    The standard for up to some hundred parameters when only values can be asked: it depends on
    the order of values alone, and on no linear change of coordinates.

    Args:
        population: candidates in a batch, at least 4; static. ``None`` takes 4 + 3 log d.
        spread: the first step size, in units of the scale; a leaf, above 0.
        limits: when the search ends by itself.

    Returns:
        An ask-and-tell method. ``info`` is the room's record; its status says how the search ended.

    Raises:
        MethodError: ``population`` is no whole number of at least 4.

    Cost:
        A batch takes O(n d^2 + d^3 / g) operations for n candidates, where g, the generations
        between two eigendecompositions, is about 0.5 / (d (c_1 + c_mu)). Memory O(n d + d^2).

    Source:
        arXiv:1604.00772, equations (49) to (58) and table 1 for the weights and rates, figure 6
        for the algorithm; waiting times of the end as in pycma.

    Differs:
        The root of the covariance is taken of the correlations, and the deviations multiplied
        from the left, so that badly chosen units cost no digits: in float32 an eigendecomposition
        resolves no more than seven orders of magnitude. Eigenvalues below what it resolves are
        lifted. Step sizes grow by at most e in a generation. Candidates without a finite value
        take no part in the mean; those beyond a bound move onto it, and the mean stays near it.

    Example:
        >>> from parafree import run
        >>> valley = lambda p: 100 * (p["y"] - p["x"] ** 2) ** 2 + (1 - p["x"]) ** 2
        >>> start = {"x": -1.0, "y": 2.0}
        >>> result = run(CMAES(), valley, start, jax.random.key(0), steps=200)
        >>> print(result.p["x"].round(3), result.p["y"].round(3))
        1.0 1.0
    """

    clips = True

    def begin(self, core: Core) -> CMAESState:
        """Return the state in which nothing was learned yet."""
        eye = jnp.eye(core.frame.dimension, dtype=core.frame.dtype)
        zero = jnp.zeros_like(core.mean)
        one = jnp.ones((), core.frame.dtype)
        return CMAESState(core, eye, eye, eye, jnp.int32(0), jnp.bool_(False), zero, zero, one)

    def place(self, state: CMAESState, draws: jax.Array) -> jax.Array:
        """Return mean + sigma A z (40)."""
        return state.core.mean + state.core.sigma * (draws @ state.root.T)

    def axes(self, state: CMAESState) -> jax.Array:
        """Return sigma A, whose columns are one deviation of the candidates long."""
        return state.core.sigma * state.root

    def inverse_axes(self, state: CMAESState) -> jax.Array:
        """Return the inverse of the axes, which takes a step to what it was drawn from."""
        return state.inverse / state.core.sigma

    def draws_at(self, state: CMAESState, x: jax.Array) -> jax.Array:
        """Return the draws (n, d) that are placed at x (n, d)."""
        return (x - state.core.mean) @ self.inverse_axes(state).T

    def deviation(self, state: CMAESState) -> jax.Array:
        """Return sigma times the root of the covariance's diagonal."""
        return state.core.sigma * jnp.sqrt(jnp.diagonal(state.covariance))

    def learn(
        self, state: CMAESState, draws: jax.Array, values: jax.Array, count: jax.Array
    ) -> CMAESState:
        """Move the mean, then the step size, then the covariance."""
        return self.absorb(state, self.gather(state, draws, values, count))

    def gather(
        self, state: CMAESState, draws: jax.Array, values: jax.Array, count: jax.Array
    ) -> Moments:
        """Return the weighted sums over a generation."""
        weights = weigh(values, count)
        r = rates(weights.mass, draws.shape[1])
        signed, total = _signed(weights, r, draws)
        y = draws @ state.root.T
        return Moments(weights.positive @ draws, (y.T * signed) @ y, total, weights.mass)

    def absorb(self, state: CMAESState, told: Moments) -> CMAESState:
        """Return the state moved by these sums."""
        core, d = state.core, state.core.frame.dimension
        r = rates(told.mass, d)
        y_mean = state.root @ told.mean  # (41)
        mean = core.mean + core.sigma * y_mean  # (42)
        path = follow(state.path, r.path, told.mass, told.mean)  # (43)
        sigma = grow(core.sigma, path, r.path, r.damping)  # (44)
        calm = steady(path, r.path, core.progress.generation)
        shape_path = follow(state.shape_path, r.shape_path, told.mass, calm * y_mean)  # (45)
        fade = 1 + r.one * (1 - calm) * r.shape_path * (2 - r.shape_path)
        covariance = (
            (fade - r.one - r.many * told.total) * state.covariance
            + r.one * shape_path[:, None] * shape_path
            + r.many * told.shape
        )  # (47)
        age = state.age + 1
        return state._replace(
            core=core._replace(mean=mean, sigma=sigma),
            covariance=covariance,
            age=age,
            due=age.astype(sigma.dtype) * d * (r.one + r.many) >= 0.5,
            path=path,
            shape_path=shape_path,
        )

    def renew(self, state: CMAESState) -> CMAESState:
        """Return the state with the root of the covariance, if that is due."""
        return jax.lax.cond(state.due, _renewed, lambda s: s, state)

    def trouble(self, state: CMAESState) -> jax.Array:
        """Return ILL_CONDITIONED where the covariance is."""
        bad = state.condition > _WORST_CONDITION
        return jnp.where(bad, jnp.int32(Status.ILL_CONDITIONED), jnp.int32(Status.OK))


def _signed(weights: Weights, r: Rates, draws: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return the weights of the rank-mu update, and what they sum to before scaling (46).

    The negative ones are as large as keeps the covariance positive (50) to (53), and scaled by the
    length of the draw.
    """
    d = draws.shape[1]
    room = jnp.minimum(1 + r.one / r.many, 1 + 2 * weights.negative_mass / (weights.mass + 2))
    room = jnp.minimum(room, (1 - r.one - r.many) / (d * r.many))
    size = -jnp.sum(weights.negative)
    negative = weights.negative * room / jnp.where(size > 0, size, 1)
    tiny = jnp.finfo(draws.dtype).tiny
    scaled = negative * d / jnp.maximum(jnp.sum(draws**2, axis=1), tiny)
    # At least one value is finite, so the positive weights sum to 1.
    return weights.positive + scaled, 1 - jnp.where(size > 0, room, 0)


def _renewed(state: CMAESState) -> CMAESState:
    """Return the state with the covariance made symmetric and positive, and its root."""
    covariance = (state.covariance + state.covariance.T) / 2
    tiny = jnp.finfo(covariance.dtype).tiny
    units = jnp.sqrt(jnp.maximum(jnp.diagonal(covariance), tiny))
    values, vectors = jnp.linalg.eigh(covariance / units[:, None] / units[None, :])
    floor = jnp.finfo(covariance.dtype).eps * values.shape[0] * values[-1]
    lift = jnp.maximum(floor - values[0], 0)
    values = jnp.maximum(values + lift, floor)
    lengths = jnp.sqrt(values)
    covariance = covariance + lift * jnp.diag(units**2)
    return state._replace(
        covariance=covariance,
        root=units[:, None] * ((vectors * lengths) @ vectors.T),
        inverse=((vectors / lengths) @ vectors.T) / units,
        age=jnp.int32(0),
        due=jnp.bool_(False),
        condition=values[-1] / values[0],
    )


card = Card(
    method=CMAES,
    contract="asktell",
    paper="Hansen 2016, arXiv:1604.00772",
    seed=208,
    reference="the tutorial's algorithm in NumPy, draw for draw; evaluations beside pycma's",
    needs={"values"},
    free_of={"gradient", "learning rate", "population size"},
)
