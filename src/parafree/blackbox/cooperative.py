"""Cooperative coevolution: one search for each group of parameters, the others held at the best.

Mitchell A. Potter, Kenneth A. De Jong, "A Cooperative Coevolutionary Approach to Function
Optimization", PPSN 1994.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from parafree.blackbox._frame import Frame, Layout, frame, normal
from parafree.blackbox._progress import Info, Status, ended
from parafree.blackbox._ranking import clean
from parafree.blackbox._sampled import Best, Sampled, better
from parafree.blackbox.cmaes import CMAES
from parafree.core.card import Card
from parafree.core.errors import MethodError


class CooperativeState(NamedTuple):
    """Where cooperative coevolution stands; g groups, d coordinates, dtype of the frame."""

    frame: Frame  # of all coordinates
    groups: Any  # the method's states, with a leading axis of g on every leaf
    best: Best  # its point is the context in which groups are evaluated
    turn: jax.Array  # (), int32, the group that asks next


class Cooperative(eqx.Module):
    """Minimise by searching groups of coordinates in turn, with any evolution strategy.

    For very many parameters, when few of them depend on those of another group.

    Args:
        method: any evolution strategy of this room.
        size: coordinates in a group, at least 1; static. Groups are made of neighbours.

    Returns:
        An ask-and-tell method; a batch belongs to one group. ``info`` is the room's record; the
        search has ended when that of every group has.

    Raises:
        MethodError: ``method`` is no evolution strategy, or ``size`` no whole number above 0.

    Cost:
        A batch costs what it costs the method on ``size`` coordinates, and O(n d) for n
        candidates. Memory for the method's states of all groups.

    Source:
        Potter and De Jong 1994, CCGA-1: groups in turn, each evaluated with the best of the
        others; groups of several coordinates and other methods than a genetic algorithm as in
        later work.

    Differs:
        The context changes only when a better point was found. If ``size`` does not divide the
        number of coordinates the last group overlaps the one before.

    Example:
        >>> from parafree import run
        >>> result = run(Cooperative(size=5), lambda p: jnp.sum((p - 3) ** 2), jnp.zeros(20),
        ...              jax.random.key(0), steps=600)
        >>> bool(result.value < 1e-6)
        True
    """

    method: Sampled = CMAES()
    size: int = eqx.field(default=10, static=True)

    def __check_init__(self) -> None:
        sound = isinstance(self.method, Sampled)
        if not sound or type(self.size) is not int or self.size < 1:
            raise MethodError(
                f"method is a {type(self.method).__name__} and size is {self.size!r}",
                where="parafree.blackbox.Cooperative",
                fix="give an evolution strategy, for example CMAES(), and a whole number above 0",
            )

    def init(self, key: jax.Array, p: Any) -> CooperativeState:
        """Return the state of a search around ``p``: a space, a region, or a pytree."""
        where = frame(p)
        d, dtype = where.dimension, where.dtype
        size = min(self.size, d)
        ones = jnp.ones(size, dtype)
        # A group sees its coordinates as they are; bounds are met where candidates are made.
        plain = Layout(jax.tree.structure(0), ((size,),), (jnp.dtype(dtype),))
        part = Frame(0 * ones, ones, -jnp.inf * ones, jnp.inf * ones, plain)
        one = self.method.begin(self.method.core(part, 0 * ones, self.method.spread))
        count = -(-d // size)
        groups = jax.tree.map(lambda x: jnp.broadcast_to(x, (count, *x.shape)), one)
        best = Best(jnp.zeros(d, dtype), jnp.full((), jnp.inf, dtype))
        return CooperativeState(where, groups, best, jnp.int32(0))

    def ask(self, key: jax.Array, state: CooperativeState) -> tuple[Any, CooperativeState]:
        """Return a batch of candidates that differ in one group's coordinates."""
        group = self._group(state)
        draws = normal(key, group.core.asked.shape, group.core.asked.dtype)
        group = group._replace(core=group.core._replace(asked=draws))
        return state.frame.points(self._whole(state, group)), self._put(state, group)

    def tell(
        self, key: jax.Array, state: CooperativeState, candidates: Any, values: Any
    ) -> tuple[CooperativeState, Info]:
        """Take in the values of the candidates asked for last, in their order."""
        group, dtype = self._group(state), state.frame.dtype
        x, draws = self._whole(state, group), group.core.asked
        values = clean(values, state.frame.feasible(x), dtype)
        group = self.method.record(group, draws, values)
        group = self.method.digest(group, draws, values, values.shape[0])
        state = self._put(state, group)
        i = jnp.argmin(values)
        best = better(Best(x[i], values[i]), state.best)
        told = self.method.inform(group, values)
        over = ended(state.groups.core.progress).all()
        going = jnp.where(told.finite > 0, jnp.int32(Status.OK), jnp.int32(Status.NOT_FINITE))
        count = state.groups.core.sigma.shape[0]
        state = state._replace(best=best, turn=(state.turn + 1) % count)
        return state, told._replace(status=jnp.where(over, told.status, going))

    def best(self, state: CooperativeState) -> Any:
        """Return the candidate with the smallest value; the start before there is one."""
        return state.frame.point(state.best.x)

    def _group(self, state: CooperativeState) -> Any:
        return jax.tree.map(lambda x: x[state.turn], state.groups)

    def _put(self, state: CooperativeState, group: Any) -> CooperativeState:
        groups = jax.tree.map(lambda x, new: x.at[state.turn].set(new), state.groups, group)
        return state._replace(groups=groups)

    def _whole(self, state: CooperativeState, group: Any) -> jax.Array:
        """Return the context (n, d) with the group's candidates in it."""
        x = self.method.place(group, group.core.asked)
        n, size = x.shape
        context = jnp.broadcast_to(state.best.x, (n, state.best.x.shape[0]))
        begin = jnp.minimum(state.turn * size, context.shape[1] - size)
        return jax.lax.dynamic_update_slice(context, x, (jnp.int32(0), begin))


card = Card(
    method=Cooperative,
    contract="asktell",
    paper="Potter, De Jong 1994, doi:10.1007/3-540-58484-6_269",
    seed=208,
    reference="the method alone on each group of a separable function, draw for draw",
    needs={"values"},
    free_of={"gradient", "learning rate", "population size"},
)
