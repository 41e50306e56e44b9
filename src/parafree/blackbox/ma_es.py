"""MA-ES: CMA-ES without a covariance; the matrix that shapes draws is multiplied instead.

Hans-Georg Beyer, Bernhard Sendhoff, "Simplify Your Covariance Matrix Adaptation Evolution
Strategy", IEEE Transactions on Evolutionary Computation, 2017.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from parafree.blackbox._path import follow, grow, rates
from parafree.blackbox._ranking import weigh
from parafree.blackbox._sampled import Core
from parafree.blackbox._shaped import Shaped
from parafree.core.card import Card


class MAESState(NamedTuple):
    """Where MA-ES stands; d coordinates, dtype of the frame."""

    core: Core
    matrix: jax.Array  # (d, d), M, which turns draws into steps
    path: jax.Array  # (d,), s


class MAES(Shaped):
    """Minimise with a normal distribution whose shape is learned by matrix products alone.

    Needs no eigendecomposition, and about as many evaluations as CMA-ES.

    Args:
        population: candidates in a batch, at least 4; static. ``None`` takes 4 + 3 log d.
        spread: the first step size, in units of the scale; a leaf, above 0.
        limits: when the search ends by itself.

    Returns:
        An ask-and-tell method. ``info`` is the room's record; its status says how the search ended.

    Raises:
        MethodError: ``population`` is no whole number of at least 4.

    Cost:
        A batch of n candidates takes O(n d^2) operations; memory O(n d + d^2).

    Source:
        Beyer and Sendhoff 2017, figure 3 and equations (39) to (43).

    Differs:
        M times the outer product of a draw is computed as the outer product of a step and the
        draw, which costs d^2 instead of d^3. Step sizes grow by at most e in a generation.
        Candidates without a finite value take no part.

    Example:
        >>> from parafree import run
        >>> valley = lambda p: 100 * (p["y"] - p["x"] ** 2) ** 2 + (1 - p["x"]) ** 2
        >>> start = {"x": -1.0, "y": 2.0}
        >>> result = run(MAES(), valley, start, jax.random.key(0), steps=300)
        >>> print(result.p["x"].round(2), result.p["y"].round(2))
        1.0 1.0
    """

    def begin(self, core: Core) -> MAESState:
        """Return the state in which nothing was learned yet."""
        eye = jnp.eye(core.frame.dimension, dtype=core.frame.dtype)
        return MAESState(core, eye, jnp.zeros_like(core.mean))

    def learn(
        self, state: MAESState, draws: jax.Array, values: jax.Array, count: jax.Array
    ) -> MAESState:
        """Move the mean, then the matrix, then the step size."""
        core, matrix = state.core, state.matrix
        weights = weigh(values, count)
        r = rates(weights.mass, core.frame.dimension, offset=0.0)
        z_mean = weights.positive @ draws
        mean = core.mean + core.sigma * (matrix @ z_mean)
        path = follow(state.path, r.path, weights.mass, z_mean)
        steps = draws @ matrix.T
        one = (matrix @ path)[:, None] * path - matrix
        many = (steps.T * weights.positive) @ draws - matrix
        matrix = matrix + r.one / 2 * one + r.many / 2 * many
        sigma = grow(core.sigma, path, r.path, r.damping)
        return MAESState(core._replace(mean=mean, sigma=sigma), matrix, path)


card = Card(
    method=MAES,
    contract="asktell",
    paper="Beyer, Sendhoff 2017, doi:10.1109/TEVC.2017.2680320",
    seed=208,
    reference="the paper's algorithm in NumPy, draw for draw",
    needs={"values"},
    free_of={"gradient", "learning rate", "population size"},
)
