"""Where a search takes place: coordinates, units, bounds, and the way back to candidates.

Every method of the room works on vectors x in R^d whose origin is the start and whose unit is the
distance at which the optimum is looked for. A frame turns such vectors into candidates: points of
a :class:`parafree.Space`, or pytrees like the start.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from parafree.blackbox._threefry import unit
from parafree.core.errors import MethodError
from parafree.core.space import Space

_BLOCK = 128  # random numbers, of which as many blocks are drawn as are needed
_SHARE = 0.25  # of the distance between two bounds, which is one unit of a coordinate


class Region(eqx.Module):
    """Parameters to start at, how far to look, and the bounds that they must keep.

    Every argument but the first is a number for all parameters, or a pytree like ``start``.

    Args:
        start: real floating-point parameters.
        scale: how far from the start the optimum may lie, in the parameters' units; above 0. By
            default a quarter of the distance between two bounds, and 1 where there are none.
        low: the smallest values allowed; -inf for none.
        high: the largest values allowed; inf for none.

    Raises:
        MethodError: a lower bound is above its upper bound.

    Example:
        >>> from parafree import blackbox, run
        >>> region = Region(jnp.array([1.0, 1.0]), low=0.5)
        >>> result = run(blackbox.CMAES(), lambda p: jnp.sum(p**2), region, jax.random.key(0),
        ...              steps=150)
        >>> print(result.p.round(3))
        [0.5 0.5]
    """

    start: Any
    scale: Any = None
    low: Any = -np.inf
    high: Any = np.inf

    def __check_init__(self) -> None:
        bounds = jax.tree.leaves((self.low, self.high))
        if any(isinstance(leaf, jax.core.Tracer) for leaf in bounds):
            return
        low = _spread_over(self.low, self.start)
        high = _spread_over(self.high, self.start)
        if any(np.any(np.asarray(a) > np.asarray(b)) for a, b in zip(low, high, strict=True)):
            raise MethodError(
                "a lower bound is above its upper bound",
                where="parafree.blackbox.Region",
                fix="swap low and high",
            )


class Layout(NamedTuple):
    """How a vector becomes a pytree; hashable, known when a program is compiled."""

    tree: Any  # the structure
    shapes: tuple[tuple[int, ...], ...]  # of the leaves
    dtypes: tuple[Any, ...]  # of the leaves

    def decode(self, vectors: jax.Array) -> Any:
        """Turn vectors (n, d) into a pytree with a leading axis of n on every leaf."""
        leaves, begin = [], 0
        for shape, dtype in zip(self.shapes, self.dtypes, strict=True):
            size = int(np.prod(shape))
            part = vectors[:, begin : begin + size]
            leaves.append(part.reshape(vectors.shape[0], *shape).astype(dtype))
            begin += size
        return jax.tree.unflatten(self.tree, leaves)


class Frame(eqx.Module):
    """Coordinates of a search, d of them; the fields are in the parameters' own units."""

    origin: jax.Array  # (d,), where x = 0
    scale: jax.Array  # (d,), the length of one unit of x
    low: jax.Array  # (d,), the bounds; infinite where there are none
    high: jax.Array  # (d,)
    form: Any = eqx.field(static=True)  # a Space or a Layout, which knows how to decode
    clips: bool = eqx.field(default=False, static=True)  # candidates, which are mirrored otherwise

    @property
    def dimension(self) -> int:
        """The number of coordinates."""
        return self.origin.shape[0]

    @property
    def dtype(self) -> Any:
        """The dtype of coordinates: float32 or wider."""
        return self.origin.dtype

    def points(self, x: jax.Array) -> Any:
        """Return the candidates at x (n, d), mirrored into the bounds or moved onto them."""
        within = jnp.clip if self.clips else _mirror
        return self.form.decode(within(self.origin + self.scale * x, self.low, self.high))

    def point(self, x: jax.Array) -> Any:
        """Return the candidate at x (d,)."""
        return jax.tree.map(lambda leaf: leaf[0], self.points(x[None]))

    @property
    def bounds(self) -> tuple[jax.Array, jax.Array]:
        """The bounds (d,) as coordinates."""
        low, high = ((bound - self.origin) / self._divisor for bound in (self.low, self.high))
        return low, high

    def inside(self, x: jax.Array) -> jax.Array:
        """Return x (..., d) mirrored into the bounds; exactly x where it keeps them."""
        v = self.origin + self.scale * x
        moved = (_mirror(v, self.low, self.high) - self.origin) / self._divisor
        return jnp.where((v < self.low) | (v > self.high), moved, x)

    def clipped(self, x: jax.Array) -> jax.Array:
        """Return x (..., d) moved to the nearest point that keeps the bounds."""
        v = self.origin + self.scale * x
        moved = (jnp.clip(v, self.low, self.high) - self.origin) / self._divisor
        return jnp.where((v < self.low) | (v > self.high), moved, x)

    def feasible(self, x: jax.Array) -> jax.Array | None:
        """Say which of x (n, d) keep the space's constraints; None where there are none."""
        if not (isinstance(self.form, Space) and self.form.constraints):
            return None
        return self.form.feasible(self.points(x))

    def scatter(self, u: jax.Array, spread: Any = 1.0) -> jax.Array:
        """Turn numbers u (..., d) that are even in (0, 1) into places to begin at.

        They are even between two bounds, and normal with this deviation elsewhere.
        """
        v = self.low + u * (self.high - self.low)
        bounded = jnp.isfinite(self.low) & jnp.isfinite(self.high)
        # In a branch, because a normal number takes ten times as long as an even one.
        z = jax.lax.cond(jnp.all(bounded), jnp.zeros_like, jax.scipy.special.ndtri, u)
        away = self.inside(jnp.asarray(spread, self.dtype) * z)
        return jnp.where(bounded, (v - self.origin) / self._divisor, away)

    @property
    def _divisor(self) -> jax.Array:
        # Bounds that touch leave a coordinate no room, and its unit is 0.
        return jnp.where(self.scale > 0, self.scale, jnp.ones_like(self.scale))


