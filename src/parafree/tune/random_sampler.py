"""Random sampling: independent, uniform points of the space.

James Bergstra and Yoshua Bengio, "Random Search for Hyper-Parameter Optimization", JMLR 2012.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from parafree.core.card import Card
from parafree.core.keys import integer_from_names
from parafree.tune._stream import BLOCK, Stream


@dataclass(frozen=True)
class RandomSampler:
    """Draw every configuration on its own, uniformly over the feasible part of the unit cube.

    Args:
        None; what may vary is said by the space.

    Returns:
        A sampler.

    Raises:
        SpaceError: the constraints leave (almost) nothing to draw.

    Cost:
        1024 points are drawn at once; amortised O(d) a configuration with d parameters.

    Source:
        Bergstra and Bengio 2012, JMLR 13, section 2.

    Differs:
        Points that break a constraint are skipped. A configuration depends on the seed and the
        number of its trial alone, so the order of asking does not matter.

    Example:
        >>> from parafree import Real, Space
        >>> sampler = RandomSampler()
        >>> state = sampler.init(Space(lr=Real(0.1, 1.0)), seed=0)
        >>> 0.1 <= sampler.ask(state, 0)["lr"] <= 1.0
        True
    """

    def init(self, space: Any, seed: int) -> Stream:
        """Return the stream of random points of ``space`` for ``seed``."""

        def draw(block: int) -> np.ndarray:
            bits = np.random.Philox(key=integer_from_names(seed, "sampler", block))
            return np.random.Generator(bits).random((BLOCK, space.dimension))

        return Stream(space, draw)

    def ask(self, state: Stream, trial: int) -> dict[str, Any]:
        """Return the configuration of trial number ``trial``."""
        return state.space.config(state.point(trial))

    def tell(self, state: Stream, trial: int, units: int, loss: float) -> None:
        """Ignore the loss: every point is drawn on its own."""


card = Card(
    method=RandomSampler,
    contract="sampler",
    paper="Bergstra, Bengio 2012, JMLR 13:281-305",
    reference="the uniform distribution (Kolmogorov-Smirnov), and the same stream drawn in one go",
    free_of={"model of the loss"},
)
