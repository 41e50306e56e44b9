"""SNES: natural gradient ascent on the mean and the scales of a normal distribution.

Tom Schaul, Tobias Glasmachers, Juergen Schmidhuber, "High Dimensions and Heavy Tails for Natural
Evolution Strategies", GECCO 2011; Daan Wierstra et al., "Natural Evolution Strategies", JMLR 2014.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from parafree.blackbox._ranking import utilities
from parafree.blackbox._scaled import Scaled, ScaledState
from parafree.core.card import Card


class SNES(Scaled):
    """Minimise with a normal distribution that learns a scale for every coordinate.

    The simplest method of its kind, and the cheapest in many dimensions.

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
        JMLR 15, 2014, algorithm 6, with the utilities and learning rates of table 1.

    Differs:
        Candidates without a finite value count as the worst.

    Example:
        >>> from parafree import run
        >>> result = run(SNES(), lambda p: jnp.sum((p - 3) ** 2), jnp.zeros(5), jax.random.key(0),
        ...              steps=300)
        >>> print(result.p.round(2))
        [3. 3. 3. 3. 3.]
    """

    def learn(
        self, state: ScaledState, draws: jax.Array, values: jax.Array, count: jax.Array
    ) -> ScaledState:
        """Follow the natural gradient, with rate 1 for the mean."""
        core, d = state.core, state.core.frame.dimension
        utility = utilities(values, count)
        mean = core.mean + self.deviation(state) * (utility @ draws)
        rate = (3 + math.log(d)) / (5 * math.sqrt(d))
        turn = rate / 2 * (utility @ (draws**2 - 1))
        scales = state.scales * jnp.exp(jnp.minimum(turn, 1))
        return ScaledState(core._replace(mean=mean), scales)


card = Card(
    method=SNES,
    contract="asktell",
    paper="Schaul, Glasmachers, Schmidhuber 2011, doi:10.1145/2001576.2001692",
    seed=208,
    reference="the paper's algorithm in NumPy, draw for draw",
    needs={"values"},
    free_of={"gradient", "population size"},
)
