"""What a report reads: protocols that a study, its trials and its sessions keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from parafree.core.space import Space


class TrialView(Protocol):
    """What the report reads of a trial; ``history.Trial`` has it all."""

    id: int
    hparams: dict[str, Any]
    repeats: int | None
    units: int
    loss: float | None
    best_loss: float | None
    metrics: dict[str, Any]

    @property
    def status(self) -> str:
        """Such as ``paused``, ``diverged`` or ``infeasible``."""
        ...


class SessionView(Protocol):
    """What the report reads of a session; ``store.Session`` has it all."""

    @property
    def started(self) -> float:
        """Seconds since 1970."""
        ...

    @property
    def host(self) -> str:
        """The machine's name."""
        ...

    @property
    def versions(self) -> Mapping[str, str]:
        """Package by package."""
        ...

    @property
    def compile_s(self) -> float | None:
        """Seconds of compiling."""
        ...

    @property
    def busy(self) -> float | None:
        """Share of the lanes' time in use, 0 to 1."""
        ...

    @property
    def overhead_s(self) -> float | None:
        """Seconds that went into deciding and writing down."""
        ...


class StudyView(Protocol):
    """What the report reads of a study; :class:`parafree.study.study.Study` has it all.

    Losses are smaller-is-better: where the objective is maximised they are its negative, and
    the page shows the objective. ``reports``, ``clock`` and ``spans`` have named columns: trial,
    units, loss, seq; seq, session, elapsed_s; session, lane, trial, begin_s, end_s, units
    (added in that job). Their seconds count from the beginning of the session.
    """

    name: str

    @property
    def space(self) -> Space:
        """The search space."""
        ...

    @property
    def objective(self) -> str:
        """The metric's name."""
        ...

    @property
    def maximize(self) -> bool:
        """Whether larger is better."""
        ...

    @property
    def trials(self) -> Sequence[TrialView]:
        """All trials."""
        ...

    @property
    def best(self) -> TrialView | None:
        """The trial to recommend."""
        ...

    @property
    def uncertainty(self) -> tuple[float, float, int, int] | None:
        """Mean loss of repeats of the best, its standard error, their number and units."""
        ...

    @property
    def failures(self) -> Sequence[tuple[TrialView, str]]:
        """Trials that failed or diverged, each with why."""
        ...

    @property
    def sessions(self) -> Sequence[SessionView]:
        """Every call that worked on the study, oldest first."""
        ...

    @property
    def reports(self) -> np.ndarray:
        """Every report."""
        ...

    @property
    def clock(self) -> np.ndarray:
        """When events were written."""
        ...

    @property
    def spans(self) -> np.ndarray:
        """Which lane ran which trial when."""
        ...
