"""TPE: estimate where good points lie and where the others do, and ask where their ratio is large.

James Bergstra, Remi Bardenet, Yoshua Bengio, Balazs Kegl, "Algorithms for Hyper-Parameter
Optimization", NeurIPS 2011.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from parafree.blackbox._frame import Frame, even
from parafree.blackbox._modelled import Modelled, Record
from parafree.blackbox._ranking import ranks
from parafree.core.card import Card


class TPEState(NamedTuple):
    """Where TPE stands: all it knows is its record."""

    record: Record


class Parzen(NamedTuple):
    """A density on (0, 1) for each of d coordinates: equal parts of bells, and one even part."""

    centres: jax.Array  # (m, d)
    widths: jax.Array  # (m, d)
    kept: jax.Array  # (m,), bool: which bells there are

    def log_density(self, u: jax.Array) -> jax.Array:
        """Return the logarithm of the density (n, d) at u (n, d)."""
        z = (u[:, None] - self.centres) / self.widths  # (n, m, d)
        bell = jnp.exp(-(z**2) / 2) / (self.widths * jnp.sqrt(2 * jnp.pi).astype(u.dtype))
        inside = jax.scipy.special.ndtr((1 - self.centres) / self.widths)
        inside = inside - jax.scipy.special.ndtr(-self.centres / self.widths)
        bells = jnp.sum(jnp.where(self.kept[:, None], bell / inside, 0), axis=1)
        return jnp.log1p(bells) - jnp.log1p(jnp.sum(self.kept).astype(u.dtype))

    def draw(self, u: jax.Array) -> jax.Array:
        """Turn pairs (n, d, 2) that are even in (0, 1) into draws (n, d)."""
        n = jnp.sum(self.kept).astype(u.dtype)
        place = jnp.cumsum(self.kept) - 1  # the number of each bell
        bell = jnp.floor(u[..., 0] * (n + 1)).astype(place.dtype)
        row = jnp.clip(jnp.searchsorted(place, bell.ravel()), 0, place.size - 1).reshape(bell.shape)
        column = jnp.arange(u.shape[1])
        centre, width = self.centres[row, column], self.widths[row, column]
        low, high = (jax.scipy.special.ndtr((end - centre) / width) for end in (0, 1))
        x = centre + width * jax.scipy.special.ndtri(low + u[..., 1] * (high - low))
        x = jnp.where(bell < n.astype(bell.dtype), x, u[..., 1])
        return jnp.clip(x, 0, 1)


class TPE(Modelled):
    """Minimise by drawing from the density of good points where that of others is small.

    It thinks fast, knows nothing of how coordinates go together, and takes any kind of them.

    Args:
        population: points in a batch; static.
        repeats: evaluations of each point, whose mean counts; static.
        points: how many are remembered; static. Then the oldest makes room, but never the best.
        first: random points before the model is asked; static. ``None`` takes 20.
        spread: of the first points where there are no bounds, in units of the scale; a leaf,
            above 0. Between two bounds they are spread evenly.
        limits: when the search ends by itself.
        good: gamma, the share of points that are good; a leaf in (0, 1).
        draws: of which the one with the largest ratio is taken, for each coordinate; static.

    Returns:
        An ask-and-tell method. ``info`` is the room's record; its status says how the search ended.

    Raises:
        MethodError: a number is no whole number of at least 1, or a batch leaves no room.

    Cost:
        A point takes O(draws m d) operations for m points remembered.

    Source:
        Bergstra et al. 2011, section 4: the adaptive Parzen estimator with widths from neighbours,
        the ends counting as such; gamma = 0.15. The coordinates are chosen independently, 24 draws
        each, as in the authors' hyperopt.

    Differs:
        Widths are at least 1 / min(100, n + 1) of the range for n points, as in hyperopt. Where
        there are no bounds the range is that of the first points' distribution function. Choices
        count as numbers, in the order in which they were written.

    Example:
        >>> from parafree import Choice, Real, Space, run
        >>> space = Space(x=Real(1e-4, 1.0, log=True), kind=Choice(["a", "b", "c"]))
        >>> loss = lambda p: (jnp.log10(p["x"]) + 2) ** 2 + (p["kind"] != 1)
        >>> result = run(TPE(), loss, space, jax.random.key(0), steps=80)
        >>> bool(result.value < 0.01)
        True
    """

    good: Any = 0.15
    draws: int = eqx.field(default=24, static=True)

    def few(self, dimension: int) -> int:
        """Return how many random points come first."""
        return self.first or min(20, self.points)

    def begin(self, key: jax.Array, record: Record) -> TPEState:
        """Return the state in which nothing was learned yet."""
        return TPEState(record)

    def learn(self, key: jax.Array, state: TPEState) -> TPEState:
        """Return the state as it is: the densities follow from the record."""
        return state

    def propose(self, key: jax.Array, state: TPEState) -> jax.Array:
        """Return draws from the good points' density with the largest ratio to the others'."""
        record, (q, d) = state.record, state.record.asked.shape
        better, worse = densities(record, self.good, self.spread)
        u = better.draw(even(key, (q * self.draws, d, 2), record.frame.dtype))
        ratio = better.log_density(u) - worse.log_density(u)
        choice = jnp.argmax(ratio.reshape(q, self.draws, d), axis=1)[:, None]
        u = jnp.take_along_axis(u.reshape(q, self.draws, d), choice, axis=1)[:, 0]
        open_end = jnp.finfo(u.dtype).eps
        bounded = jnp.isfinite(record.frame.low) & jnp.isfinite(record.frame.high)
        u = jnp.where(bounded, u, jnp.clip(u, open_end, 1 - open_end))
        return record.frame.scatter(u, self.spread)


def densities(record: Record, good: Any, spread: Any) -> tuple[Parzen, Parzen]:
    """Return the density of the good points and that of the others."""
    u, dtype = _even_places(record.frame, record.x, spread), record.frame.dtype
    n = jnp.sum(record.known).astype(dtype)
    count = jnp.ceil(jnp.asarray(good, dtype) * n)
    rank = ranks(jnp.where(record.known, record.heights(), jnp.inf)).astype(dtype)
    return parzen(u, record.known & (rank < count)), parzen(u, record.known & (rank >= count))


def parzen(u: jax.Array, kept: jax.Array) -> Parzen:
    """Return the density whose bells are at u (m, d), where they are kept.

    A bell is as wide as the farther of its two neighbours, or ends, is away.
    """
    dtype = u.dtype
    away = jnp.where(kept[:, None], u, 2)  # behind the end
    order = jnp.argsort(away, axis=0, stable=True)
    ordered = jnp.take_along_axis(away, order, axis=0)
    ends = jnp.zeros((1, u.shape[1]), dtype), jnp.ones((1, u.shape[1]), dtype)
    below = jnp.concatenate([ends[0], ordered[:-1]])
    above = jnp.minimum(jnp.concatenate([ordered[1:], ends[1]]), 1)
    wide = jnp.maximum(ordered - below, above - ordered)
    place = jnp.argsort(order, axis=0, stable=True)
    widths = jnp.take_along_axis(wide, place, axis=0)
    n = jnp.sum(kept).astype(dtype)
    return Parzen(u, jnp.clip(widths, 1 / jnp.minimum(100, n + 1), 1), kept)


def _even_places(frame: Frame, x: jax.Array, spread: Any) -> jax.Array:
    """Return where in (0, 1) points lie; the inverse of the frame's ``scatter``."""
    bounded = jnp.isfinite(frame.low) & jnp.isfinite(frame.high)
    width = jnp.where(bounded & (frame.high > frame.low), frame.high - frame.low, 1)
    low = jnp.where(bounded, frame.low, 0)
    within = (frame.origin + frame.scale * x - low) / width
    normal = jax.scipy.special.ndtr(x / jnp.asarray(spread, frame.dtype))
    return jnp.clip(jnp.where(bounded, within, normal), 0, 1)


card = Card(
    method=TPE,
    contract="asktell",
    paper="Bergstra, Bardenet, Bengio, Kegl 2011, NeurIPS 24",
    reference="Parzen's estimator in slow NumPy; draws against its distribution function",
    needs={"values"},
    free_of={"gradient", "learning rate", "step size", "population size"},
)
