"""SHADE: JADE with a memory of many successful parameters instead of two means.

Ryoji Tanabe, Alex Fukunaga, "Success-History Based Parameter Adaptation for Differential
Evolution", CEC 2013.
"""

from __future__ import annotations

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from parafree.blackbox._differential import (
    Archive,
    Setting,
    empty,
    index,
    succeeded,
    survive,
    vary,
)
from parafree.blackbox._populated import Crowd, Populated
from parafree.core.card import Card


class SHADEState(NamedTuple):
    """Where SHADE stands; n members and a memory of h, dtype of the frame."""

    crowd: Crowd
    archive: Archive
    history: Setting  # (h,), M_F and M_CR
    turn: jax.Array  # (), int32, the entry that is written next
    drawn: Setting  # (n,), F and CR of the candidates asked for
    lot: jax.Array  # (n, 2), even in (0, 1), by which members leave a full archive


class SHADE(Populated):
    """Minimise by adding scaled differences of members, with a history of what succeeded.

    Args:
        population: members, at least 5; static. ``None`` takes 100.
        spread: of the first candidates where there are no bounds, in units of the scale; a leaf,
            above 0. Between two bounds they are spread evenly.
        limits: when the search ends by itself.
        memory: h, entries of the history; static. ``None`` takes as many as members.

    Returns:
        An ask-and-tell method. ``info`` is the room's record; its status says how the search ended.

    Raises:
        MethodError: ``population`` is no whole number of at least 5.

    Cost:
        A batch of n candidates takes O(n d) operations and memory.

    Source:
        Tanabe and Fukunaga 2013, algorithm 1 and equations (9) to (17).

    Differs:
        Candidates outside the bounds are mirrored, not put halfway between bound and member. One
        of the first members is the start.

    Example:
        >>> from parafree import run
        >>> result = run(SHADE(population=30), lambda p: jnp.sum((p - 3) ** 2), jnp.zeros(5),
        ...              jax.random.key(0), steps=150)
        >>> print(result.p.round(2))
        [3. 3. 3. 3. 3.]
    """

    memory: int | None = eqx.field(default=None, static=True)

    def begin(self, crowd: Crowd) -> SHADEState:
        """Return the state in which nothing was learned yet."""
        n, dtype = crowd.x.shape[0], crowd.x.dtype
        entry, each = jnp.full(self.memory or n, 0.5, dtype), jnp.full(n, 0.5, dtype)
        lot = jnp.zeros((n, 2), dtype)
        history, drawn = Setting(entry, entry), Setting(each, each)
        return SHADEState(crowd, empty(crowd.x), history, jnp.int32(0), drawn, lot)

    def draws(self, dimension: int) -> int:
        """Return how many random numbers a candidate takes."""
        return dimension + 10

    def propose(self, u: jax.Array, state: SHADEState) -> tuple[jax.Array, SHADEState]:
        """Draw an entry of the history for every member, then F, CR and p; mutate and cross."""
        n, history = state.crowd.x.shape[0], state.history
        entry = index(u[:, -4], history.factor.shape[0])
        middle = jax.tree.map(lambda x: x[entry], history)
        least = 2 / n
        top = least + u[:, -3] * (max(0.2, least) - least)
        few = jnp.maximum(jnp.round(n * top), 1).astype(jnp.int32)
        x, drawn = vary(u[:, :-4], state.crowd, state.archive, middle, few)
        return x, state._replace(drawn=drawn, lot=u[:, -2:])

    def select(self, key: jax.Array, state: SHADEState, values: jax.Array) -> SHADEState:
        """Keep what is no worse, and write down what succeeded, weighted by the gain."""
        old, turn = state.crowd.values, state.turn
        crowd, archive = survive(state.lot, state.crowd, state.archive, values)
        entry = jax.tree.map(lambda x: x[turn], state.history)
        entry = succeeded(state.drawn, _gains(old, values), entry)
        history = jax.tree.map(lambda x, new: x.at[turn].set(new), state.history, entry)
        following = (turn + 1) % history.factor.shape[0]
        turn = jnp.where(jnp.any(values < old), following, turn)
        return SHADEState(crowd, archive, history, turn, state.drawn, state.lot)


def _gains(old: jax.Array, new: jax.Array) -> jax.Array:
    """Return by how much each candidate is better, as a share of the largest gain.

    One that replaces a member without a finite value counts as much as the largest.
    """
    finite = jnp.isfinite(old)
    gain = jnp.maximum(jnp.where(finite & (new < old), old - new, 0), 0)
    largest = jnp.max(gain)
    unit = jnp.where(largest > 0, largest, 1)
    return jnp.where(~finite & jnp.isfinite(new), 1, gain / unit)


card = Card(
    method=SHADE,
    contract="asktell",
    paper="Tanabe, Fukunaga 2013, doi:10.1109/CEC.2013.6557555",
    seed=208,
    reference="a slow version in NumPy that is given the same draws",
    needs={"values"},
    free_of={"gradient", "scale factor", "crossover rate"},
)
