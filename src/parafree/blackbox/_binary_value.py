"""Dynamic BinVal: monotone functions of bits whose weights are dealt anew in every generation.

Under BinVal a bit outweighs all bits behind it together, so two strings are compared at the first
bit in which they differ. In the three functions here that order is random in every generation; two
of them see the parent, and set its zeros or its ones in front. Weights of 2^n would leave the
numbers of a computer, so a batch is ranked instead.
"""

from __future__ import annotations

from enum import Enum

import jax
import jax.numpy as jnp

from parafree.blackbox._frame import even


class Order(Enum):
    """Whose bits are in front."""

    DYNAMIC = "dynamic"  # anybody's: DBV, all orders are equally likely
    ADVERSARIAL = "adversarial"  # the parent's zeros: ADBV, one gained bit outweighs any loss
    SWITCHING = "switching"  # SDBV: as ADBV below n/2 zeros, and the parent's ones from there on


def priorities(key: jax.Array, order: Order, parent: jax.Array) -> jax.Array:
    """Return how much each bit weighs (n,): the largest priority outweighs all others together.

    Args:
        key: a JAX key.
        order: which function.
        parent: (n,), bool; the function of a generation is built on it.
    """
    u = even(key, parent.shape, jnp.float32)
    if order is Order.DYNAMIC:
        return u
    zeros_first = jnp.asarray(True)
    if order is Order.SWITCHING:
        zeros_first = 2 * jnp.sum(~parent) < parent.size
    return u + (parent != zeros_first).astype(u.dtype)


def losses(weights: jax.Array, bits: jax.Array) -> jax.Array:
    """Return the losses (m,) of strings (m, n): how many of the batch are better.

    Args:
        weights: (n,), priorities of the bits.
        bits: (m, n), bool.

    Example:
        >>> strings = jnp.array([[0, 1, 1], [1, 0, 0], [1, 0, 0], [1, 0, 1]], bool)
        >>> print(losses(jnp.array([3.0, 2.0, 1.0]), strings))
        [3. 1. 1. 0.]
    """
    # Each string as its differences from the first one, the weightiest in front: a gained bit
    # counts by its weight, a lost one by minus that. Compared in this order they rank as the
    # strings do, and most pairs are decided by the first difference.
    signed = jnp.where(bits, 1, -1) * (weights + 1 - jnp.min(weights))

    def undecided(carry: tuple[jax.Array, jax.Array]) -> jax.Array:
        rank, differ = carry
        same = (rank[:, None] == rank) & ~jnp.eye(rank.size, dtype=bool)
        return jnp.any(same & differ.any(axis=1))

    def decide(carry: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        rank, differ = carry
        front = jnp.argmax(jnp.where(differ, jnp.abs(signed), 0), axis=1)
        row = jnp.arange(rank.size)
        score = jnp.where(differ[row, front], signed[row, front], 0)
        better = (rank < rank[:, None]) | ((rank == rank[:, None]) & (score > score[:, None]))
        return jnp.sum(better, axis=1, dtype=jnp.int32), differ.at[row, front].set(False)

    start = jnp.zeros(bits.shape[0], jnp.int32), bits != bits[0]
    return jax.lax.while_loop(undecided, decide, start)[0].astype(weights.dtype)
