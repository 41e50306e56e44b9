"""EMNA: estimate mean and covariance from the better half, and redraw.

Pedro Larranaga, Jose A. Lozano (eds.), "Estimation of Distribution Algorithms", Kluwer 2002:
EMNA_global, the estimation of a multivariate normal algorithm.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from parafree.blackbox._elite import elite_weights
from parafree.blackbox._shaped import Shaped, ShapedState
from parafree.core.card import Card


class EMNA(Shaped):
    """Minimise by estimating a normal distribution with all its correlations.

    The covariance is taken around the mean of what was kept, so on a slope it shrinks faster than
    the mean moves: the optimum must lie where the first candidates do.

    Args:
        population: candidates in a batch, at least 4; static. ``None`` takes 200, or 20 d if that
            is more: fewer than 2 d kept candidates say little of d^2 / 2 correlations.
        spread: the first step size, in units of the scale; a leaf, above 0.
        limits: when the search ends by itself.
        elite: the share of candidates that is kept, in (0, 1]; a leaf. At least two are.

    Returns:
        An ask-and-tell method. ``info`` is the room's record; its status says how the search ended.

    Raises:
        MethodError: ``population`` is no whole number of at least 4.

    Cost:
        A batch of n candidates takes O(n d^2 + d^3) operations; memory O(n d + d^2).

    Source:
        Larranaga and Lozano 2002, chapter 3, EMNA_global.

    Differs:
        The covariance is estimated of the draws, and its factor multiplied to the last one, so
        that it stays positive when it spans many orders of magnitude; what rounding needs is
        added to its diagonal. Candidates without a finite value are not kept.

    Example:
        >>> from parafree import run
        >>> tilted = lambda p: (p[0] + p[1] - 1) ** 2 + 100 * (p[0] - p[1]) ** 2
        >>> result = run(EMNA(), tilted, jnp.zeros(2), jax.random.key(0), steps=40)
        >>> print(result.p.round(2))
        [0.5 0.5]
    """

    elite: Any = 0.5

    def size(self, dimension: int) -> int:
        """Return how many candidates a batch has."""
        return self.population or max(200, 20 * dimension)

    def learn(
        self, state: ShapedState, draws: jax.Array, values: jax.Array, count: jax.Array
    ) -> ShapedState:
        """Estimate mean and covariance of the kept candidates."""
        core, d = state.core, state.core.frame.dimension
        weights = elite_weights(values, count, self.elite)
        middle = weights @ draws
        centred = draws - middle
        spread = (centred.T * weights) @ centred
        little = 4 * d * jnp.finfo(draws.dtype).eps * jnp.trace(spread) / d
        tiny = jnp.finfo(draws.dtype).tiny
        ridge = jnp.maximum(little, tiny) * jnp.eye(d, dtype=draws.dtype)
        factor = state.matrix @ jnp.linalg.cholesky(spread + ridge)
        mean = core.mean + core.sigma * (state.matrix @ middle)
        return ShapedState(core._replace(mean=mean), factor)


card = Card(
    method=EMNA,
    contract="asktell",
    paper="Larranaga, Lozano 2002, doi:10.1007/978-1-4615-1539-5",
    seed=208,
    reference="estimates by NumPy's mean and covariance, draw for draw",
    needs={"values"},
    free_of={"gradient", "learning rate"},
)
