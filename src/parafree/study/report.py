"""The report: a study as one HTML page that needs no network.

The page holds everything it shows. Every text that comes from a study (its name, parameters,
options, messages) is escaped where it is put into the page.
"""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from parafree.core.errors import StudyError
from parafree.core.space import Space

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from parafree.study._figures._axes import Axis
    from parafree.study._figures._table import Table
    from parafree.study.importance import Importances

_SLICES = 18


class TrialView(Protocol):
    """What the report reads of a trial; ``history.Trial`` has it all."""

    id: int
    hparams: dict[str, Any]
    repeats: int | None
    units: int
    loss: float | None
    best_loss: float | None

    @property
    def status(self) -> str:
        """Such as ``paused`` or ``diverged``."""
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


def write_report(study: StudyView, path: str | os.PathLike[str]) -> Path:
    """Write a study as one self-contained HTML page.

    Args:
        study: the study.
        path: the file; it is replaced in one go, so that a reader never sees half of it.

    Returns:
        The path.

    Raises:
        StudyError: the file cannot be written.

    Cost:
        About 5 MB and two seconds, whatever the number of trials: the figures draw choices.
    """
    target = Path(path)
    text = _render(study)
    partial = target.with_name(f".{target.name[:80]}.{os.getpid()}.part")
    try:
        # A name may hold a lone surrogate, which UTF-8 cannot: it becomes a question mark.
        partial.write_bytes(text.encode("utf-8", "replace"))
        partial.replace(target)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise StudyError(
            f"the report cannot be written: {error.strerror or error}",
            where=str(target),
            fix="give another path, in a folder that exists and may be written to",
        ) from error
    return target


@dataclass
class Page:
    """Sections and figures, gathered one after the other."""

    parts: list[str] = field(default_factory=list)
    figures: dict[str, str] = field(default_factory=dict)

    def slot(self, name: str, figure: go.Figure, minimum: int = 0) -> str:
        """Keep a figure, and return the place where it will be drawn."""
        import plotly.io

        self.figures[name] = plotly.io.to_json(figure, validate=False)
        height = int(figure.layout.height)
        style = f"height:{height}px" + (f";min-width:{minimum}px" if minimum else "")
        return (
            f'<div class="scroll"><div class="figure" data-figure="{name}" '
            f'style="{style}"></div></div>'
        )

    def section(self, title: str, how: str, body: str, notes: Sequence[str] = ()) -> None:
        """Add a section: a heading, how to read it, the picture, and what it leaves out."""
        remarks = "".join(f'<p class="note">{escape(note)}</p>' for note in notes)
        self.parts.append(
            f'<section><h2>{escape(title)}</h2><p class="how">{escape(how)}</p>'
            f"{body}{remarks}</section>"
        )


def _render(study: StudyView) -> str:
    import plotly.offline

    from parafree.study._figures import _page
    from parafree.study._figures._headline import headline
    from parafree.study._figures._table import table_of
    from parafree.study._figures._tables import add_best_table, add_failures
    from parafree.study.importance import importance

    table = table_of(study)
    page = Page()
    page.parts.append(headline(study, table))
    found = importance(study)
    order = [record.name for record in found.records] or list(study.space.names)
    if np.isfinite(table.curve_loss).any():
        _add_curves(page, study, table)
        if table.axes:
            _add_hyperparameters(page, table, found, order)
    if len(study.spans):
        _add_lanes(page, study, table)
    if len(table.ranked()):
        add_best_table(page, table, order)
    add_failures(page, study)
    page.parts.append(_footer(study))
    figures = ",".join(f"{json.dumps(name)}:{text}" for name, text in page.figures.items())
    return _page.PAGE.substitute(
        title=escape(f"{study.name} · parafree"),
        style=_page.STYLE,
        body="\n".join(page.parts),
        plotly=plotly.offline.get_plotlyjs(),
        figures="{" + figures + "}",
        script=_page.SCRIPT,
    )


# The figures ------------------------------------------------------------------------------


def _legend(table: Table, *, best: bool = True) -> str:
    from parafree.study._figures._style import BEST

    entries = list(zip(table.bands.labels, table.bands.colours, strict=True))
    if best and table.best >= 0:
        entries.append(("the best", BEST))
    items = "".join(
        f'<li><i style="background:{colour}"></i>{label}</li>' for label, colour in entries
    )
    return f'<ul class="legend">{items}</ul>'


