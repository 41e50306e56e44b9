"""A search that chooses, restarts and widens its methods itself: nothing is left to set.

The restarts of Nikolaus Hansen, "Benchmarking a BI-Population CMA-ES on the BBOB-2009 Function
Testbed", GECCO workshop 2009, over the evolution strategy that fits the dimension.
"""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from parafree.blackbox._frame import Frame, frame
from parafree.blackbox._kinds import kinds_of
from parafree.blackbox._restarts import RestartInfo, Restarting, RestartState
from parafree.blackbox._sampled import Sampled
from parafree.blackbox.bipop import BIPOP
from parafree.blackbox.cat_cmaes import CatCMAES
from parafree.blackbox.cmaes import CMAES
from parafree.blackbox.sep_cmaes import SepCMAES
from parafree.core.card import Card
from parafree.core.errors import MethodError

_FULL = 100  # dimensions up to which a whole covariance is learned


class Auto(eqx.Module):
    """Minimise without choosing a method: it looks at the dimension, and restarts.

    Up to a hundred parameters a whole covariance is learned, beyond that a scale for each. A run
    that has ended begins again elsewhere, with larger populations and with small ones in turn.

    Args:
        batch: candidates in a batch at least, for example twice as many as there are workers;
            static. ``None`` takes what the method recommends.

    Returns:
        An ask-and-tell method. ``info`` is that of a method with restarts.

    Raises:
        MethodError: ``batch`` is no whole number of at least 1.

    Cost:
        That of the method within; see :class:`parafree.blackbox.BIPOP`.

    Source:
        Hansen 2009, doi:10.1145/1570256.1570333, section 2.1, for the restarts.

    Differs:
        The method within depends on the dimension.

    Example:
        >>> from parafree import run
        >>> from parafree.blackbox import Auto, Region
        >>> def bumps(p):  # 100 local minima for each that is global
        ...     return jnp.sum(p**2 + 10 * (1 - jnp.cos(2 * jnp.pi * p)))
        >>> region = Region(jnp.full(2, 2.0), low=-5, high=5)
        >>> result = run(Auto(), bumps, region, jax.random.key(0), steps=2000)
        >>> bool(result.value < 1e-6)
        True
    """

    batch: int | None = eqx.field(default=None, static=True)

    def __check_init__(self) -> None:
        if self.batch is not None and (type(self.batch) is not int or self.batch < 1):
            raise MethodError(
                f"batch is {self.batch!r}",
                where="parafree.blackbox.Auto",
                fix="give a whole number of at least 1, or None",
            )

    # The contract -------------------------------------------------------------------------

    def init(self, key: jax.Array, p: Any) -> RestartState:
        """Return the state of a search around ``p``: a space, a region, or a pytree."""
        return self.method(frame(p)).init(key, p)

    def ask(self, key: jax.Array, state: RestartState) -> tuple[Any, RestartState]:
        """Return a batch of candidates and the state that remembers them."""
        return self._within(state).ask(key, state)

    def tell(
        self, key: jax.Array, state: RestartState, candidates: Any, values: Any
    ) -> tuple[RestartState, RestartInfo]:
        """Take in the values of the candidates asked for last, in their order."""
        return self._within(state).tell(key, state, candidates, values)

    def best(self, state: RestartState) -> Any:
        """Return the candidate with the smallest value; the start before there is one."""
        return self._within(state).best(state)

    # What a search that hands out candidates one by one needs ------------------------------

    def method(self, where: Frame) -> Restarting:
        """Return the method that searches in a frame."""
        if kinds_of(where.form, where.dimension).discrete:
            kind: type[Sampled] = CatCMAES
        else:
            kind = CMAES if where.dimension <= _FULL else SepCMAES
        size = kind().size(where.dimension)
        return BIPOP(kind(population=max(size, self.batch or 0)))

    def describe(self, state: RestartState) -> str:
        """Return the name of the method that searches."""
        method = self._within(state)
        return f"{type(method).__name__} restarts of {type(method.method).__name__}"

    def draws(self, state: RestartState) -> jax.Array:
        """Return the numbers (n, draws) that make the candidates asked for last."""
        return state.inner.core.asked

    def recall(self, state: RestartState, draws: jax.Array) -> RestartState:
        """Return the state as if candidates with these numbers had been asked for last.

        All candidates of a generation are drawn from one distribution, so any of them may take
        the place of any other.
        """
        return eqx.tree_at(lambda s: s.inner.core.asked, state, draws)

    def move(self, state: RestartState, u: jax.Array) -> RestartState:
        """Return the state with its run begun again at a point u (d,) of a space's unit cube."""
        method, where = self._within(state).method, state.inner.core.frame
        mean = (jnp.asarray(u, where.dtype) - where.origin) / where.scale
        spread = jnp.asarray(method.spread, where.dtype) * state.run.spread
        return state._replace(inner=method.begin(method.core(where, mean, spread)))

    def mean(self, state: RestartState) -> Any:
        """Return the candidate in the middle of the distribution."""
        middle = jnp.zeros_like(self.draws(state)[:1])
        x = self._within(state).method.place(state.inner, middle)
        return state.inner.core.frame.point(x[0])

    def widen(self, state: RestartState) -> RestartState:
        """Return the state with twice the population in this run, as far as there is room.

        For an objective that is so noisy that a generation's values hardly tell its candidates
        apart: larger generations average over the noise.
        """
        room = jnp.int32(state.values.shape[0])
        population = jnp.minimum(2 * state.run.population, room)
        return state._replace(run=state.run._replace(population=population))

    def _within(self, state: RestartState) -> Restarting:
        return self.method(state.inner.core.frame)


card = Card(
    method=Auto,
    contract="asktell",
    paper="Hansen 2009, doi:10.1145/1570256.1570333",
    reference="the method that it chooses, itself; pycma's BIPOP in bench/bbob.py",
    needs={"values"},
    free_of={"gradient", "learning rate", "population size", "choice of a method"},
)
