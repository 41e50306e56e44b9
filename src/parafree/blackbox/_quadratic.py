"""A quadratic model of figures at points that were evaluated, and where it is lowest.

It is a ridge regression with a quadratic kernel, in coordinates in which the distribution of the
search is round: with fewer points than a quadratic has coefficients it takes one that is about as
round as the points allow, or where that means nothing the one that curves least; with more the one
that fits best. Lower points count more, as in Nikolaus Hansen, "A Global Surrogate Assisted
CMA-ES", GECCO 2019.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from parafree.blackbox._frame import Frame
from parafree.blackbox._ranking import ranks

_RIDGE = 1e-9  # of a point's own kernel but for its even part, or what the dtype resolves
_HEAVIEST = 20.0  # weight of the lowest point beside that of the highest
_HALVINGS = 60
_ROUNDS = 4  # in which coordinates are found to be at their bounds
_STRAY = 5.0  # times as far from the median as half of the values are
_FEW = 32  # points of which it costs next to nothing to say what the others say of them


class Prior(NamedTuple):
    """How much a model may have of each part before that costs as much as a curvature of its own.

    They are the weights of the parts of the kernel, of which that of (a b)^2 is 1.
    """

    constant: float
    slope: float  # of a b
    even: float  # of |a|^2 |b|^2: the same curvature in all directions


def prior_of(dimension: int, dtype: Any, *, learned: bool) -> Prior:
    """Return the prior of a model, by whether all of its axes were learned by the search.

    Those in which its distribution is round are about those in which the function curves evenly.
    Of options that is not true, nor of whole numbers, whose deviations are kept from falling.
    """
    if not learned:
        return Prior(constant=1000.0, slope=10.0, even=0.0)
    # In single precision more of it would take with it what else a model says: the ridge grows.
    even = min(100.0, 1e-6 / float(jnp.finfo(dtype).eps))
    return Prior(constant=1000.0, slope=20.0 * dimension, even=even)


class Quadratic(NamedTuple):
    """What values are expected at x; d coordinates.

    Of several figures all but the first two fields have an axis for them in front.
    """

    centre: jax.Array  # (d,), the lowest point known
    inverse: jax.Array  # (d, d), q = inverse (x - centre) are the coordinates of the model
    constant: jax.Array  # ()
    slope: jax.Array  # (d,)
    curvature: jax.Array  # (d, d)
    offset: jax.Array  # (), the lowest value, where the model is 0
    unit: jax.Array  # (), and how far above it half of the values are

    def guess(self, x: jax.Array) -> jax.Array:
        """Return the model (n,) at x (n, d), in its unit above its offset."""
        q = (x - self.centre) @ self.inverse.T
        return self.constant + q @ self.slope + jnp.sum((q @ self.curvature) * q, axis=1) / 2

    def figure(self, i: int) -> Quadratic:
        """Return the model of one of several figures."""
        return Quadratic(self.centre, self.inverse, *(part[i] for part in self[2:]))

    def expected(self, x: jax.Array) -> jax.Array:
        """Return what is expected (n, c) of several figures at x (n, d), in their own units."""
        one = Quadratic(None, None, 0, 0, 0, 0, 0)  # type: ignore[arg-type]
        above = jax.vmap(Quadratic.guess, (one, None), 1)(self, x)
        return self.offset + self.unit * above

    def lowest(self, mean: jax.Array, axes: jax.Array, radius: Any) -> jax.Array:
        """Return the point mean + axes z at which the model is lowest, |z| <= radius.

        On the border it is where curvature + l I is positive and |z| = radius, for some l >= 0.
        """
        turn = self.inverse @ axes
        slope = turn.T @ (self.slope + self.curvature @ (self.inverse @ (mean - self.centre)))
        values, vectors = jnp.linalg.eigh(turn.T @ self.curvature @ turn)
        along = vectors.T @ slope
        tiny = jnp.finfo(values.dtype).eps * jnp.max(jnp.abs(values)) + jnp.finfo(values.dtype).tiny
        least = jnp.maximum(-values[0], 0) + tiny

        def halve(_: Any, ends: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
            low, high = ends
            middle = (low + high) / 2
            far = jnp.sum((along / (values + middle)) ** 2) > radius**2
            return jnp.where(far, middle, low), jnp.where(far, high, middle)

        most = least + jnp.sqrt(jnp.sum(along**2)) / radius
        _, shift = jax.lax.fori_loop(0, _HALVINGS, halve, (least, most))
        return mean - axes @ (vectors @ (along / (values + shift)))


def aim(model: Quadratic, where: Frame, mean: jax.Array, axes: jax.Array, radius: Any) -> jax.Array:
    """Return about where the model is lowest within the bounds, no further away than the radius.

    Coordinates that a step takes beyond a bound stay there, and the others are found again.
    """
    covariance, eye = axes @ axes.T, jnp.eye(len(mean), dtype=mean.dtype)
    everywhere = jnp.ones(len(mean), bool)

    def goes_on(carry: tuple) -> jax.Array:
        turn, _, _, before, free = carry
        return (turn == 0) | ((turn <= _ROUNDS) & jnp.any(before != free))

    def again(carry: tuple) -> tuple:
        turn, first, x, _, free = carry
        root = jnp.linalg.cholesky(jnp.where(free[:, None] & free, covariance, eye))
        root = jnp.where(turn == 0, axes, jnp.where(free[:, None], root, 0))
        moved = model.lowest(jnp.where(free, mean, x), root, radius)
        kept = where.clipped(moved)
        return turn + 1, jnp.where(turn == 0, kept, first), kept, free, free & (kept == moved)

    # The first step goes through the same loop, so that it is compiled once.
    start = (jnp.int32(0), mean, mean, everywhere, everywhere)
    _, first, found, _, _ = jax.lax.while_loop(goes_on, again, start)
    return jnp.where(jnp.isfinite(found).all(), found, first)


def flat(dimension: int, figures: int, dtype: Any) -> Quadratic:
    """Return a model that knows nothing."""
    row, rows = jnp.zeros(dimension, dtype), jnp.zeros((figures, dimension), dtype)
    square = jnp.zeros((dimension, dimension), dtype)
    squares, zeros = jnp.zeros((figures, dimension, dimension), dtype), jnp.zeros(figures, dtype)
    return Quadratic(row, square, zeros, rows, squares, zeros, zeros + 1)


def fit(
    x: jax.Array,
    figures: jax.Array,
    values: jax.Array,
    inverse: jax.Array,
    prior: Prior,
    judged: Any = None,
) -> tuple[Quadratic, jax.Array]:
    """Return the model of points, and what (n, c) it expects of each when fitted to the others.

    Args:
        x: (n, d), points; at least one counts.
        figures: (n, c), what is modelled.
        values: (n,), the lower the more a point counts; +inf where it does not.
        inverse: (d, d), of the axes of the search, columns that are one deviation long.
        prior: what models are likely.
        judged: of how many, the first ones, it has to say so; all by default. May be traced.
    """
    known = jnp.isfinite(values)
    count = jnp.sum(known, dtype=jnp.int32)
    rank = ranks(values)
    share = rank.astype(values.dtype) / jnp.maximum(count - 1, 1).astype(values.dtype)
    weights = _HEAVIEST + (1 - _HEAVIEST) * jnp.minimum(share, 1)
    i = jnp.argmin(values)
    offset = jnp.where(known[i], figures[i], 0)
    above = jnp.where(known[:, None], figures - offset, 0)
    unit = jnp.max(jnp.where((rank == count // 2)[:, None], jnp.abs(above), 0), axis=0)
    unit = jnp.where(unit > 0, unit, jnp.max(jnp.abs(above), axis=0))
    unit = jnp.where(unit > 0, unit, jnp.ones_like(unit))
    y = above / unit

    centre = x[i]
    q = jnp.where(known[:, None], (x - centre) @ inverse.T, 0)
    judged = len(y) if judged is None else judged
    dual, left_out = _regressed(q, y, known, weights, prior, judged)
    curvature = 2 * jax.vmap(lambda each: (q.T * each) @ q, in_axes=1)(dual)
    if prior.even:
        even = 2 * prior.even * dual.T @ jnp.sum(q**2, axis=1)
        curvature += even[:, None, None] * jnp.eye(x.shape[1], dtype=q.dtype)
    constant, slope = prior.constant * jnp.sum(dual, axis=0), prior.slope * dual.T @ q
    model = Quadratic(centre, inverse, constant, slope, curvature, offset, unit)
    return model, offset + unit * left_out


def _regressed(
    q: jax.Array, y: jax.Array, known: jax.Array, weights: jax.Array, prior: Prior, judged: Any
) -> tuple[jax.Array, jax.Array]:
    """Return the weights of the points' kernels (n, c), and what is said of each by the others."""
    inner = q @ q.T
    kernel = prior.constant + prior.slope * inner + inner**2
    ridge = _RIDGE * jnp.diagonal(kernel)
    if prior.even:
        length = jnp.diagonal(inner)
        kernel += prior.even * length[:, None] * length
    resolved = 100 * float(jnp.finfo(y.dtype).eps) * jnp.diagonal(kernel)
    own = jnp.maximum(ridge, resolved) / weights
    kernel = jnp.where(known[:, None] & known, kernel, 0)
    # The last comes first, so that those that are judged stand in the factor's last corner.
    whole = (kernel + jnp.diag(jnp.where(known, own, 1)))[::-1, ::-1]
    root = jnp.linalg.cholesky(whole)
    part = jax.lax.linalg.triangular_solve(root, y[::-1], lower=True, left_side=True)
    dual = jax.lax.linalg.triangular_solve(
        root, part, lower=True, left_side=True, transpose_a=True
    )[::-1]
    n, few = len(y), min(_FEW, len(y))
    if few < n:
        own = jax.lax.cond(
            jnp.asarray(judged) <= few,
            lambda r: jnp.ones(n, y.dtype).at[:few].set(_precisions(r[-few:, -few:])),
            _precisions,
            root,
        )
    else:
        own = _precisions(root)
    return dual, y - dual / own[:, None]


