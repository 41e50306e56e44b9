"""UMDA: estimate the mean and the deviation of every coordinate from the better half, and redraw.

Pedro Larranaga, Jose A. Lozano (eds.), "Estimation of Distribution Algorithms", Kluwer 2002:
UMDA_c, the univariate marginal distribution algorithm for continuous domains.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from parafree.blackbox._elite import elite_weights
from parafree.blackbox._scaled import Scaled, ScaledState
from parafree.core.card import Card


class UMDA(Scaled):
    """Minimise by estimating one normal distribution for every coordinate.

    The plainest estimation of distribution: nothing is remembered but the last estimate. Its
    deviations shrink on a slope, so the start must not be far from the optimum.

    Args:
        population: candidates in a batch, at least 4; static. ``None`` takes 200.
        spread: the first step size, in units of the scale; a leaf, above 0.
        limits: when the search ends by itself.
        elite: the share of candidates that is kept, in (0, 1]; a leaf. At least two are.

    Returns:
        An ask-and-tell method. ``info`` is the room's record; its status says how the search ended.

    Raises:
        MethodError: ``population`` is no whole number of at least 4.

    Cost:
        A batch of n candidates takes O(n d) operations and memory.

    Source:
        Larranaga and Lozano 2002, chapter 3, UMDA_c with normal distributions.

    Differs:
        Candidates without a finite value are not kept.

    Example:
        >>> from parafree import run
        >>> result = run(UMDA(), lambda p: jnp.sum((p - 0.5) ** 2), jnp.zeros(5),
        ...              jax.random.key(0), steps=40)
        >>> print(result.p.round(2))
        [0.5 0.5 0.5 0.5 0.5]
    """

    elite: Any = 0.5

    def size(self, dimension: int) -> int:
        """Return how many candidates a batch has."""
        return self.population or 200

    def learn(
        self, state: ScaledState, draws: jax.Array, values: jax.Array, count: jax.Array
    ) -> ScaledState:
        """Estimate mean and deviations of the kept candidates."""
        core = state.core
        weights = elite_weights(values, count, self.elite)
        middle = weights @ draws
        scales = state.scales * jnp.sqrt(weights @ (draws - middle) ** 2)
        mean = core.mean + self.deviation(state) * middle
        return ScaledState(core._replace(mean=mean), scales)


card = Card(
    method=UMDA,
    contract="asktell",
    paper="Larranaga, Lozano 2002, doi:10.1007/978-1-4615-1539-5",
    seed=208,
    reference="estimates by NumPy's mean and deviation, draw for draw",
    needs={"values"},
    free_of={"gradient", "learning rate"},
)
