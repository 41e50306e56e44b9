"""Quasi-random sampling: scrambled Sobol points, which cover the space more evenly.

Art Owen, "Scrambling Sobol' and Niederreiter-Xing points", Journal of Complexity 1998; the
implementation is SciPy's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from parafree.core.card import Card
from parafree.core.keys import integer_from_names
from parafree.tune._stream import BLOCK, Stream


@dataclass(frozen=True)
class SobolSampler:
    """Take configurations from a scrambled Sobol sequence.

    Args:
        None; what may vary is said by the space.

    Returns:
        A sampler.

    Raises:
        SpaceError: the constraints leave (almost) nothing to draw.

    Cost:
        1024 points are drawn at once; amortised O(d) a configuration with d parameters.

    Source:
        Sobol 1967 with the scrambling of Owen 1998, as ``scipy.stats.qmc.Sobol(scramble=True)``.

    Differs:
        Points that break a constraint are skipped, after which the rest still covers the feasible
        part evenly, though no longer as a net. A configuration depends on the seed and the number
        of its trial alone.

    Example:
        >>> from parafree import Real, Space
        >>> sampler = SobolSampler()
        >>> state = sampler.init(Space(lr=Real(0.0, 1.0)), seed=0)
        >>> sum(sampler.ask(state, trial)["lr"] < 0.5 for trial in range(64))  # exactly half
        32
    """

    def init(self, space: Any, seed: int) -> Stream:
        """Return the stream of Sobol points of ``space`` for ``seed``."""

        def draw(block: int) -> np.ndarray:
            if space.dimension == 0:
                return np.empty((BLOCK, 0))
            from scipy.stats import qmc

            scramble = np.random.default_rng(integer_from_names(seed, "sampler"))
            sequence = qmc.Sobol(space.dimension, scramble=True, seed=scramble)
            if block:
                sequence.fast_forward(block * BLOCK)
            return sequence.random(BLOCK)

        return Stream(space, draw)

    def ask(self, state: Stream, trial: int) -> dict[str, Any]:
        """Return the configuration of trial number ``trial``."""
        return state.space.config(state.point(trial))

    def tell(self, state: Stream, trial: int, units: int, loss: float) -> None:
        """Ignore the loss: the points are fixed by the seed."""


card = Card(
    method=SobolSampler,
    contract="sampler",
    paper="Owen 1998, doi:10.1006/jcom.1998.0487",
    reference="scipy.stats.qmc.Sobol drawn in one go; lower discrepancy than random points",
    free_of={"model of the loss"},
)
