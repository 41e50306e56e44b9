"""JADE: differential evolution towards one of the best, with an archive, that tunes itself.

Jingqiao Zhang, Arthur C. Sanderson, "JADE: Adaptive Differential Evolution with Optional External
Archive", IEEE Transactions on Evolutionary Computation, 2009.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from parafree.blackbox._differential import (
    Archive,
    Setting,
    empty,
    succeeded,
    survive,
    vary,
)
from parafree.blackbox._populated import Crowd, Populated
from parafree.core.card import Card


class JADEState(NamedTuple):
    """Where JADE stands; n members, dtype of the frame."""

    crowd: Crowd
    archive: Archive
    middle: Setting  # (), mu_F and mu_CR
    drawn: Setting  # (n,), F and CR of the candidates asked for
    lot: jax.Array  # (n, 2), even in (0, 1), by which members leave a full archive


class JADE(Populated):
    """Minimise by adding scaled differences of members, with parameters learned from success.

    Args:
        population: members, at least 5; static. ``None`` takes 100.
        spread: of the first candidates where there are no bounds, in units of the scale; a leaf,
            above 0. Between two bounds they are spread evenly.
        limits: when the search ends by itself.
        top: p, the share of the best that members move towards, in (0, 1]; a leaf.
        memory: c, how fast the parameters are learned, in [0, 1]; a leaf.

    Returns:
        An ask-and-tell method. ``info`` is the room's record; its status says how the search ended.

    Raises:
        MethodError: ``population`` is no whole number of at least 5.

    Cost:
        A batch of n candidates takes O(n d) operations and memory.

    Source:
        Zhang and Sanderson 2009, table 1 with archive: p = 0.05, c = 0.1.

    Differs:
        Candidates outside the bounds are mirrored, not put halfway between bound and member. One
        of the first members is the start.

    Example:
        >>> from parafree import run
        >>> result = run(JADE(population=30), lambda p: jnp.sum((p - 3) ** 2), jnp.zeros(5),
        ...              jax.random.key(0), steps=150)
        >>> print(result.p.round(2))
        [3. 3. 3. 3. 3.]
    """

    top: Any = 0.05
    memory: Any = 0.1

    def begin(self, crowd: Crowd) -> JADEState:
        """Return the state in which nothing was learned yet."""
        half = jnp.full((), 0.5, crowd.x.dtype)
        each = jnp.full(crowd.x.shape[0], 0.5, crowd.x.dtype)
        lot = jnp.zeros((crowd.x.shape[0], 2), crowd.x.dtype)
        return JADEState(crowd, empty(crowd.x), Setting(half, half), Setting(each, each), lot)

    def draws(self, dimension: int) -> int:
        """Return how many random numbers a candidate takes."""
        return dimension + 8

    def propose(self, u: jax.Array, state: JADEState) -> tuple[jax.Array, JADEState]:
        """Draw F and CR, mutate and cross."""
        n, dtype = state.crowd.x.shape[0], state.crowd.x.dtype
        few = jnp.clip(jnp.round(n * jnp.asarray(self.top, dtype)), 1, n).astype(jnp.int32)
        x, drawn = vary(u[:, :-2], state.crowd, state.archive, state.middle, few)
        return x, state._replace(drawn=drawn, lot=u[:, -2:])

    def select(self, key: jax.Array, state: JADEState, values: jax.Array) -> JADEState:
        """Keep what is no worse, and learn from what is better."""
        crowd, archive = survive(state.lot, state.crowd, state.archive, values)
        weights = (values < state.crowd.values).astype(values.dtype)
        rate = jnp.asarray(self.memory, values.dtype)
        better = succeeded(state.drawn, weights, state.middle)
        middle = jax.tree.map(lambda a, b: (1 - rate) * a + rate * b, state.middle, better)
        return JADEState(crowd, archive, middle, state.drawn, state.lot)


card = Card(
    method=JADE,
    contract="asktell",
    paper="Zhang, Sanderson 2009, doi:10.1109/TEVC.2009.2014613",
    seed=208,
    reference="a slow version in NumPy that is given the same draws; laws of its draws",
    needs={"values"},
    free_of={"gradient", "scale factor", "crossover rate"},
)
