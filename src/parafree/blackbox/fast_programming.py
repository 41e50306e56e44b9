"""Fast evolutionary programming: mutations from a Cauchy distribution, and a tournament of all.

Xin Yao, Yong Liu, Guangming Lin, "Evolutionary Programming Made Faster", IEEE Transactions on
Evolutionary Computation, 1999.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from parafree.blackbox._differential import index
from parafree.blackbox._populated import Crowd, Populated
from parafree.core.card import Card


class FastProgrammingState(NamedTuple):
    """Where fast evolutionary programming stands; n members, d coordinates, dtype of the frame."""

    crowd: Crowd
    steps: jax.Array  # (n, d), eta, the members' own step sizes
    asked_steps: jax.Array  # (n, d), those of the candidates asked for
    lot: jax.Array  # (2 n, q), even in (0, 1), by which opponents are chosen


class FastProgramming(Populated):
    """Minimise with members that carry their own step sizes and compete with their offspring.

    Args:
        population: members, at least 5; static. ``None`` takes 100.
        spread: of the first candidates where there are no bounds, in units of the scale; a leaf,
            above 0. Between two bounds they are spread evenly.
        limits: when the search ends by itself.
        step: the first step size, in units of the scale; a leaf, above 0.
        opponents: q, with how many others each is compared; static.

    Returns:
        An ask-and-tell method. ``info`` is the room's record; its status says how the search ended.

    Raises:
        MethodError: ``population`` is no whole number of at least 5.

    Cost:
        A batch of n candidates takes O(n (d + q)) operations; memory O(n d).

    Source:
        Yao, Liu and Lin 1999, section II with the mutation (5) and the rates below (2).

    Differs:
        The first step size is 1 in units of the scale, where the paper has 3 for functions on
        several boxes. Step sizes are at least what rounding resolves, or they die out.

    Example:
        >>> from parafree import run
        >>> result = run(FastProgramming(), lambda p: jnp.sum((p - 3) ** 2), jnp.zeros(3),
        ...              jax.random.key(0), steps=300)
        >>> bool(result.value < 1e-3)
        True
    """

    step: Any = 1.0
    opponents: int = eqx.field(default=10, static=True)

    def begin(self, crowd: Crowd) -> FastProgrammingState:
        """Return the state in which nothing was learned yet."""
        steps = jnp.full_like(crowd.x, jnp.asarray(self.step, crowd.x.dtype))
        lot = jnp.zeros((2 * len(steps), self.opponents), steps.dtype)
        return FastProgrammingState(crowd, steps, steps, lot)

    def draws(self, dimension: int) -> int:
        """Return how many random numbers a candidate takes."""
        return 2 * dimension + 1 + 2 * self.opponents

    def propose(
        self, u: jax.Array, state: FastProgrammingState
    ) -> tuple[jax.Array, FastProgrammingState]:
        """Let every member have one offspring."""
        x, d = state.crowd.x, state.crowd.x.shape[1]
        move = jnp.tan(jnp.pi * (u[:, :d] - 0.5))
        normal = jax.scipy.special.ndtri(u[:, d : 2 * d + 1])
        turn = normal[:, :1] / math.sqrt(2 * d) + normal[:, 1:] / math.sqrt(2 * math.sqrt(d))
        steps = jnp.maximum(state.steps * jnp.exp(turn), jnp.finfo(x.dtype).eps ** 2)
        lot = u[:, 2 * d + 1 :].reshape(state.lot.shape)
        return x + state.steps * move, state._replace(asked_steps=steps, lot=lot)

    def select(
        self, key: jax.Array, state: FastProgrammingState, values: jax.Array
    ) -> FastProgrammingState:
        """Keep those of parents and offspring that win most comparisons."""
        crowd, n = state.crowd, state.crowd.x.shape[0]
        x = jnp.concatenate([crowd.x, crowd.asked])
        steps = jnp.concatenate([state.steps, state.asked_steps])
        both = jnp.concatenate([crowd.values, values])
        against = both[index(state.lot, 2 * n)]
        wins = jnp.sum(both[:, None] <= against, axis=1).astype(both.dtype)
        # Those without a finite value win against nobody; equal wins are settled by value.
        wins = jnp.where(jnp.isfinite(both), wins, -1)
        order = jnp.lexsort((both, -wins))[:n]
        # In the first batch the offspring are the population.
        offspring = jnp.arange(n, 2 * n, dtype=order.dtype)
        order = jnp.where(jnp.isfinite(crowd.values).any(), order, offspring)
        kept = crowd._replace(x=x[order], values=both[order])
        return state._replace(crowd=kept, steps=steps[order])


card = Card(
    method=FastProgramming,
    contract="asktell",
    paper="Yao, Liu, Lin 1999, doi:10.1109/4235.771163",
    seed=208,
    reference="a slow version in NumPy that is given the same draws; published means on spheres",
    needs={"values"},
    free_of={"gradient", "step size"},
)
