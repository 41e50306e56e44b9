"""The records of a claim: what a paper says, and what was measured here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from parafree.core.card import Card

Progress = Callable[[str], None]
"""Called with a line of text when something slow begins."""


@dataclass(frozen=True)
class Measurement:
    """What an experiment found.

    Args:
        values: the figures of each quantity, one for every seed.
        summary: what was found, with its spread, in a sentence or two.
        holds: whether the claim's threshold is met.
        reason: what decides it; for a claim that does not hold, the cause that was found.
    """

    values: Mapping[str, Sequence[float]]
    summary: str
    holds: bool
    reason: str


class Measure(Protocol):
    """An experiment in two sizes."""

    def __call__(self, fast: bool, progress: Progress) -> Measurement:
        """Measure; ``fast`` asks for the small size, which takes under 20 seconds."""
        ...


@dataclass(frozen=True)
class Claim:
    """What one paper claims, and the experiment that can show it.

    Args:
        name: the name of the claim's file.
        card: the method's card.
        paper: what the paper says, with its figure and setting.
        setting: what is measured here.
        threshold: when the claim holds, as text; written before the first run.
        measure: runs the experiment.

    Example:
        >>> from parafree.tune.hyperband import card
        >>> claim = Claim(
        ...     "hyperband", card, "ten times faster", "a coin", "heads",
        ...     lambda fast, progress: Measurement({"heads": [1.0]}, "heads", True, "it fell so"),
        ... )
        >>> claim.measure(True, print).holds
        True
    """

    name: str
    card: Card
    paper: str
    setting: str
    threshold: str
    measure: Measure


@dataclass(frozen=True)
class Result:
    """A claim and its measurement, with what is needed to judge it later.

    Args:
        claim: what was measured.
        measurement: what was found.
        fast: whether it was the small experiment.
        seconds: how long it took.
        machine: cores, processor, memory in GiB, and versions; see
            :func:`parafree.claims._machine.describe`.
        date: the day, as YYYY-MM-DD.
    """

    claim: Claim
    measurement: Measurement
    fast: bool
    seconds: float
    date: str
    machine: Mapping[str, str] = field(default_factory=dict)
