"""What is asked of the figures that a function returns: which are minimised, which have a limit."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from parafree.core.errors import StudyError, TrainableError

_RULE = re.compile(r"(?P<name>[^<=>]+?)\s*(?P<sign><=|>=)\s*(?P<bound>\S+)")


@dataclass(frozen=True)
class Limit:
    """A figure that may not pass a bound.

    Args:
        name: of the figure.
        bound: the last value that is allowed.
        above: whether larger values are allowed, and not smaller ones.

    Example:
        >>> Limit.parse("latency <= 0.1"), str(Limit.parse("weight"))
        (Limit(name='latency', bound=0.1, above=False), 'weight <= 0.0')
    """

    name: str
    bound: float = 0.0
    above: bool = False

    @classmethod
    def parse(cls, text: str) -> Limit:
        """Read ``"name"``, ``"name <= number"`` or ``"name >= number"``.

        Raises:
            StudyError: it is none of these.
        """
        text = text.strip()
        found = _RULE.fullmatch(text)
        try:
            bound = float(found["bound"]) if found else 0.0
        except ValueError:
            bound = math.nan
        if not text or not math.isfinite(bound) or (not found and re.search("[<=>]", text)):
            raise StudyError(
                f"{text!r} is no constraint",
                where="constraints",
                fix='name a figure, as "weight" (at most 0), or write "latency <= 0.1"',
            )
        return cls(found["name"], bound, found["sign"] == ">=") if found else cls(text)

    def __str__(self) -> str:
        return f"{self.name} {self.bound_text}"

    @property
    def bound_text(self) -> str:
        """The limit without the name."""
        return f"{'>=' if self.above else '<='} {self.bound!r}"

    def excess(self, value: Any) -> Any:
        """Return how far a value is beyond the limit, in shares of it (of 1 where it is 0).

        At most 0 is within. The value may be an array.
        """
        distance = self.bound - value if self.above else value - self.bound
        return distance / (abs(self.bound) or 1.0)

    def value(self, excess: float) -> float:
        """Return the value that is so far beyond the limit, the inverse of :meth:`excess`."""
        distance = excess * (abs(self.bound) or 1.0)
        return self.bound - distance if self.above else self.bound + distance


@dataclass(frozen=True)
class Goals:
    """The figures that are minimised, and the limits of others.

    Args:
        objectives: names of the figures to be made small.
        limits: what must be kept.

    Example:
        >>> goals = Goals.of(constraints={"latency": 0.1})
        >>> goals.read({"loss": 3.0, "latency": 0.2})
        (None, {'loss': 3.0, 'latency': 0.2})
        >>> goals.outcome({"loss": 3.0, "latency": 0.2})
        (3.0, 1.0)
    """

    objectives: tuple[str, ...] = ("loss",)
    limits: tuple[Limit, ...] = ()

    @classmethod
    def of(
        cls,
        objectives: Sequence[str] | None = None,
        constraints: Mapping[str, float] | Iterable[str] | None = None,
    ) -> Goals:
        """Read what a user has written.

        Raises:
            StudyError: a name occurs twice among the objectives, or a constraint is none.
        """
        if isinstance(constraints, Mapping):
            limits = [Limit.parse(f"{name} <= {bound}") for name, bound in constraints.items()]
        else:
            texts = [constraints] if isinstance(constraints, str) else constraints or ()
            limits = [Limit.parse(text) for text in texts]
        named = (objectives,) if isinstance(objectives, str) else tuple(objectives or ("loss",))
        if len(set(named)) < len(named) or not all(named):
            raise StudyError(
                f"the objectives {list(named)} are not names that differ",
                where="objectives",
                fix='name figures that the function returns, for example ("cost", "error")',
            )
        return cls(named, tuple(limits))

    @classmethod
    def from_spec(cls, spec: Mapping[str, Any]) -> Goals:
        """Return the goals of a study that exists."""
        return cls.of(spec.get("objectives"), spec.get("constraints"))

    def to_spec(self) -> dict[str, list[str]]:
        """Return the goals as JSON values, without what is as in any minimisation."""
        spec = {}
        if self.objectives != ("loss",):
            spec["objectives"] = list(self.objectives)
        if self.limits:
            spec["constraints"] = [str(limit) for limit in self.limits]
        return spec

    @property
    def plain(self) -> bool:
        """Whether there is nothing but a loss."""
        return self == PLAIN

    @property
    def several(self) -> bool:
        """Whether there are several objectives."""
        return len(self.objectives) > 1

    @property
    def names(self) -> list[str]:
        """The figures that an evaluation must give."""
        return list(dict.fromkeys([*self.objectives, *(limit.name for limit in self.limits)]))

    def read(self, found: Any) -> tuple[float | None, dict[str, float | None]]:
        """Read what a function has returned.

        Returns:
            The first objective, ``None`` where a limit is broken or an objective is not finite,
            so that no such point is taken for a result; and all figures, that one among them.

        Raises:
            TrainableError: a figure is missing, or is no number.
        """
        from parafree.study._trial import _number

        if not isinstance(found, Mapping) and "loss" in self.objectives and found is not None:
            found = {"loss": found}
        missing = [name for name in self.names if not _has(found, name)]
        if missing:
            raise TrainableError(
                f"an evaluation gave {found!r:.80}, without {', '.join(map(repr, missing))}",
                fix="return {" + ", ".join(f'"{name}": number' for name in self.names) + "}",
            )
        figures = {str(name): _number(value, str(name)) for name, value in found.items()}
        return self.loss(figures), figures

    def loss(self, figures: Mapping[str, float | None]) -> float | None:
        """Return the first objective of a point that may be a result; ``None`` for any other."""
        outcome = self.outcome(figures)
        return outcome[0] if all(map(math.isfinite, outcome)) and self.kept(outcome) else None

    def outcome(self, figures: Mapping[str, float | None]) -> tuple[float, ...]:
        """Return the objectives, and how far each figure is beyond its limit; infinite: not known.

        At most 0 is within a limit.
        """
        values = [_finite(figures.get(name)) for name in self.objectives]
        return (*values, *(_finite(_excess(limit, figures)) for limit in self.limits))

    def kept(self, outcome: Sequence[float]) -> bool:
        """Whether an outcome is within all limits."""
        return all(excess <= 0 for excess in outcome[len(self.objectives) :])

    def violation(self, outcome: Sequence[float]) -> float:
        """Return how far an outcome is beyond its limits, all of them together."""
        return math.fsum(max(0.0, excess) for excess in outcome[len(self.objectives) :])

    def measured(self, figures: Mapping[str, float | None]) -> bool:
        """Whether all is known of a point, limits or not."""
        return not self.plain and all(map(math.isfinite, self.outcome(figures)))

    def broken(self, figures: Mapping[str, float | None]) -> list[str]:
        """Say which limits figures break, and by which values."""
        return [
            f"{limit.name} is {_written(figures.get(limit.name))}, not {limit.bound_text}"
            for limit in self.limits
            if not _excess(limit, figures) <= 0
        ]


PLAIN = Goals()


def _has(found: Any, name: str) -> bool:
    return isinstance(found, Mapping) and found.get(name) is not None


def _excess(limit: Limit, figures: Mapping[str, float | None]) -> float:
    value = figures.get(limit.name)
    return math.inf if value is None else float(limit.excess(value))


def _finite(value: float | None) -> float:
    return value if value is not None and math.isfinite(value) else math.inf


def _written(value: float | None) -> str:
    return "not finite" if value is None else f"{value:.4g}"
