"""Normal distributions whose draws are multiplied with a matrix, which is learned as it is."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from parafree.blackbox._sampled import Core, Sampled


class ShapedState(NamedTuple):
    """Where such a method stands; d coordinates, dtype of the frame."""

    core: Core
    matrix: jax.Array  # (d, d), M; the covariance is sigma^2 M M^T


class Shaped(Sampled):
    """A method that draws around a mean, in steps sigma M z; its state has a field ``matrix``."""

    def begin(self, core: Core) -> Any:
        """Return the state in which nothing was learned yet."""
        return ShapedState(core, jnp.eye(core.frame.dimension, dtype=core.frame.dtype))

    def place(self, state: Any, draws: jax.Array) -> jax.Array:
        """Return mean + sigma M z."""
        return state.core.mean + state.core.sigma * (draws @ state.matrix.T)

    def deviation(self, state: Any) -> jax.Array:
        """Return sigma times the lengths of the rows of M."""
        return state.core.sigma * jnp.sqrt(jnp.sum(state.matrix**2, axis=1))
