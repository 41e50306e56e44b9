"""Normal distributions with a scale of its own for every coordinate, and none for pairs of them."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from parafree.blackbox._sampled import Core, Sampled


class ScaledState(NamedTuple):
    """Where such a method stands; d coordinates, dtype of the frame."""

    core: Core  # its sigma is the first step size, and stays it
    scales: jax.Array  # (d,), deviations in units of sigma


class Scaled(Sampled):
    """A method that draws around a mean with deviations sigma s; all it says is how it learns."""

    def begin(self, core: Core) -> ScaledState:
        """Return the state in which nothing was learned yet."""
        return ScaledState(core, jnp.ones_like(core.mean))

    def place(self, state: ScaledState, draws: jax.Array) -> jax.Array:
        """Return mean + sigma s z."""
        return state.core.mean + self.deviation(state) * draws

    def deviation(self, state: ScaledState) -> jax.Array:
        """Return the deviations."""
        return state.core.sigma * state.scales
