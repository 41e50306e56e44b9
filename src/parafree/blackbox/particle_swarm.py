"""Particle swarm: particles that are drawn to their own best point and to their neighbours'.

Daniel Bratton, James Kennedy, "Defining a Standard for Particle Swarm Optimization", IEEE Swarm
Intelligence Symposium 2007.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from parafree.blackbox._populated import Crowd, Populated, greedy
from parafree.core.card import Card


class ParticleSwarmState(NamedTuple):
    """Where the swarm stands; n particles, d coordinates, dtype of the frame."""

    crowd: Crowd  # its members are the particles' own best points
    velocity: jax.Array  # (n, d), with which the last candidates were reached


class ParticleSwarm(Populated):
    """Minimise with particles that fly around the best points that they and two others know.

    Args:
        population: particles, at least 5; static. ``None`` takes 50.
        spread: of the first candidates where there are no bounds, in units of the scale; a leaf,
            above 0. Between two bounds they are spread evenly.
        limits: when the search ends by itself.
        inertia: chi, the share of the velocity that stays; a leaf.
        attraction: chi phi / 2, the largest pull towards either point; a leaf.

    Returns:
        An ask-and-tell method. ``info`` is the room's record; its status says how the search ended.

    Raises:
        MethodError: ``population`` is no whole number of at least 5.

    Cost:
        A batch of n candidates takes O(n d) operations and memory.

    Source:
        Bratton and Kennedy 2007, equations (3) and (4) with chi = 0.72984 and phi = 4.1; particles
        know their two neighbours on a ring.

    Differs:
        Particles outside the bounds are mirrored, where the paper lets them fly without a value.
        One of the first particles is the start, and all of them begin at rest.

    Example:
        >>> from parafree import run
        >>> result = run(ParticleSwarm(), lambda p: jnp.sum((p - 3) ** 2), jnp.zeros(5),
        ...              jax.random.key(0), steps=200)
        >>> print(result.p.round(2))
        [3. 3. 3. 3. 3.]
    """

    inertia: Any = 0.72984
    attraction: Any = 1.496172

    def size(self, dimension: int) -> int:
        """Return how many members the population has."""
        return self.population or 50

    def begin(self, crowd: Crowd) -> ParticleSwarmState:
        """Return the state in which nothing was learned yet."""
        return ParticleSwarmState(crowd, jnp.zeros_like(crowd.x))

    def draws(self, dimension: int) -> int:
        """Return how many random numbers a candidate takes."""
        return 2 * dimension

    def propose(
        self, u: jax.Array, state: ParticleSwarmState
    ) -> tuple[jax.Array, ParticleSwarmState]:
        """Fly on."""
        crowd = state.crowd
        own, shared = jnp.split(u, 2, axis=1)
        x, pull = crowd.asked, jnp.asarray(self.attraction, crowd.x.dtype)
        velocity = jnp.asarray(self.inertia, x.dtype) * state.velocity
        velocity += pull * own * (crowd.x - x) + pull * shared * (_neighbours(crowd) - x)
        return x + velocity, state._replace(velocity=velocity)

    def select(
        self, key: jax.Array, state: ParticleSwarmState, values: jax.Array
    ) -> ParticleSwarmState:
        """Let every particle remember the better point."""
        return state._replace(crowd=greedy(state.crowd, state.crowd.asked, values)[0])


def _neighbours(crowd: Crowd) -> jax.Array:
    """Return the best point (n, d) that each particle or one of its two neighbours knows."""
    n = crowd.values.shape[0]
    around = jnp.stack([jnp.roll(crowd.values, turn) for turn in (0, 1, -1)])
    turn = jnp.asarray((0, -1, 1), jnp.int32)[jnp.argmin(around, axis=0)]
    return crowd.x[(jnp.arange(n, dtype=jnp.int32) + turn) % n]


card = Card(
    method=ParticleSwarm,
    contract="asktell",
    paper="Bratton, Kennedy 2007, doi:10.1109/SIS.2007.368035",
    seed=208,
    reference="a slow version in NumPy that is given the same draws",
    needs={"values"},
    free_of={"gradient"},
)
