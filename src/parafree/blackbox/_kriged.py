"""What methods share whose model is a Gaussian process: fitting it, and asking several at once."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from parafree.blackbox._gaussian_process import Hyper, Posterior, condition, first_guess, fit
from parafree.blackbox._modelled import Modelled, Record
from parafree.blackbox._promising import most_promising
from parafree.blackbox._threefry import turned


class KrigedState(NamedTuple):
    """Where such a method stands."""

    record: Record
    hyper: Hyper  # of the kernel, for values of mean 0 and deviation 1


class Kriged(Modelled):
    """A method whose model is a Gaussian process.

    Args:
        population: points in a batch; static.
        repeats: evaluations of each point, whose mean counts; static.
        points: how many are remembered; static.
        first: random points before the model is asked; static.
        spread: of the first points where there are no bounds; a leaf.
        limits: when the search ends by itself.
        steps: of the fit of the kernel after each batch; static.
    """

    steps: int = eqx.field(default=15, static=True)

    @abstractmethod
    def score(self, posterior: Posterior, least: jax.Array, record: Record, x: jax.Array) -> Any:
        """Return how promising points x (n, d) are; ``least`` is the smallest mean at a point."""

    def begin(self, key: jax.Array, record: Record) -> KrigedState:
        """Return the state in which nothing was learned yet."""
        return KrigedState(record, first_guess(record.frame.dimension, record.frame.dtype))

    def learn(self, key: jax.Array, state: KrigedState) -> KrigedState:
        """Go on with the fit of the kernel."""
        record, y = state.record, state.record.standard.heights
        return state._replace(hyper=fit(state.hyper, record.x, y, record.known, self.steps))

    def propose(self, key: jax.Array, state: KrigedState) -> jax.Array:
        """Return the most promising point, and then others as if it had the mean value of all."""
        record, (q, d) = state.record, state.record.asked.shape
        x = jnp.concatenate([record.x, jnp.zeros((q, d), record.x.dtype)])
        y = jnp.concatenate([record.standard.heights, jnp.zeros(q, record.x.dtype)])
        known = jnp.concatenate([record.known, jnp.zeros(q, bool)])

        def one(carry: Any, turn: jax.Array) -> Any:
            x, y, known = carry
            row = record.x.shape[0] + turn
            posterior = condition(state.hyper, x, y, known)
            least = jnp.min(jnp.where(known, posterior.means(), jnp.inf))
            point = most_promising(
                turned(key, turn),
                lambda z: self.score(posterior, least, record, z),
                record,
                self.spread,
            )
            return (x.at[row].set(point), y, known.at[row].set(True)), point

        return jax.lax.scan(one, (x, y, known), jnp.arange(q, dtype=jnp.int32))[1]
