"""CoDE: differential evolution with three strategies and three settings, mixed at random.

Yong Wang, Zixing Cai, Qingfu Zhang, "Differential Evolution with Composite Trial Vector Generation
Strategies and Control Parameters", IEEE Transactions on Evolutionary Computation, 2011.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from parafree.blackbox._differential import crossed, index, others
from parafree.blackbox._populated import Crowd, Populated, greedy
from parafree.core.card import Card

_FACTORS, _SHARES = (1.0, 1.0, 0.8), (0.1, 0.9, 0.2)


class CoDEState(NamedTuple):
    """Where CoDE stands: all it knows is its population."""

    crowd: Crowd


class CoDE(Populated):
    """Minimise with three candidates for every member, of which the best may replace it.

    Args:
        population: members, at least 6; static. ``None`` takes 30.
        spread: of the first candidates where there are no bounds, in units of the scale; a leaf,
            above 0. Between two bounds they are spread evenly.
        limits: when the search ends by itself.

    Returns:
        An ask-and-tell method; a batch has three candidates for every member. ``info`` is the
        room's record; its status says how the search ended.

    Raises:
        MethodError: ``population`` is no whole number of at least 6.

    Cost:
        A batch of 3 n candidates takes O(n d) operations and memory.

    Source:
        Wang, Cai and Zhang 2011, figure 1: rand/1/bin, rand/2/bin and current-to-rand/1, each
        with one of (F, CR) = (1, 0.1), (1, 0.9), (0.8, 0.2).

    Differs:
        Candidates outside the bounds are mirrored. One of the first candidates is the start, and
        the first members are the best of three.

    Example:
        >>> from parafree import run
        >>> result = run(CoDE(), lambda p: jnp.sum((p - 3) ** 2), jnp.zeros(5),
        ...              jax.random.key(0), steps=200)
        >>> print(result.p.round(2))
        [3. 3. 3. 3. 3.]
    """

    def size(self, dimension: int) -> int:
        """Return how many members the population has."""
        return self.population or 30

    def least(self) -> int:
        """Return the smallest population allowed."""
        return 6

    def trials(self) -> int:
        """Return how many candidates there are for each member."""
        return 3

    def begin(self, crowd: Crowd) -> CoDEState:
        """Return the state in which nothing was learned yet."""
        return CoDEState(crowd)

    def draws(self, dimension: int) -> int:
        """Return how many random numbers a candidate takes."""
        return dimension + 8

    def propose(self, u: jax.Array, state: CoDEState) -> tuple[jax.Array, CoDEState]:
        """Return the candidates of all three strategies, one after the other."""
        x, (n, d) = state.crowd.x, state.crowd.x.shape
        # Of the random numbers d + 1 are for the crossover, then one is for the setting, one is a
        # weight, and the last ones are for partners.
        drawn = index(u[:, d + 1], len(_FACTORS))
        share = jnp.asarray(_SHARES, u.dtype)[drawn]
        factor = jnp.asarray(_FACTORS, u.dtype)[drawn].reshape(3, n, 1)
        weight = u[:, d + 2].reshape(3, n, 1)
        a, b, c, e, f = _partners(u[:, d + 3 :], x)
        one = a[0] + factor[0] * (b[0] - c[0])
        two = a[1] + weight[1] * (b[1] - c[1]) + factor[1] * (e[1] - f[1])
        three = x + weight[2] * (a[2] - x) + factor[2] * (b[2] - c[2])
        both, mutants = jnp.concatenate([x, x]), jnp.concatenate([one, two])
        crossing = crossed(u[: 2 * n, : d + 1], both, mutants, share[: 2 * n])
        return jnp.concatenate([crossing, three]), state

    def select(self, key: jax.Array, state: CoDEState, values: jax.Array) -> CoDEState:
        """Let the best of three replace a member that is no better."""
        crowd = state.crowd
        n, d = crowd.x.shape
        table, x = values.reshape(3, n), crowd.asked.reshape(3, n, d)
        best, member = jnp.argmin(table, axis=0), jnp.arange(n)
        return CoDEState(greedy(crowd, x[best, member], table[best, member])[0])


def _partners(u: jax.Array, x: jax.Array) -> jax.Array:
    """Return members (partners, 3, n, d) that are neither the member itself nor each other."""
    n = x.shape[0]
    taken = [jnp.tile(jnp.arange(n, dtype=jnp.int32), 3)]
    for column in u.T:
        taken.append(others(column, taken, n))
    return x[jnp.stack(taken[1:]).reshape(-1, 3, n)]


card = Card(
    method=CoDE,
    contract="asktell",
    paper="Wang, Cai, Zhang 2011, doi:10.1109/TEVC.2010.2087271",
    seed=208,
    reference="the strategies' formulas, whose candidates must solve for integer partners",
    needs={"values"},
    free_of={"gradient", "scale factor", "crossover rate"},
)
