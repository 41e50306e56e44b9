"""A study: what was searched, what was found, and what it cost."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from parafree.core.errors import StudyError
from parafree.core.space import Space
from parafree.study._goals import Goals
from parafree.study.history import History, Trial, Uncertainty
from parafree.study.store import Session, Store

if TYPE_CHECKING:
    import pandas as pd


class Study:
    """A study in a store, as far as its journal went when it was opened.

    Args:
        store: an open store.
        name: the study's name.

    Raises:
        StudyError: there is no such study.

    Example:
        >>> import tempfile, parafree
        >>> def train(trial):
        ...     while True:
        ...         trial.report(loss=(trial.hparams["x"] - 0.3) ** 2)
        >>> study = parafree.tune(
        ...     train, space=parafree.Space(x=parafree.Real(0, 1)), trials=20, workers=1,
        ...     store=tempfile.mkdtemp() + "/studies.db", progress=False)
        >>> study.best.loss < 0.05
        True
    """

    def __init__(self, store: Store, name: str) -> None:
        self._record = store.find(name)
        self.store, self.name = store, name
        self._history: History | None = None
        self._best: tuple[int, Trial | None] | None = None  # of a minimisation, at which event
        self._fold: Any = None  # of the call that returned it; None for a study that was opened
        self._executor: Any = None  # makes states again while the trainable is at hand

    @classmethod
    def open(cls, name: str, store: str | os.PathLike[str] | None = None) -> Study:
        """Open a study that exists.

        Args:
            name: its name.
            store: path or URL of the database; ``parafree.db`` here by default.
        """
        return cls(Store.open(store, create=False), name)

    def __repr__(self) -> str:
        best = self.best
        found = "nothing found yet" if best is None else f"best loss {best.loss:.6g}"
        return f"Study({self.name!r}: {len(self.trials)} trials, {self.units} units, {found})"

    @property
    def spec(self) -> dict[str, Any]:
        """What the study was created with."""
        return dict(self._record.spec)

    @cached_property
    def space(self) -> Space:
        """The search space."""
        return Space.from_dict(self._record.spec["space"])

    @property
    def objective(self) -> str:
        """The name of the metric that is searched for."""
        return str(self._record.spec["objective"])

    @property
    def maximize(self) -> bool:
        """Whether larger is better; a loss is then the metric with its sign turned."""
        return bool(self._record.spec["maximize"])

    @property
    def folder(self) -> Path:
        """Where the study's states, logs and report are."""
        return self.store.folder(self.name)

    @property
    def history(self) -> History:
        """The fold of the journal."""
        if self._history is None:
            goals = Goals.from_spec(self._record.spec)
            self._history = History.load(self.store, self._record.id, goals)
        return self._history

    def refresh(self) -> None:
        """Forget what was read, so that the journal is read again."""
        self._history = None

    @property
    def trials(self) -> list[Trial]:
        """All trials, by number."""
        return self.history.trials

    @property
    def units(self) -> int:
        """Units of resource that all trials together have had."""
        return self.history.units

    @property
    def best(self) -> Trial | None:
        """The trial to recommend; ``None`` before the first report.

        Of a minimisation it is what :class:`parafree.study.minimum.Minimum` calls the best.
        """
        from parafree.study._findings import minimises, recommended

        if not minimises(self._record.spec):
            return self.history.best()
        if self._best is None or self._best[0] != self.history.seq:
            self._best = self.history.seq, recommended(self)
        return self._best[1]

    @property
    def uncertainty(self) -> Uncertainty | None:
        """What the best configuration is worth with fresh seeds, where that was measured."""
        best = self.best
        return None if best is None else self.history.uncertainty(best.id)

    @property
    def failures(self) -> list[tuple[Trial, str]]:
        """Trials that failed or diverged, each with why; one that breaks a limit did neither."""
        return [
            (trial, trial.message or "the loss was not finite")
            for trial in self.trials
            if trial.status in ("failed", "diverged")
        ]

    @property
    def reports(self) -> np.ndarray:
        """Every report: trial, units, loss, seq."""
        return self.history.reports

    @property
    def sessions(self) -> list[Session]:
        """Every call that worked on the study, oldest first."""
        return self.store.sessions(self._record.id)

    @property
    def clock(self) -> np.ndarray:
        """When events were written: seq, session, elapsed_s."""
        return self.store.clock(self._record.id)

    @property
    def spans(self) -> np.ndarray:
        """Which lane ran which trial when."""
        return self.store.spans(self._record.id)

    def to_dataframe(self) -> pd.DataFrame:
        """Return one row for each trial: number, status, units, loss, hyperparameters, metrics."""
        import pandas as pd

        rows = [
            {
                "trial": trial.id,
                "status": trial.status,
                "repeats": trial.repeats,
                "units": trial.units,
                "loss": trial.loss,
                "best_loss": trial.best_loss,
            }
            | {f"hparams.{name}": value for name, value in trial.hparams.items()}
            | {f"metrics.{name}": value for name, value in trial.metrics.items()}
            for trial in self.trials
        ]
        return pd.DataFrame(rows)

    def report(self, path: str | os.PathLike[str] | None = None) -> Path:
        """Write the study as one HTML page that needs no network.

        Args:
            path: the file; ``report.html`` in the study's folder by default.

        Returns:
            Where it was written.
        """
        from parafree.study.report import write_report

        target = self.folder / "report.html" if path is None else Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        return write_report(self, target)

    def state(self, trial: int | None = None) -> Any:
        """Return the trained state of a JAX trial, computed again where it was not kept.

        Args:
            trial: its number; the best one by default.

        Returns:
            The pytree that the trainable's ``step`` returned after the trial's last unit.

        Raises:
            StudyError: the study was not run by a JAX trainable in this process.
        """
        if self._executor is None:
            raise StudyError(
                "the trainable is not at hand",
                where=f"study {self.name!r}",
                fix="call parafree.tune on it with a JAX trainable, then state() on the result",
            )
        wanted = self.best if trial is None else self.trials[trial]
        if wanted is None:
            raise StudyError("no trial has reported yet", where=f"study {self.name!r}")
        return self._executor(wanted)
