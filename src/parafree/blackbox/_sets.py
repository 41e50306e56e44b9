"""Sets on which a linear function is minimised at once: what projection-free methods move in.

A set says where on it a linear function is least, and brings any point into it. It works on pytrees
of real arrays; the balls and the simplex take all leaves together as one vector.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from parafree.core.errors import MethodError


class ConvexSet(eqx.Module):
    """A convex and bounded set of parameters."""

    @abstractmethod
    def least(self, slope: Any) -> Any:
        """Return a point of the set at which the inner product with ``slope`` is least."""

    @abstractmethod
    def into(self, p: Any) -> Any:
        """Return a point of the set: ``p`` itself, up to rounding, where it is in the set."""


class L1Ball(ConvexSet):
    """All parameters whose absolute values sum to at most the radius.

    Args:
        radius: at least 0, a leaf.

    Example:
        >>> print(L1Ball(2.0).least(jnp.array([1.0, -3.0])))
        [0. 2.]
    """

    radius: Any = 1.0

    def least(self, slope: Any) -> Any:
        """Return the corner along the largest slope, with the other sign."""
        return _on_vector(self._corner, slope)

    def into(self, p: Any) -> Any:
        """Return ``p``, scaled down where its norm is above the radius."""
        return _on_vector(lambda x: _shrunk(x, jnp.sum(jnp.abs(x)), self.radius), p)

    def _corner(self, g: jax.Array) -> jax.Array:
        i = jnp.argmax(jnp.abs(g))
        corner = -jnp.asarray(self.radius, g.dtype) * jnp.sign(g[i])
        return jnp.zeros_like(g).at[i].set(corner)


class L2Ball(ConvexSet):
    """All parameters whose Euclidean norm is at most the radius.

    Args:
        radius: at least 0, a leaf.

    Example:
        >>> print(L2Ball(2.0).least(jnp.array([3.0, -4.0])))
        [-1.2  1.6]
    """

    radius: Any = 1.0

    def least(self, slope: Any) -> Any:
        """Return the point opposite to the slope."""
        return _on_vector(lambda g: -jnp.asarray(self.radius, g.dtype) * _unit(g), slope)

    def into(self, p: Any) -> Any:
        """Return ``p``, scaled down where its norm is above the radius."""
        return _on_vector(lambda x: _shrunk(x, jnp.sqrt(jnp.sum(x**2)), self.radius), p)


class Simplex(ConvexSet):
    """All parameters that are at least 0 and have this sum.

    Args:
        total: the sum, above 0, a leaf.

    Example:
        >>> print(Simplex().least(jnp.array([1.0, -3.0])))
        [0. 1.]
    """

    total: Any = 1.0

    def least(self, slope: Any) -> Any:
        """Return the corner with the least slope."""
        return _on_vector(
            lambda g: jnp.zeros_like(g).at[jnp.argmin(g)].set(jnp.asarray(self.total, g.dtype)),
            slope,
        )

    def into(self, p: Any) -> Any:
        """Return ``p`` without what is negative, scaled to the sum; the middle where none is."""
        return _on_vector(self._scaled, p)

    def _scaled(self, x: jax.Array) -> jax.Array:
        kept = jnp.maximum(x, 0)
        share = jnp.sum(kept)
        even = jnp.full_like(x, 1 / x.size)
        return jnp.asarray(self.total, x.dtype) * jnp.where(share == 0, even, kept / share)


class Box(ConvexSet):
    """All parameters between two bounds.

    Args:
        low: the smallest values, a number for all parameters or a pytree like them; leaves.
        high: the largest values, likewise.

    Example:
        >>> print(Box(-1.0, 2.0).least(jnp.array([1.0, -3.0])))
        [-1.  2.]
    """

    low: Any = -1.0
    high: Any = 1.0

    def least(self, slope: Any) -> Any:
        """Return the corner that has the lower bound where the slope is positive."""
        low, high = self._bounds(slope)
        return jax.tree.map(lambda g, a, b: jnp.where(g > 0, a, b), slope, low, high)

    def into(self, p: Any) -> Any:
        """Return ``p`` with what is outside moved to the bound."""
        return jax.tree.map(jnp.clip, p, *self._bounds(p))

    def _bounds(self, like: Any) -> tuple[Any, Any]:
        def full(numbers: Any) -> Any:
            spread = jax.tree.broadcast(numbers, like)
            return jax.tree.map(
                lambda x, n: jnp.broadcast_to(jnp.asarray(n, x.dtype), x.shape), like, spread
            )

        return full(self.low), full(self.high)


class NuclearBall(ConvexSet):
    """All matrices whose singular values sum to at most the radius.

    Args:
        radius: at least 0, a leaf.

    Raises:
        MethodError: the parameters are not one matrix.

    Example:
        >>> print(NuclearBall(2.0).least(jnp.array([[3.0, 0.0], [0.0, 1.0]])).round(4) + 0)
        [[-2.  0.]
         [ 0.  0.]]
    """

    radius: Any = 1.0

    def least(self, slope: Any) -> Any:
        """Return the matrix of rank 1 opposite to the largest singular value."""
        return _on_matrix(self._outer, slope)

    def into(self, p: Any) -> Any:
        """Return ``p``, scaled down where its norm is above the radius."""
        norm = lambda x: jnp.sum(jnp.linalg.svd(x, compute_uv=False))  # noqa: E731
        return _on_matrix(lambda x: _shrunk(x, norm(x), self.radius), p)

    def _outer(self, g: jax.Array) -> jax.Array:
        u, _, v = jnp.linalg.svd(g, full_matrices=False)
        return -jnp.asarray(self.radius, g.dtype) * u[:, :1] * v[:1]


class Product(ConvexSet):
    """Every part of the parameters in a set of its own.

    Args:
        sets: a pytree of sets, with a set where the parameters have a subtree.

    Example:
        >>> both = Product({"w": L1Ball(2.0), "b": Box(0.0, 1.0)})
        >>> print(both.least({"w": jnp.array([1.0, 0.5]), "b": jnp.array(3.0)})["w"])
        [-2.  0.]
    """

    sets: Any

    def least(self, slope: Any) -> Any:
        """Return the least point of every part."""
        return self._each(lambda each, part: each.least(part), slope)

    def into(self, p: Any) -> Any:
        """Return every part brought into its set."""
        return self._each(lambda each, part: each.into(part), p)

    def _each(self, function: Callable[[ConvexSet, Any], Any], tree: Any) -> Any:
        is_set = lambda node: isinstance(node, ConvexSet)  # noqa: E731
        return jax.tree.map(function, self.sets, tree, is_leaf=is_set)


def _on_vector(function: Callable[[jax.Array], jax.Array], tree: Any) -> Any:
    vector, unravel = ravel_pytree(tree)
    return unravel(function(vector))


def _on_matrix(function: Callable[[jax.Array], jax.Array], tree: Any) -> Any:
    leaves, structure = jax.tree.flatten(tree)
    if len(leaves) != 1 or leaves[0].ndim != 2:
        raise MethodError(
            f"the parameters have the shapes {[leaf.shape for leaf in leaves]}, not one matrix",
            where="parafree.blackbox.NuclearBall",
            fix="give one matrix, or a Product with a NuclearBall for every matrix",
        )
    return jax.tree.unflatten(structure, [function(leaves[0])])


def _shrunk(x: jax.Array, norm: jax.Array, radius: Any) -> jax.Array:
    limit = jnp.asarray(radius, x.dtype)
    return jnp.where(norm > limit, x * (limit / norm), x)


def _unit(g: jax.Array) -> jax.Array:
    top = jnp.max(jnp.abs(g))
    scaled = g / jnp.where(top > 0, top, 1)  # so that no square vanishes
    size = jnp.sqrt(jnp.sum(scaled**2))
    return scaled / jnp.where(size > 0, size, 1)
