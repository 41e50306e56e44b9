"""What evaluations have given: the values of every configuration, and how much they differ.

Where there is noise, the lowest of many values is low by luck. So the first value of a
configuration, for which it was picked, counts no more once it has others; and others come in pairs,
asked for before either is known, whose difference tells of noise and of nothing else.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_ELITE = 32  # configurations whose values are looked at together
_RECENT = 30  # pairs of values from which the noise is estimated
_LATEST = 6  # and from which it is told where the search is now
_FEW = 8  # pairs that do not yet tell whether any value is far off
_AROUND = 3  # pairs before and after one, to which it is compared
_ODD = 30.0  # times as large a difference as usual there: one value is far off
_LONG = 4096  # characters, beyond which a digest stands for a configuration


def text_of(config: Mapping[str, Any]) -> str:
    """Return a configuration as text, which tells it from every other one.

    Example:
        >>> text_of({"x": 0.5, "sizes": (1, 2)})
        '{"sizes": [1, 2], "x": 0.5}'
    """
    text = json.dumps(config, sort_keys=True)
    return text if len(text) <= _LONG else hashlib.sha256(text.encode()).hexdigest()


@dataclass
class Values:
    """The values of configurations, which may be asked for again.

    Example:
        >>> values = Values()
        >>> values.add("a", {"x": 1}, 2.0)
        >>> values.exact("a"), values.exact("b")
        (2.0, None)
        >>> values.add("a", {"x": 1}, 4.0)
        >>> values.add("a", {"x": 1}, 6.0)
        >>> values.exact("a"), values.mean("a"), round(values.noise, 3)
        (None, 5.0, 1.414)
    """

    configs: dict[str, dict[str, Any]] = field(default_factory=dict)
    told: dict[str, list[float]] = field(default_factory=dict)
    noisy: bool = False  # whether one configuration has had different values
    asked_again: int = 0  # evaluations of a configuration that had a finite value
    _elite: list[str] = field(default_factory=list)  # the lowest means
    _sure: set[str] = field(default_factory=set)  # asked for more than once
    _squares: deque[float] = field(default_factory=lambda: deque(maxlen=_RECENT))
    _odd: bool = False  # whether one of them is far larger than those around it

    def add(self, key: str, config: dict[str, Any], value: float) -> None:
        """Take in a value; what is not finite is infinite."""
        value = value if math.isfinite(value) else math.inf
        self.configs.setdefault(key, config)
        known = self.told.setdefault(key, [])
        known.append(value)
        if len(known) > 1 and math.isfinite(known[0]):
            self.asked_again += 1
            self._sure.add(key)
            self.noisy = self.noisy or value != known[0]
            if len(known) % 2 and math.isfinite(known[-2]) and math.isfinite(value):
                self._squares.append((value - known[-2]) ** 2 / 2)
                self._odd = _any_odd(list(self._squares))
        if key not in self._elite:
            self._elite.append(key)
        self._elite.sort(key=self.mean)
        del self._elite[_ELITE:]

    def fair(self, key: str) -> list[float]:
        """Return the values of a configuration that luck did not pick, or the only one."""
        known = self.told.get(key, [])
        return known[1:] or known

    def mean(self, key: str) -> float:
        """Return the mean of a configuration's fair values; infinite where one is or none is."""
        fair = self.fair(key)
        return math.fsum(fair) / len(fair) if fair else math.inf

    def exact(self, key: str) -> float | None:
        """Return the value of a configuration, if it is known and would be the same again."""
        known = self.told.get(key)
        return None if known is None or self.noisy else known[0]

    @property
    def noise(self) -> float | None:
        """The standard deviation of a single value; ``None``: not known."""
        if not self.noisy:
            return 0.0 if self.asked_again else None
        if not self._squares:
            return None
        return math.sqrt(math.fsum(self._squares) / len(self._squares))

    @property
    def gap(self) -> float:
        """The median difference of two values of one configuration, lately; 0 before any is known.

        Noise may fall with the values and have outliers, so neither older pairs nor a mean tells of
        it where the search is now. Where most values have no noise at all, the median of a few
        pairs is still above 0 now and then. So it is twice the second smallest of six differences,
        which is its median where noise is normal.
        """
        latest = sorted(list(self._squares)[-_LATEST:])
        return 2 * math.sqrt(2 * latest[min(1, len(latest) - 1)]) if latest else 0.0

    @property
    def strays(self) -> bool:
        """Whether some values, lately, may be far off: as long as few pairs are known they may."""
        return self.noisy and (self._odd or len(self._squares) < _FEW)

    def error(self, key: str) -> float:
        """Return the standard error of a configuration's mean."""
        return (self.noise or 0.0) / math.sqrt(max(len(self.fair(key)), 1))

    def lowest(self) -> str | None:
        """Return the configuration with the lowest mean, which may be lucky."""
        key = self._elite[0] if self._elite else None
        return key if key is not None and math.isfinite(self.mean(key)) else None

    def doubtful(self) -> str | None:
        """Return the configuration that is worth another evaluation, if there is a finite one.

        It is the lowest of those that have been asked for least: one that is low by luck alone is
        found out, and one that is not becomes certain.
        """
        finite = [key for key in self._elite if math.isfinite(self.mean(key))]
        if not finite:
            return None
        return min(finite, key=lambda key: self.mean(key) + self.error(key))

    def best(self) -> str | None:
        """Return the configuration to recommend.

        Where there is noise it is one of those that were asked for again: that whose mean is
        lowest with so many of its errors added as the luckiest of them all is low by.
        """
        finite = [key for key in self._elite if math.isfinite(self.mean(key))]
        sure = sorted(self._sure) if self.noisy else []
        luck = math.sqrt(2 * math.log(len(sure) + 1))
        return min(
            sure or finite, key=lambda key: self.mean(key) + luck * self.error(key), default=None
        )


def _any_odd(squares: list[float]) -> bool:
    """Return whether a pair differs far more than those around it; their squares, in their order.

    Those before tell, because noise may fall with the values, and those after, because it rises
    again where a search begins elsewhere.

    Example:
        >>> _any_odd([1.0, 2.0, 1.0, 4e4, 3.0]), _any_odd([1e4, 2e3, 90.0, 3.0, 0.1])
        (True, False)
    """
    for i in range(1, len(squares)):
        before, after = squares[max(0, i - _AROUND) : i], squares[i + 1 : i + 1 + _AROUND]
        if squares[i] > _ODD**2 * max(_middle(before), _middle(after)):
            return True
    return False


def _middle(squares: list[float]) -> float:
    """Return the median; of two in the middle, the larger one; 0 of none."""
    return sorted(squares)[len(squares) // 2] if squares else 0.0
