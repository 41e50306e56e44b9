"""The columns that the figures draw: a study's trials and reports as NumPy arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from parafree.study._figures._axes import Axis, axes_of
from parafree.study._figures._style import number, plain, ramp

if TYPE_CHECKING:
    from parafree.study._view import StudyView, TrialView


@dataclass(frozen=True)
class Bands:
    """Trials grouped by how far they got: the rungs, or ranges of units if there are many.

    Args:
        edges: upper end of each band, in units; increasing.
        labels: what each band is called.
        colours: from shallow to deep.
    """

    edges: np.ndarray
    labels: list[str]
    colours: list[str]

    def of(self, units: np.ndarray) -> np.ndarray:
        """Return the index of each number's band."""
        last = max(len(self.edges) - 1, 0)
        return np.minimum(np.searchsorted(self.edges, units), last)


@dataclass(frozen=True)
class Table:
    """A study as columns. Losses are smaller-is-better; ``shown`` gives the user's values.

    Args:
        objective: name of the metric; not escaped.
        sign: -1 where the metric is maximised and losses are its negative, else 1.
        trials: the trials without the ones that repeat another's configuration.
        trial: their numbers.
        units: how many units each has had.
        loss: the last loss of each; NaN if it has none or it was not finite.
        status: as the study gives it.
        best: number of the best trial, or -1.
        axes: the hyperparameters.
        values: one column per hyperparameter; NaN where it is not active.
        bands: groups of trials by depth.
        curve_trial: the trial of each report, sorted by trial and then units.
        curve_units: units at each report.
        curve_loss: the loss of each report, NaN if it was not finite.
        curve_seq: place of each report in the journal.
        curve_first: for each of ``trial``, where its reports begin.
        curve_last: for each of ``trial``, where its reports end (not included).
    """

    objective: str
    sign: float
    trials: list[TrialView]
    trial: np.ndarray
    units: np.ndarray
    loss: np.ndarray
    status: list[str]
    best: int
    axes: list[Axis]
    values: dict[str, np.ndarray]
    bands: Bands
    curve_trial: np.ndarray
    curve_units: np.ndarray
    curve_loss: np.ndarray
    curve_seq: np.ndarray
    curve_first: np.ndarray
    curve_last: np.ndarray

    @property
    def label(self) -> str:
        """The objective's name as a plotly label."""
        return plain(self.objective, 40)

    @property
    def bad_side(self) -> str:
        """The side of a value axis on which the bad values lie."""
        return "high" if self.sign > 0 else "low"

    def shown(self, loss: np.ndarray) -> np.ndarray:
        """Turn losses into values of the user's metric."""
        return self.sign * loss

    @property
    def deep(self) -> np.ndarray:
        """Which trials have at least a third of the deepest one's units, as the best must."""
        finite = np.isfinite(self.loss)
        return finite & (self.units * 3 >= self.units[finite].max(initial=0.0))

    def ranked(self) -> np.ndarray:
        """Return the rows of ``trials`` that have a loss, best first."""
        order = np.argsort(self.loss, kind="stable")
        return order[np.isfinite(self.loss[order])]


def table_of(study: StudyView, names: Sequence[str] | None = None) -> Table:
    """Gather the columns of a study.

    Args:
        study: anything that keeps the protocol of ``_view.StudyView``.
        names: the hyperparameters that get an axis; all by default.

    Returns:
        The table that every figure is drawn from.
    """
    trials = [t for t in study.trials if t.repeats is None]
    trial = np.array([t.id for t in trials], dtype=np.int64)
    units = np.array([t.units for t in trials], dtype=float)
    loss = np.array([_loss(t.loss) for t in trials], dtype=float)
    axes = axes_of(study.space, names)
    reports = study.reports
    order = np.lexsort((reports["units"], reports["trial"]))
    curve_trial = reports["trial"][order]
    curve_loss = reports["loss"][order].astype(float)
    curve_loss[~np.isfinite(curve_loss)] = np.nan
    best = study.best
    return Table(
        objective=study.objective,
        sign=-1.0 if study.maximize else 1.0,
        trials=trials,
        trial=trial,
        units=units,
        loss=loss,
        status=[t.status for t in trials],
        best=-1 if best is None else best.id,
        axes=axes,
        values={axis.name: axis.values(t.hparams for t in trials) for axis in axes},
        bands=_bands(units[units > 0]),
        curve_trial=curve_trial,
        curve_units=reports["units"][order].astype(float),
        curve_loss=curve_loss,
        curve_seq=reports["seq"][order],
        curve_first=np.searchsorted(curve_trial, trial, side="left"),
        curve_last=np.searchsorted(curve_trial, trial, side="right"),
    )


def describe(hparams: Mapping[str, Any], limit: int = 12) -> str:
    """Write a configuration as lines of a hover label."""
    some = islice(hparams.items(), limit)
    lines = [f"{plain(k, 24)} = {plain(number(v), 30)}" for k, v in some]
    more = [f"… {len(hparams) - limit} more"] if len(hparams) > limit else []
    return "<br>".join(lines + more)


def spread(rows: np.ndarray, first: int, count: int) -> np.ndarray:
    """Pick at most ``count`` rows: the ``first`` ones, and others evenly from the rest.

    Example:
        >>> spread(np.arange(100), 3, 6)
        array([ 0,  1,  2,  3, 51, 99])
    """
    if len(rows) <= count:
        return rows
    rest = rows[first:]
    picks = np.linspace(0, len(rest) - 1, count - first).round().astype(int)
    return np.concatenate([rows[:first], rest[picks]])


def _loss(value: float | None) -> float:
    return value if value is not None and np.isfinite(value) else np.nan


def _bands(units: np.ndarray, most: int = 7) -> Bands:
    """One band per distinct depth; ranges that grow by a constant factor if there are many."""
    depths = np.unique(units)
    edges = depths
    if len(depths) > most:
        wanted = np.geomspace(depths[0], depths[-1], most)
        edges = np.unique(depths[np.searchsorted(depths, wanted * (1 - 1e-9))])
    place = np.searchsorted(edges, units)
    labels = []
    for i, edge in enumerate(edges):
        first = depths[0] if i == 0 else depths[np.searchsorted(depths, edges[i - 1]) + 1]
        depth = number(edge) if first == edge else f"{number(first)}–{number(edge)}"
        labels.append(_label(depth, "unit" if edge == 1 else "units", int((place == i).sum())))
    return Bands(edges, labels, ramp(len(edges)))


def _label(depth: str, unit: str, count: int) -> str:
    return f"{depth} {unit} · {number(count)} {'trial' if count == 1 else 'trials'}"
