"""A search that chooses, restarts and widens its methods itself: nothing is left to set.

The restarts of Nikolaus Hansen, "Benchmarking a BI-Population CMA-ES on the BBOB-2009 Function
Testbed", GECCO workshop 2009, over the evolution strategy that fits the dimension.
"""

from __future__ import annotations

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from parafree.blackbox._frame import Frame, frame
from parafree.blackbox._kinds import kinds_of
from parafree.blackbox._limited import Limited, LimitedState, Nearest, check_limits
from parafree.blackbox._restarts import RestartInfo, Restarting, RestartState
from parafree.blackbox._sampled import Sampled
from parafree.blackbox.bipop import BIPOP
from parafree.blackbox.cat_cmaes import CatCMAES
from parafree.blackbox.cmaes import CMAES
from parafree.blackbox.lm_cma import LMCMA
from parafree.blackbox.surrogate import Surrogate, SurrogateState
from parafree.core.card import Card
from parafree.core.errors import MethodError

_FULL = 100  # dimensions up to which a whole covariance is learned, where values cost nothing
_MODELLED = 40  # and where each candidate counts; and up to which a model is worth its time
_DOUBLINGS = 5  # of the population where each evaluation is asked for by name


class Auto(eqx.Module):
    """Minimise without choosing a method: it looks at the dimension, and restarts.

    Up to a hundred parameters a whole covariance is learned, beyond that some twenty directions of
    past success. A run that has ended begins again elsewhere, with larger populations and with
    small ones in turn. Where batches are small, each candidate counts: up to forty parameters
    quadratic models spare evaluations, and beyond those a whole covariance would be learned too
    late. Where figures have limits, an augmented Lagrangian makes an order of them.

    Args:
        batch: candidates in a batch, at least 1 (1 is taken as 2), for example twice as many as
            there are workers; static. ``None``, for values that cost next to nothing, takes whole
            generations and no model.
        limits: how many figures beside the value have to stay at most 0; static. If there are any,
            values are told as (n, 1 + limits).

    Returns:
        An ask-and-tell method. ``info`` is that of a method with restarts.

    Raises:
        MethodError: ``batch`` is no whole number of at least 1, or ``limits`` none of at least 0.

    Cost:
        That of the method within; see :class:`parafree.blackbox.BIPOP` and, where a batch is given,
        :class:`parafree.blackbox.Surrogate`.

    Source:
        Hansen 2009, doi:10.1145/1570256.1570333, section 2.1, for the restarts.

    Differs:
        The method within depends on the dimension, and so does the first step, from 40 on.

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
    limits: int = eqx.field(default=0, static=True)

    def __check_init__(self) -> None:
        check_limits(self.limits, "Auto")
        if self.batch is not None and (type(self.batch) is not int or self.batch < 1):
            raise MethodError(
                f"batch is {self.batch!r}",
                where="parafree.blackbox.Auto",
                fix="give a whole number of at least 1, or None",
            )

    # The contract -------------------------------------------------------------------------

    def init(self, key: jax.Array, p: Any) -> Any:
        """Return the state of a search around ``p``: a space, a region, or a pytree."""
        return self.method(frame(p)).init(key, p)

    def ask(self, key: jax.Array, state: Any) -> tuple[Any, Any]:
        """Return a batch of candidates and the state that remembers them."""
        return self._within(state).ask(key, state)

    def tell(
        self, key: jax.Array, state: Any, candidates: Any, values: Any
    ) -> tuple[Any, RestartInfo]:
        """Take in the values of the candidates asked for last, in their order."""
        return self._within(state).tell(key, state, candidates, values)

    def best(self, state: Any) -> Any:
        """Return the candidate with the smallest value; the start before there is one."""
        return self._within(state).best(state)

    # What a search that hands out candidates one by one needs ------------------------------

    def method(self, where: Frame) -> Restarting | Surrogate | Limited:
        """Return the method that searches in a frame."""
        # The best step on a sphere falls with the root of the dimension.
        spread = min(1.0, math.sqrt(_MODELLED / where.dimension))
        if kinds_of(where.form, where.dimension).discrete:
            kind: type[Sampled] = CatCMAES
            spread = 1.0  # so that no option is left out
        else:
            full = _FULL if self.batch is None else _MODELLED
            kind = CMAES if where.dimension <= full else LMCMA
        size = kind().size(where.dimension)
        if self.batch is None or where.dimension > _MODELLED:
            restarts = BIPOP(kind(population=max(size, self.batch or 0), spread=spread))
            return Limited(restarts, self.limits) if self.limits else restarts
        batch = max(2, self.batch)
        batches = max(2, -(-size // batch))
        restarts = BIPOP(kind(population=batches * batch), doublings=_DOUBLINGS)
        return Surrogate(restarts, batch, limits=self.limits)

    def describe(self, state: Any) -> str:
        """Return the name of the method that searches."""
        within = self._within(state)
        runs = within if isinstance(within, Restarting) else within.method
        name = f"{type(runs).__name__} restarts of {type(runs.method).__name__}"
        return f"{name} with a quadratic model" if isinstance(within, Surrogate) else name

    def runs(self, state: Any) -> RestartState:
        """Return the runs of a search, whether it has models and limits or not."""
        return state.runs if isinstance(state, SurrogateState | LimitedState) else state

    def nearest(self, state: Any) -> Nearest | None:
        """Return what is known of the best point where figures have limits."""
        return getattr(state, "nearest", None)

    def draws(self, state: Any) -> jax.Array:
        """Return the numbers (n, draws) that make the candidates asked for last."""
        return self.runs(state).inner.core.asked

    def recall(self, state: Any, draws: jax.Array) -> Any:
        """Return the state as if candidates with these numbers had been asked for last.

        All candidates of a generation are drawn from one distribution, so any of them may take
        the place of any other.
        """
        return eqx.tree_at(lambda s: self.runs(s).inner.core.asked, state, draws)

    def move(self, state: Any, u: jax.Array) -> Any:
        """Return the state with its run begun again at a point u (d,) of a space's unit cube."""
        runs, method = self.runs(state), self._sampled(state)
        where = runs.inner.core.frame
        mean = (jnp.asarray(u, where.dtype) - where.origin) / where.scale
        spread = jnp.asarray(method.spread, where.dtype) * runs.run.spread
        core = method.core(where, mean, spread)._replace(asked=runs.inner.core.asked)
        return eqx.tree_at(lambda s: self.runs(s).inner, state, method.begin(core))

    def mean(self, state: Any) -> Any:
        """Return the candidate in the middle of the distribution."""
        inner = self.runs(state).inner
        x = self._sampled(state).place(inner, jnp.zeros_like(inner.core.asked[:1]))
        return inner.core.frame.point(x[0])

    def widen(self, state: Any) -> Any:
        """Return the state with twice the population in this run, as far as there is room.

        For an objective that is so noisy that a generation's values hardly tell its candidates
        apart: larger generations average over the noise.
        """
        runs = self.runs(state)
        population = jnp.minimum(2 * runs.run.population, jnp.int32(runs.values.shape[0]))
        return eqx.tree_at(lambda s: self.runs(s).run.population, state, population)

    def warned(self, state: Any, strays: Any) -> Any:
        """Return the state that knows whether some values may be far off by noise (a bool).

        Its model then leaves out those that are far from most.
        """
        if not isinstance(state, SurrogateState):
            return state
        return state._replace(strays=jnp.asarray(strays))

    def _sampled(self, state: Any) -> Sampled:
        within = self._within(state)
        return (within if isinstance(within, Restarting) else within.method).method

    def _within(self, state: Any) -> Restarting | Surrogate | Limited:
        return self.method(self.runs(state).inner.core.frame)


card = Card(
    method=Auto,
    contract="asktell",
    paper="Hansen 2009, doi:10.1145/1570256.1570333",
    reference="the method that it chooses, itself; pycma's BIPOP in bench/bbob.py",
    needs={"values"},
    free_of={"gradient", "learning rate", "population size", "choice of a method"},
)