def _add_curves(page: Page, study: StudyView, table: Table) -> None:
    from parafree.study._figures.best_so_far import best_over_time, best_over_units
    from parafree.study._figures.learning_curves import learning_curves

    better = "higher" if study.maximize else "lower"
    figure, notes = learning_curves(table)
    page.section(
        "Learning curves",
        f"Each line is one trial, and its colour says how far it was allowed to go; {better} is "
        "better, and warm colours should be where the good values are.",
        _legend(table) + page.slot("curves", figure),
        notes,
    )
    pair = (
        f'<div class="pair">{page.slot("time", best_over_time(table, study.clock))}'
        f"{page.slot('units', best_over_units(table))}</div>"
    )
    how = (
        "Each step is a moment at which some trial reported a better value than any before, at "
        "any depth; a long flat end means that going on has stopped paying."
    )
    breaks = "Dotted lines are where a later session took over." if len(study.sessions) > 1 else ""
    page.section("Best so far, over time and over units", how, pair, [breaks] if breaks else [])


def _add_hyperparameters(page: Page, table: Table, found: Importances, order: list[str]) -> None:
    from parafree.study._figures._style import count
    from parafree.study._figures.importance_bars import importance_bars
    from parafree.study._figures.parallel import parallel
    from parafree.study._figures.slices import slice_of

    figure, notes = parallel(table, order)
    page.section(
        "All hyperparameters at once",
        "Each line is one trial and crosses every axis at its value; where the strong lines meet "
        "on an axis, that is where good values lie. Tap a name in the legend to hide its lines.",
        page.slot("parallel", figure, 100 * min(len(order) + 1, 15)),
        notes,
    )
    if found.records:
        body, notes = page.slot("importance", importance_bars(found)), _about_importance(found)
    else:
        body, notes = f'<p class="about">{escape(found.note)}</p>', []
    page.section(
        "What matters",
        "A bar is the share of the differences between trials that a hyperparameter explains "
        "on its own; the thin line is its 90% interval, and overlapping lines mean no clear order.",
        body,
        notes,
    )
    axes = {axis.name: axis for axis in table.axes}
    cells = [
        f"<div>{_title(axes[name])}{page.slot(f'slice-{i}', slice_of(table, axes[name]))}</div>"
        for i, name in enumerate(order[:_SLICES])
    ]
    left = len(order) - len(cells)
    page.section(
        "One hyperparameter at a time",
        "Each dot is one trial's last value; warm, large dots had many units, and a valley among "
        "them (or a peak, where higher is better) is the region to look in.",
        _legend(table) + f'<div class="slices">{"".join(cells)}</div>',
        [f"{count(left, 'less important hyperparameter')} not shown."] if left > 0 else [],
    )


def _title(axis: Axis) -> str:
    help_ = escape(axis.help)
    return f'<h3 title="{help_}">{axis.label} <span>{help_}</span></h3>'


def _about_importance(found: Importances) -> list[str]:
    scale = {
        "loss": "Computed on the values themselves.",
        "rank": "Computed on ranks, so that a few very bad or diverged trials do not hide the "
        "rest.",
    }[found.scale]
    return [
        f"From {found.trials:,} trials, by a forest of randomised trees on resampled "
        f"trials. {scale} The shares need not add up to 100%: the rest belongs to "
        "combinations of hyperparameters."
    ]


def _add_lanes(page: Page, study: StudyView, table: Table) -> None:
    from parafree.study._figures.lanes import lanes

    figure, notes = lanes(table, study.spans)
    legend = "" if notes else _legend(table, best=False)
    page.section(
        "Time line of lanes",
        "Each row is one lane and each bar one job, coloured by how deep its trial went; gaps are "
        "time in which a lane had nothing to do or a program was being compiled.",
        legend + page.slot("lanes", figure),
        notes,
    )


def _footer(study: StudyView) -> str:
    if not study.sessions:
        return "<footer>Written by parafree.</footer>"
    last = study.sessions[-1]
    when = datetime.datetime.fromtimestamp(last.started, datetime.UTC)
    versions = ", ".join(f"{name} {version}" for name, version in last.versions.items())
    overhead = [s.overhead_s for s in study.sessions if s.overhead_s is not None]
    spent = f" Deciding and writing down took {sum(overhead):.3g} s." if overhead else ""
    return (
        f"<footer>Last session: {when:%Y-%m-%d %H:%M} UTC on {escape(last.host)}; "
        f"{escape(versions)}.{spent} Written by parafree; this page is complete in "
        "itself and asks the network for nothing.</footer>"
    )