def frame(p: Any) -> Frame:
    """Return the frame of a search around ``p``: a space, a region, or a pytree.

    Raises:
        MethodError: there is nothing to search, or a leaf is no floating-point array.

    Example:
        >>> f = frame({"a": jnp.ones(2, jnp.bfloat16), "b": jnp.float32(3)})
        >>> print(f.dimension, f.point(jnp.array([1.0, 2.0, 0.5])))
        3 {'a': Array([2, 3], dtype=bfloat16), 'b': Array(3.5, dtype=float32)}
    """
    if isinstance(p, Space):
        return _of_space(p)
    return _of_region(p if isinstance(p, Region) else Region(p))


def _of_space(space: Space) -> Frame:
    if not space.dimension:
        raise _nothing()
    ones = jnp.ones(space.dimension, jnp.result_type(float))
    return Frame(ones / 2, ones * _SHARE, 0 * ones, ones, space)


def _of_region(region: Region) -> Frame:
    leaves, tree = jax.tree.flatten(region.start)
    for path, leaf in jax.tree.leaves_with_path(region.start):
        if not jnp.issubdtype(jnp.result_type(leaf), jnp.floating):
            raise MethodError(
                f"a leaf of type {jnp.result_type(leaf)} cannot move by small steps",
                where=f"p{jax.tree_util.keystr(path)}",
                fix="give real floating-point parameters, or a Space with Int, Choice or Bool",
            )
    if not sum(np.size(leaf) for leaf in leaves):
        raise _nothing()
    dtypes = tuple(jnp.dtype(jnp.result_type(leaf)) for leaf in leaves)
    wide = jnp.dtype(jnp.float64 if jnp.dtype(jnp.float64) in dtypes else jnp.float32)
    row = lambda parts: jnp.concatenate([jnp.ravel(x).astype(wide) for x in parts])  # noqa: E731
    origin = row([jnp.asarray(leaf, dtype) for leaf, dtype in zip(leaves, dtypes, strict=True)])
    low, high = (row(_spread_over(x, region.start, wide)) for x in (region.low, region.high))
    width = high - low
    scale = jnp.where(jnp.isfinite(width), _SHARE * width, jnp.ones_like(width))
    if region.scale is not None:
        scale = row(_spread_over(region.scale, region.start, wide))
    layout = Layout(tree, tuple(np.shape(leaf) for leaf in leaves), dtypes)
    return Frame(origin, scale, low, high, layout)


