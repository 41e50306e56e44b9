"""Steps of a point and its descendants: a normal distribution that learns from what succeeded.

Igel, Hansen, Roth, "Covariance Matrix Adaptation for Multi-objective Optimization", Evolutionary
Computation 15(1), 2007, section 3.1, with success as in Voß, Hansen, Igel, "Improved step size
adaptation for the MO-CMA-ES", GECCO 2010: to be among the best counts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

_TARGET = 1 / (5 + math.sqrt(0.5))  # share of steps that succeed
_RATE = _TARGET / (2 + _TARGET)
_OFTEN = 0.44  # share of successes above which the path learns no more
_FULL = 100  # dimensions up to which a whole covariance is learned


@dataclass(frozen=True)
class Steps:
    """How a point's descendants differ from it, in d coordinates.

    Example:
        >>> steps = Steps.begin(2, 0.25)
        >>> steps.judged(True).size > steps.size > steps.judged(False).size
        True
    """

    size: float
    success: float
    path: np.ndarray  # (d,)
    covariance: np.ndarray  # (d, d), or its diagonal (d,) where there are many coordinates

    @classmethod
    def begin(cls, dimension: int, size: float) -> Steps:
        """Return the steps of a point without parents."""
        whole = dimension <= _FULL
        covariance = np.eye(dimension) if whole else np.ones(dimension)
        return cls(size, _TARGET, np.zeros(dimension), covariance)

    def draw(self, rng: np.random.Generator) -> np.ndarray:
        """Return a step."""
        z = rng.standard_normal(len(self.path))
        if self.covariance.ndim == 1:
            return self.size * np.sqrt(self.covariance) * z
        return self.size * (np.linalg.cholesky(self.covariance) @ z)

    def judged(self, succeeded: bool) -> Steps:
        """Return the steps after one of them succeeded, or did not."""
        d = len(self.path)
        success = (1 - _RATE) * self.success + _RATE * succeeded
        turn = (success - _TARGET) / ((1 + d / 2) * (1 - _TARGET))
        return replace(self, size=min(1.0, self.size * math.exp(turn)), success=success)

    def learned(self, step: np.ndarray, size: float) -> Steps:
        """Return the steps after this one, drawn with that size, has succeeded."""
        d = len(self.path)
        fade, rate = 2 / (d + 2), 2 / (d**2 + 6 if self.covariance.ndim == 2 else d + 6)
        lost = fade * (2 - fade)
        if self.success < _OFTEN:
            path, old = (1 - fade) * self.path + math.sqrt(lost) * step / size, 1 - rate
        else:
            path, old = (1 - fade) * self.path, 1 - rate + rate * lost
        new = np.outer(path, path) if self.covariance.ndim == 2 else path**2
        return replace(self, path=path, covariance=old * self.covariance + rate * new)
