"""What a model sees of a point: the options of a choice have an axis each.

Options have no order, so a choice of more than two of them is no coordinate. Any two of its options
are as far apart as the two of a choice of two, which stays one coordinate; so do the choices with
the most options where all together would make the model too large.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from parafree.blackbox._frame import Frame
from parafree.blackbox._kinds import kinds_of
from parafree.blackbox._quadratic import Quadratic

_APART = math.sqrt(2.0)  # length of an option's axis: two of them are 2 apart, as -1 and 1 are
_ROOM = 200  # features at most, where choices with fewer options come first


class Features(NamedTuple):
    """Which columns of a point (d,) are which of its features (w,); known when compiled."""

    numbers: tuple[int, ...]  # columns that are coordinates of the model as well
    choices: tuple[int, ...]  # columns of choices with more than two options
    counts: tuple[int, ...]  # of their options

    @property
    def width(self) -> int:
        """The number w of features."""
        return len(self.numbers) + sum(self.counts)

    def of(self, x: jax.Array) -> jax.Array:
        """Return the features (n, w) of points (n, d)."""
        if not self.choices:
            return x
        counts = jnp.asarray(np.array(self.counts, float), x.dtype)
        option = jnp.clip(jnp.floor((x[:, np.array(self.choices)] + 2) / 4 * counts), 0, counts - 1)
        most = np.arange(max(self.counts))
        known = np.flatnonzero(most < np.array(self.counts)[:, None])
        axes = _APART * (option[:, :, None] == most).astype(x.dtype)
        axes = axes.reshape(len(x), -1)[:, known]
        return jnp.concatenate([x[:, np.array(self.numbers, int)], axes], axis=1)

    def inverse(self, inverse: jax.Array) -> jax.Array:
        """Return the inverse (w, w) of the axes in which the model is round, from (d, d)."""
        if not self.choices:
            return inverse
        numbers, own = np.array(self.numbers, int), np.arange(len(self.numbers))
        eye = jnp.eye(self.width, dtype=inverse.dtype)
        return eye.at[np.ix_(own, own)].set(inverse[np.ix_(numbers, numbers)])

    def settled(self, model: Quadratic, x: jax.Array, value: int) -> jax.Array:
        """Return the point x (d,), each choice in turn at its best option for figure ``value``."""
        one, counts = model.figure(value), np.array(self.counts)[:, None]
        place = np.minimum(np.arange(counts.max()), counts - 1)  # behind the last, the last again
        columns, middles = jnp.asarray(self.choices), jnp.asarray(4 * (place + 0.5) / counts - 2)

        def turn(i: jax.Array, x: jax.Array) -> jax.Array:
            here = jnp.arange(len(x)) == columns[i]
            tried = jnp.where(here, middles[i][:, None].astype(x.dtype), x)
            return tried[jnp.argmin(one.guess(self.of(tried)))]

        return jax.lax.fori_loop(0, len(self.choices), turn, x)

    def among_numbers(self, model: Quadratic, x: jax.Array) -> Quadratic:
        """Return the model of points (d,) whose options are those of x (d,)."""
        if not self.choices:
            return model
        q = model.inverse @ (self.of(x[None])[0] - model.centre)
        turned = model.curvature @ q
        columns = jnp.zeros((self.width, len(x)), x.dtype)
        numbers = np.array(self.numbers, int)
        return model._replace(
            centre=x,
            inverse=columns.at[:, numbers].set(model.inverse[:, : len(numbers)]),
            constant=model.constant + (model.slope + turned / 2) @ q,
            slope=model.slope + turned,
        )


def features_of(where: Frame) -> Features:
    """Return the features of points in a frame."""
    kinds = kinds_of(where.form, where.dimension)
    wide, width = [], where.dimension
    for count, i in sorted(zip(kinds.counts, kinds.options, strict=True)):
        if count > 2 and width + count - 1 <= _ROOM:
            width += count - 1
            wide.append((i, count))
    choices, counts = zip(*sorted(wide), strict=True) if wide else ((), ())
    numbers = tuple(i for i in range(where.dimension) if i not in choices)
    return Features(numbers, choices, counts)