def even(key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
    """Draw numbers in (0, 1), of which neither end is one.

    A method draws all that it needs at once, because a random generator takes long to compile.
    """
    # Stretched outside of the branch: within it XLA adds the two constants first, which loses one.
    return _stretched(_once(key, shape, dtype, lambda u: u), jnp.finfo(dtype).eps / 4)


def normal(key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
    """Draw standard normal numbers, the same as JAX does."""
    low = np.nextafter(np.array(-1, dtype), np.array(0, dtype))
    root = np.array(math.sqrt(2), dtype)
    return _once(key, shape, dtype, lambda u: jax.lax.erf_inv(_stretched(u, low)) * root)


def _once(
    key: jax.Array, shape: tuple[int, ...], dtype: Any, turned: Callable[[jax.Array], jax.Array]
) -> jax.Array:
    """Draw numbers that are even in [0, 1), turned into others, by a program of its own.

    On a processor XLA fuses the generator into whatever reads the numbers, and so compiles and runs
    it once for each reader. It does not look into a branch, even if that is always taken. There the
    numbers are one row of whole blocks: rows and columns are unrolled, which takes longer to
    compile, and short rows five times as long to draw.
    """
    always = jax.random.key_data(key).ravel()[0] % 2 < 2
    count = math.prod(shape)
    blocks = -(-count // _BLOCK) * _BLOCK
    row = jax.lax.cond(
        always,
        lambda k: turned(unit(k, blocks, dtype))[:count],
        lambda _: jnp.zeros(count, dtype),
        key,
    )
    return row.reshape(shape)


def _stretched(u: jax.Array, low: Any) -> jax.Array:
    """Return numbers in [0, 1) as numbers between ``low`` and 1."""
    return jnp.maximum(u * (1 - low) + low, low)


def _spread_over(numbers: Any, start: Any, dtype: Any = None) -> list[Any]:
    """Return a leaf of ``numbers``, which may be fewer, for every leaf of ``start``."""
    broadcast = jnp.broadcast_to if dtype is not None else np.broadcast_to
    full = jax.tree.broadcast(numbers, start)
    convert = (lambda x: jnp.asarray(x, dtype)) if dtype is not None else np.asarray
    return [
        broadcast(convert(x), np.shape(leaf))
        for x, leaf in zip(jax.tree.leaves(full), jax.tree.leaves(start), strict=True)
    ]


def _mirror(v: jax.Array, low: jax.Array, high: jax.Array) -> jax.Array:
    """Reflect v at the bounds as often as it takes; between them it stays what it is."""
    has_low, has_high = jnp.isfinite(low), jnp.isfinite(high)
    bottom, top = jnp.where(has_low, low, 0), jnp.where(has_high, high, 0)
    width = jnp.where(has_low & has_high, top - bottom, 0)
    period = jnp.where(width > 0, 2 * width, 1)
    way = v - bottom
    way = way - period * jnp.floor(way / period)  # jnp.mod takes one number at a time
    both = bottom + jnp.minimum(way, 2 * width - way)
    one = jnp.where(has_low, bottom + jnp.abs(v - bottom), top - jnp.abs(top - v))
    mirrored = jnp.where(has_low & has_high, both, one)
    return jnp.where((v < low) | (v > high), jnp.clip(mirrored, low, high), v)


def _nothing() -> MethodError:
    return MethodError(
        "there is nothing to search: the point has no coordinates",
        where="parafree.blackbox",
        fix="give a space in which something varies, or a pytree with at least one number",
    )