def _precisions(root: jax.Array) -> jax.Array:
    """Return the diagonal of the inverse of root root^T, from its last entry to its first."""
    eye = jnp.eye(root.shape[0], dtype=root.dtype)
    inverse = jax.lax.linalg.triangular_solve(root, eye, lower=True, left_side=True)
    return jnp.sum(inverse**2, axis=0)[::-1]


def without_strays(values: jax.Array) -> jax.Array:
    """Return values of which those far from most are +inf, as if they were not known.

    Rare, huge noise says nothing of where a function is low, and a quadratic bends to meet it.

    Example:
        >>> print(without_strays(jnp.array([1.0, 2.0, 3.0, 4.0, 900.0, -700.0, jnp.inf])))
        [ 1.  2.  3.  4. inf inf inf]
    """
    away = jnp.abs(values - _median(values))
    usual = _median(away)
    return jnp.where((usual > 0) & (away > _STRAY * usual), jnp.inf, values)


def _median(values: jax.Array) -> jax.Array:
    """Return the median of the finite values; of two in the middle, the larger one."""
    middle = jnp.sum(jnp.isfinite(values), dtype=jnp.int32) // 2
    return jnp.min(jnp.where(ranks(values) == middle, values, jnp.inf))


def agreement(a: jax.Array, b: jax.Array, counted: jax.Array) -> jax.Array:
    """Return Kendall's rank correlation of those that count; -1 where they are fewer than three.

    Example:
        >>> a, b = jnp.array([1.0, 2.0, 3.0, 9.0]), jnp.array([1.0, 3.0, 2.0, 0.0])
        >>> print(agreement(a, b, jnp.array([True, True, True, False])).round(3))
        0.333
    """
    pair = counted[:, None] & counted
    signs = jnp.sign(a[:, None] - a) * jnp.sign(b[:, None] - b)
    total = jnp.sum(jnp.where(pair, signs, 0))
    count = jnp.sum(counted).astype(a.dtype)
    return jnp.where(count > 2, total / jnp.maximum(count * (count - 1), 1), -jnp.ones_like(total))
