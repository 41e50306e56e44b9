"""Genetic algorithm on real numbers: tournaments, simulated binary crossover, polynomial mutation.

Kalyanmoy Deb, Ram Bhushan Agrawal, "Simulated Binary Crossover for Continuous Search Space",
Complex Systems 1995.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from parafree.blackbox._differential import index
from parafree.blackbox._populated import Crowd, Populated
from parafree.core.card import Card

_RANGE = 4.0  # of a mutation, in units of the scale: between two bounds all of it


class GeneticState(NamedTuple):
    """Where the genetic algorithm stands: all it knows is its population."""

    crowd: Crowd


class Genetic(Populated):
    """Minimise by crossing members that won a tournament and keeping the best of old and new.

    Args:
        population: members, at least 6, even; static. ``None`` takes 100.
        spread: of the first candidates where there are no bounds, in units of the scale; a leaf,
            above 0. Between two bounds they are spread evenly.
        limits: when the search ends by itself.
        crossing: eta_c, how close offspring stay to their parents; a leaf, at least 0.
        mutating: eta_m, how close a mutation stays; a leaf, at least 0.
        rate: mutations per candidate on average; a leaf.

    Returns:
        An ask-and-tell method. ``info`` is the room's record; its status says how the search ended.

    Raises:
        MethodError: ``population`` is no whole number of at least 6.

    Cost:
        A batch of n candidates takes O(n d) operations and memory.

    Source:
        Deb and Agrawal 1995, equations (7) to (9) of the crossover; polynomial mutation as in Deb
        and Goyal 1996; survival of the best n of parents and offspring.

    Differs:
        Candidates outside the bounds are mirrored, where later versions bend the distributions.

    Example:
        >>> from parafree import run
        >>> result = run(Genetic(), lambda p: jnp.sum((p - 3) ** 2), jnp.zeros(3),
        ...              jax.random.key(0), steps=200)
        >>> bool(result.value < 1e-3)
        True
    """

    crossing: Any = 10.0
    mutating: Any = 20.0
    rate: Any = 1.0

    def least(self) -> int:
        """Return the smallest population allowed."""
        return 6

    def begin(self, crowd: Crowd) -> GeneticState:
        """Return the state in which nothing was learned yet."""
        return GeneticState(crowd)

    def draws(self, dimension: int) -> int:
        """Return how many random numbers a candidate takes."""
        return 4 * dimension + 4

    def propose(self, u: jax.Array, state: GeneticState) -> tuple[jax.Array, GeneticState]:
        """Return as many offspring as members."""
        crowd, (n, d) = state.crowd, state.crowd.x.shape
        dtype, half = crowd.x.dtype, (n + 1) // 2
        rivals = index(u[:half, 4 * d :].T.reshape(2, 2, half), n)
        winner = jnp.argmin(crowd.values[rivals], axis=0)
        parents = jnp.take_along_axis(rivals, winner[None], axis=0)[0]
        eta = jnp.asarray(self.crossing, dtype)
        first, second = _crossover(u[:half, : 2 * d], crowd.x[parents[0]], crowd.x[parents[1]], eta)
        children = jnp.concatenate([first, second])[:n]
        share = jnp.asarray(self.rate, dtype) / d
        eta = jnp.asarray(self.mutating, dtype)
        return _mutated(u[:, 2 * d : 4 * d], children, share, eta), state

    def select(self, key: jax.Array, state: GeneticState, values: jax.Array) -> GeneticState:
        """Keep the best of parents and offspring."""
        crowd, n = state.crowd, state.crowd.x.shape[0]
        both = jnp.concatenate([values, crowd.values])
        kept = jax.lax.top_k(-both, n)[1]  # the n smallest, equal ones by position
        x = jnp.concatenate([crowd.asked, crowd.x])
        return GeneticState(crowd._replace(x=x[kept], values=both[kept]))


def _crossover(
    u: jax.Array, a: jax.Array, b: jax.Array, eta: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Return two children, around the parents as symmetric as bits that were swapped are."""
    u, pick = jnp.split(u, 2, axis=1)
    inward, outward = (2 * u) ** (1 / (eta + 1)), (2 - 2 * u) ** (-1 / (eta + 1))
    beta = jnp.where(u <= 0.5, inward, outward)
    beta = jnp.where(pick < 0.5, beta, 1)  # half of the coordinates stay
    return ((1 + beta) * a + (1 - beta) * b) / 2, ((1 - beta) * a + (1 + beta) * b) / 2


def _mutated(u: jax.Array, x: jax.Array, share: jax.Array, eta: jax.Array) -> jax.Array:
    """Return x with some coordinates moved by a polynomially distributed part of the range."""
    u, pick = jnp.split(u, 2, axis=1)
    down, up = (2 * u) ** (1 / (eta + 1)) - 1, 1 - (2 - 2 * u) ** (1 / (eta + 1))
    return x + jnp.where(pick < share, _RANGE * jnp.where(u < 0.5, down, up), 0)


card = Card(
    method=Genetic,
    contract="asktell",
    paper="Deb, Agrawal 1995, Complex Systems 9",
    seed=208,
    reference="the densities of crossover and mutation in closed form",
    needs={"values"},
    free_of={"gradient", "learning rate"},
)
