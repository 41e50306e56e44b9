"""Pieces of differential evolution: partners, crossover, the archive, and adapted parameters."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from parafree.blackbox._populated import Crowd, greedy


class Archive(NamedTuple):
    """Members that were replaced, which still say where the population came from."""

    x: jax.Array  # (n, d)
    filled: jax.Array  # (), int32, how many rows are in use


class Setting(NamedTuple):
    """F and CR: of every member, or what they are drawn around."""

    factor: jax.Array
    share: jax.Array


def empty(x: jax.Array) -> Archive:
    """Return an archive with room for as many as the population."""
    return Archive(jnp.zeros_like(x), jnp.int32(0))


def keep(u: jax.Array, archive: Archive, x: jax.Array, replaced: jax.Array) -> Archive:
    """Return the archive with the members that were replaced; random ones go when it is full.

    u (n, 2) is even in (0, 1).
    """
    n = x.shape[0]
    rows = jnp.concatenate([archive.x, x])
    used = jnp.concatenate([jnp.arange(n, dtype=jnp.int32) < archive.filled, replaced])
    # The n smallest of 2 n: a third of the time that sorting takes.
    chosen = jax.lax.top_k(jnp.where(used, -u.T.ravel(), -jnp.inf), n)[1]
    filled = archive.filled + jnp.sum(replaced, dtype=jnp.int32)
    return Archive(rows[chosen], jnp.minimum(filled, n))


def others(u: jax.Array, taken: list[jax.Array], highest: Any) -> jax.Array:
    """Return an index below ``highest`` for every member, other than those taken for it.

    Args:
        u: (n,), even in (0, 1).
        taken: of each member, indices that it may not get, all different.
        highest: the number of indices to choose from, which may be traced.
    """
    drawn = index(u, highest - len(taken))
    for lower in _in_order(taken):
        drawn = drawn + (drawn >= lower).astype(drawn.dtype)
    return drawn


def _in_order(rows: list[jax.Array]) -> list[jax.Array]:
    """Return rows that rise from one to the next; for so few, a sort compiles much longer."""
    ordered: list[jax.Array] = []
    for row in rows:
        for i, lower in enumerate(ordered):
            ordered[i], row = jnp.minimum(lower, row), jnp.maximum(lower, row)
        ordered.append(row)
    return ordered


def index(u: jax.Array, highest: Any) -> jax.Array:
    """Return indices below ``highest``, which may be traced, from u that is even in (0, 1).

    Example:
        >>> print(index(jnp.array([0.1, 0.5, 0.99]), 4))
        [0 2 3]
    """
    drawn = jnp.floor(u * jnp.asarray(highest, u.dtype)).astype(jnp.int32)
    return jnp.minimum(drawn, jnp.asarray(highest, jnp.int32) - 1)


def crossed(u: jax.Array, x: jax.Array, mutant: jax.Array, share: jax.Array) -> jax.Array:
    """Return members with about this share (n,) of the mutant's coordinates, at least one.

    u (n, d + 1) is even in (0, 1).
    """
    d = x.shape[1]
    one = index(u[:, d:], d) == jnp.arange(d, dtype=jnp.int32)
    return jnp.where((u[:, :d] < share[:, None]) | one, mutant, x)


def vary(
    u: jax.Array, crowd: Crowd, archive: Archive, middle: Setting, top: jax.Array
) -> tuple[jax.Array, Setting]:
    """Return a candidate for every member, and its F and CR.

    Args:
        u: (n, d + 6), even in (0, 1).
        crowd: the population.
        archive: of replaced members.
        middle: what F and CR are drawn around, of every member or of all.
        top: how many of the best, at least one, each member or all choose from.
    """
    d = crowd.x.shape[1]
    drawn = Setting(_scale_factors(u[:, d + 1], middle.factor), _shares(u[:, d + 2], middle.share))
    mutant = _towards_best(u[:, d + 3 :], crowd, archive, drawn.factor, top)
    return crossed(u[:, : d + 1], crowd.x, mutant, drawn.share), drawn


def survive(
    u: jax.Array, crowd: Crowd, archive: Archive, values: jax.Array
) -> tuple[Crowd, Archive]:
    """Return the crowd without members that a candidate is no worse than, and the archive.

    u (n, 2) is even in (0, 1).
    """
    kept, _ = greedy(crowd, crowd.asked, values)
    return kept, keep(u, archive, crowd.x, values < crowd.values)


def succeeded(drawn: Setting, weights: jax.Array, otherwise: Setting) -> Setting:
    """Return the weighted Lehmer mean of F and mean of CR, or what stands for them without any."""
    return Setting(
        _mean(drawn.factor, weights * drawn.factor, otherwise.factor),
        _mean(drawn.share, weights, otherwise.share),
    )


def _mean(numbers: jax.Array, weights: jax.Array, otherwise: jax.Array) -> jax.Array:
    total = jnp.sum(weights)
    return jnp.where(total > 0, weights @ numbers / jnp.where(total > 0, total, 1), otherwise)


def _towards_best(
    u: jax.Array, crowd: Crowd, archive: Archive, factor: jax.Array, top: jax.Array
) -> jax.Array:
    """Return the mutants of current-to-pbest/1 with an archive (Zhang and Sanderson 2009, (7))."""
    x, n = crowd.x, crowd.x.shape[0]
    best = x[jnp.argsort(crowd.values, stable=True)[index(u[:, 0], top)]]
    own = jnp.arange(n, dtype=jnp.int32)
    one = others(u[:, 1], [own], n)
    two = others(u[:, 2], [own, one], n + archive.filled)
    pool = jnp.concatenate([x, archive.x])
    return x + factor[:, None] * (best - x) + factor[:, None] * (x[one] - pool[two])


def _scale_factors(u: jax.Array, middle: jax.Array) -> jax.Array:
    """Return F for every member from a Cauchy distribution around its middle, in (0, 1].

    What is above 1 becomes 1, and what is not above 0 is drawn again, which is the same as to
    draw from the part above 0 at once. u (n,) is even in (0, 1).
    """
    below = 0.5 - jnp.arctan(middle / 0.1) / jnp.pi
    drawn = middle + 0.1 * jnp.tan(jnp.pi * (below + (1 - below) * u - 0.5))
    return jnp.clip(drawn, jnp.finfo(u.dtype).eps, 1)


def _shares(u: jax.Array, middle: jax.Array) -> jax.Array:
    """Return CR for every member from a normal distribution around its middle, in [0, 1].

    u (n,) is even in (0, 1).
    """
    return jnp.clip(middle + 0.1 * jax.scipy.special.ndtri(u), 0, 1)
