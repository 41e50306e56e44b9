"""Cross-entropy method: fit a normal distribution to the best draws, smoothly, again and again.

Dirk P. Kroese, Sergey Porotsky, Reuven Y. Rubinstein, "The Cross-Entropy Method for Continuous
Multi-Extremal Optimization", Methodology and Computing in Applied Probability, 2006.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from parafree.blackbox._elite import elite_weights
from parafree.blackbox._scaled import Scaled, ScaledState
from parafree.core.card import Card


class CEM(Scaled):
    """Minimise by drawing, keeping the best tenth, and moving towards its mean and deviations.

    Args:
        population: candidates in a batch, at least 4; static. ``None`` takes 100.
        spread: the first step size, in units of the scale; a leaf, above 0.
        limits: when the search ends by itself.
        elite: the share of candidates that is kept, in (0, 1]; a leaf. At least two are.
        smoothing: alpha, how far the mean moves, in (0, 1]; a leaf.
        dynamic: beta, how far deviations move at first, in (0, 1]; a leaf. The share falls as
            beta - beta (1 - 1/t)^q, so that they do not collapse.
        fading: q, the exponent in it; a leaf, above 0.

    Returns:
        An ask-and-tell method. ``info`` is the room's record; its status says how the search ended.

    Raises:
        MethodError: ``population`` is no whole number of at least 4.

    Cost:
        A batch of n candidates takes O(n d) operations and memory.

    Source:
        Kroese, Porotsky and Rubinstein 2006, algorithm 2.1 with the dynamic smoothing of
        equation (9).

    Differs:
        Deviations are fitted with all elites' weight, not that less one, as maximum likelihood
        has it. Candidates without a finite value are no elites.

    Example:
        >>> from parafree import run
        >>> result = run(CEM(), lambda p: jnp.sum((p - 1) ** 2), jnp.zeros(5), jax.random.key(0),
        ...              steps=60)
        >>> print(result.p.round(1))
        [1. 1. 1. 1. 1.]
    """

    elite: Any = 0.1
    smoothing: Any = 0.8
    dynamic: Any = 0.8
    fading: Any = 5.0

    def size(self, dimension: int) -> int:
        """Return how many candidates a batch has."""
        return self.population or 100

    def learn(
        self, state: ScaledState, draws: jax.Array, values: jax.Array, count: jax.Array
    ) -> ScaledState:
        """Move towards the elites' mean and deviations."""
        core, dtype = state.core, state.core.frame.dtype
        weights = elite_weights(values, count, self.elite)
        turn = (core.progress.generation + 1).astype(dtype)
        beta = jnp.asarray(self.dynamic, dtype)
        beta = beta - beta * (1 - 1 / turn) ** jnp.asarray(self.fading, dtype)
        middle = weights @ draws
        fitted = state.scales * jnp.sqrt(weights @ (draws - middle) ** 2)
        move = jnp.asarray(self.smoothing, dtype) * self.deviation(state) * middle
        scales = beta * fitted + (1 - beta) * state.scales
        return ScaledState(core._replace(mean=core.mean + move), scales)


card = Card(
    method=CEM,
    contract="asktell",
    paper="Kroese, Porotsky, Rubinstein 2006, doi:10.1007/s11009-006-9753-0",
    seed=208,
    reference="the paper's algorithm in NumPy, draw for draw",
    needs={"values"},
    free_of={"gradient"},
)
