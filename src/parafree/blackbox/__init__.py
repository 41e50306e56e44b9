"""Methods that find parameters when only values can be asked.

How the room is built:

- **Coordinates.** Every method works on vectors x in R^d; the origin is the start, and one unit the
  distance at which the optimum is looked for. ``_frame.py`` turns them into candidates: points of a
  :class:`parafree.Space` in array form (x = 0 is the middle of the unit cube, one unit a quarter of
  its edge), or pytrees like the start. :class:`Region` adds a scale and bounds to a pytree.
- **Bounds** are met in one place: a candidate outside is mirrored at the bound. A method never
  notices; it searches the mirrored function, which is continuous and has the same optimum. Some
  evolution strategies move it onto the bound instead and keep their mean near (``_beyond.py``),
  which meets an optimum on a bound exactly.
- **Values** that are NaN or infinite, and points that break a constraint, rank last
  (``_ranking.py``). They take no part in the mean of the better half. A batch without any finite
  value teaches nothing, and the status says so.
- **Limits** that only an evaluation shows are figures beside the value, each to be at most 0
  (``_limited.py``). An augmented Lagrangian (``_lagrangian.py``) makes an order of all figures, and
  ``Surrogate`` models each of them. ``best`` is the best point within all limits, or the nearest.
- **Noise** is met by ranks and by recombination, and by larger populations after a restart. No
  method trusts the value of a single point, but ``best`` is the point with the smallest value that
  was told.
- **Populations** are static, because they are shapes; every number is a leaf. Within a population
  the number of candidates that count may be traced, so a generation may be several batches: that
  is how a search that restarts with more candidates compiles once.
- **The end.** Criteria are named in ``Status`` and their limits in ``Limits`` (``_progress.py``).
  A search that has ended keeps its state, so it stays finite for ever; ``info.status`` says why.
- **Restarts** are wrappers that hold a method.
- **Records.** A state is a named tuple whose first field is what all methods have in common; the
  info record is one for the whole room.
"""

from __future__ import annotations

from parafree.core._lazy import fill

__all__ = fill(__name__)
