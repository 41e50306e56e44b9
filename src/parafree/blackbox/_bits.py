"""Bit strings as points of a search: every coordinate is written in a few bits, in Gray's code.

Yes or no takes one bit, a choice or a whole number as many as it has values for, anything else
``_REAL`` bits. In Gray's code neighbouring values differ in one bit, so a function with one valley
along a coordinate has no trap there.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from parafree.blackbox._frame import Frame
from parafree.core.space import Space

_REAL = 16  # bits of a coordinate that is no whole number


class Code(NamedTuple):
    """How many bits each coordinate of a frame has; known when a program is compiled."""

    widths: tuple[int, ...]
    whole: tuple[bool, ...]  # whether a coordinate takes whole values, each a cell of (0, 1)

    @property
    def length(self) -> int:
        """The number of bits of a point."""
        return sum(self.widths)

    def points(self, frame: Frame, bits: jax.Array, spread: Any) -> jax.Array:
        """Return the coordinates (n, d) that bits (n, length) stand for.

        They are even between two bounds, both of which can be reached, and normal with the
        deviation ``spread`` elsewhere.
        """
        return frame.scatter(self._parts(bits, frame), spread)

    def _parts(self, bits: jax.Array, frame: Frame) -> jax.Array:
        """Return where in [0, 1] each coordinate stands; (n, d)."""
        widths = np.array(self.widths)
        column = np.arange(widths.max())
        used = column < widths[:, None]  # (d, widest)
        places = (np.cumsum(widths) - widths)[:, None] + column
        gray = bits[:, np.where(used, places, 0)] & used
        plain = jnp.cumsum(gray, axis=-1, dtype=jnp.int32) % 2  # the exclusive or of all before
        weights = np.where(used, 2.0 ** (widths[:, None] - 1 - column), 0.0)
        number = jnp.sum(plain.astype(frame.dtype) * jnp.asarray(weights, frame.dtype), axis=-1)
        count = jnp.asarray(2.0**widths, frame.dtype)
        bounded = jnp.isfinite(frame.low) & jnp.isfinite(frame.high)
        from_end_to_end = bounded & ~np.array(self.whole)
        return jnp.where(from_end_to_end, number / (count - 1), (number + 0.5) / count)


def code(frame: Frame) -> Code:
    """Return the code of a frame's coordinates.

    Example:
        >>> from parafree import Bool, Int, Real, Space
        >>> from parafree.blackbox._frame import frame
        >>> code(frame(Space(a=Bool(), b=Int(1, 5), c=Real(0.0, 1.0)))).widths
        (1, 3, 16)
    """
    if not isinstance(frame.form, Space):
        return Code((_REAL,) * frame.dimension, (False,) * frame.dimension)
    counts = [getattr(each, "cardinality", None) for each in frame.form.parameters.values()]
    widths = tuple(_REAL if n is None else max(1, math.ceil(math.log2(n))) for n in counts)
    return Code(widths, tuple(n is not None for n in counts))
