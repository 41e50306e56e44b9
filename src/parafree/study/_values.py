"""What evaluations have given: the values of every configuration, and how much they differ."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Values:
    """The values of configurations, which may be asked for again.

    Example:
        >>> values = Values()
        >>> values.add("a", {"x": 1}, 2.0)
        >>> values.exact("a"), values.exact("b")
        (2.0, None)
    """

    configs: dict[str, dict[str, Any]] = field(default_factory=dict)
    told: dict[str, list[float]] = field(default_factory=dict)
    _squares: float = 0.0  # of differences from the means of configurations
    _free: int = 0  # degrees of freedom of that sum

    def add(self, key: str, config: dict[str, Any], value: float) -> None:
        """Take in a value; what is not finite is infinite."""
        value = value if math.isfinite(value) else math.inf
        known = self.told.setdefault(key, [])
        self.configs.setdefault(key, config)
        finite = [each for each in known if math.isfinite(each)]
        if finite and math.isfinite(value):
            # One value more changes the sum of squares by this much.
            n, mean = len(finite), math.fsum(finite) / len(finite)
            self._squares += n / (n + 1) * (value - mean) ** 2
            self._free += 1
        known.append(value)

    def exact(self, key: str) -> float | None:
        """Return the value of a configuration, if it is known and would be the same again."""
        known = self.told.get(key)
        return None if known is None or self.noisy else known[0]

    @property
    def asked_again(self) -> int:
        """How many evaluations had been made before."""
        return self._free

    @property
    def noise(self) -> float | None:
        """The standard deviation between values of one configuration; ``None``: not known."""
        return math.sqrt(self._squares / self._free) if self._free else None

    @property
    def noisy(self) -> bool:
        """Whether one configuration has had different values."""
        return self._squares > 0
