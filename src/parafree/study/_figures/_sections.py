"""The sections with figures: what each shows, and the sentence that says how to read it."""

from __future__ import annotations

from html import escape

import numpy as np

from parafree.study._figures._axes import Axis
from parafree.study._figures._gather import Page
from parafree.study._figures._style import BEST, count, number
from parafree.study._figures._table import Table
from parafree.study._figures.best_so_far import best_over_time, best_over_units
from parafree.study._figures.importance_bars import importance_bars
from parafree.study._figures.landscape import FEWEST, landscape
from parafree.study._figures.lanes import lanes
from parafree.study._figures.learning_curves import learning_curves
from parafree.study._figures.parallel import parallel
from parafree.study._figures.slices import slice_of
from parafree.study._findings import minimises
from parafree.study._view import StudyView
from parafree.study.importance import Importances

SLICES = 18


def _legend(table: Table, *, best: bool = True) -> str:
    entries = list(zip(table.bands.labels, table.bands.colours, strict=True))
    if best and table.best >= 0:
        entries.append(("the best", BEST))
    items = "".join(
        f'<li><i style="background:{colour}"></i>{label}</li>' for label, colour in entries
    )
    return f'<ul class="legend">{items}</ul>'


def add_curves(page: Page, study: StudyView, table: Table) -> None:
    """Add how every trial's loss fell."""
    better = "higher" if study.maximize else "lower"
    figure, notes = learning_curves(table)
    page.section(
        "Learning curves",
        f"Each line is one trial, and its colour says how far it was allowed to go; {better} is "
        "better, and warm colours should be where the good values are.",
        _legend(table) + page.slot("curves", figure),
        notes,
    )


def add_best_so_far(page: Page, study: StudyView, table: Table) -> None:
    """Add how the search as a whole went on."""
    pair = (
        f'<div class="pair">{page.slot("time", best_over_time(table, study.clock))}'
        f"{page.slot('units', best_over_units(table))}</div>"
    )
    notes = []
    lowest = float(np.nanmin(table.curve_loss))
    deep = not minimises(getattr(study, "spec", {}))  # whose trials had units to choose from
    best = study.best
    if deep and best is not None and best.loss is not None and lowest < best.loss:
        notes.append(
            f"The curves end at {number(float(table.shown(np.array(lowest))))}, which one trial "
            "passed through; the best configuration above is chosen by the last values of the "
            "trials that went deep, since a single good moment may be luck."
        )
    if len(study.sessions) > 1:
        notes.append("Dotted lines are where a later session took over.")
    page.section(
        "Best so far, over time and over units",
        "Each step is a moment at which some trial reported a better value than any before, at "
        "any depth; a long flat end means that going on has stopped paying.",
        pair,
        notes,
    )


def add_parallel(page: Page, table: Table, order: list[str]) -> None:
    """Add all hyperparameters side by side, the most important first."""
    figure, notes = parallel(table, order)
    page.section(
        "All hyperparameters at once",
        "Each line is one trial and crosses every axis at its value; where the strong lines meet "
        "on an axis, that is where good values lie. Tap a name in the legend to hide its lines.",
        page.slot("parallel", figure, 100 * min(len(order) + 1, 15)),
        notes,
    )


def add_importance(page: Page, found: Importances) -> None:
    """Add the shares, or why there are none."""
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


def add_landscape(page: Page, table: Table, order: list[str]) -> None:
    """Add the two most important numbers that every trial has together, if there are enough."""
    ranked = table.ranked()
    axes = {axis.name: axis for axis in table.axes if not axis.options}
    whole = [name for name in order if name in axes and _everywhere(table, name, ranked)]
    if len(whole) < 2 or len(ranked) < FEWEST:
        return
    pair = axes[whole[0]], axes[whole[1]]
    page.section(
        "Two hyperparameters together",
        "The stronger the colour, the better the value to expect there after the most units, on "
        "average over all other hyperparameters; dots are trials, and the star is the best. A "
        "slanting ridge means that the two depend on each other.",
        page.slot("landscape", landscape(table, *pair)),
        ["Expected by a forest of randomised trees; far from all dots it is a guess."],
    )


def _everywhere(table: Table, name: str, rows: np.ndarray) -> bool:
    return bool(np.isfinite(table.values[name][rows]).all())


def add_slices(page: Page, table: Table, order: list[str]) -> None:
    """Add a small picture for each hyperparameter, the most important first."""
    axes = {axis.name: axis for axis in table.axes}
    cells = [
        f"<div>{_title(axes[name])}{page.slot(f'slice-{i}', slice_of(table, axes[name]))}</div>"
        for i, name in enumerate(order[:SLICES])
    ]
    left = len(order) - len(cells)
    page.section(
        "One hyperparameter at a time",
        "Each dot is one trial's last value; warm, large dots had many units, and a valley among "
        "them (or a peak, where higher is better) is the region to look in.",
        _legend(table) + f'<div class="slices">{"".join(cells)}</div>',
        [f"{count(left, 'less important hyperparameter')} not shown."] if left > 0 else [],
    )


def add_lanes(page: Page, study: StudyView, table: Table) -> None:
    """Add what each lane did, and when."""
    figure, notes = lanes(table, study.spans)
    legend = "" if notes else _legend(table, best=False)
    page.section(
        "Time line of lanes",
        "Each bar is one job, coloured by how deep its trial went; a lane has several rows where "
        "programs take turns on it. Gaps are time in which a lane had nothing to do or a program "
        "was being compiled.",
        legend + page.slot("lanes", figure),
        notes,
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
    few = [
        f"Of {found.parameters:,} hyperparameters these are the {len(found.records)} whose values "
        "go most closely with the value of a trial; the others are not shown."
    ]
    return few * (found.parameters > len(found.records)) + [
        f"From {found.trials:,} trials, by a forest of randomised trees on resampled "
        f"trials. {scale} The shares need not add up to 100%: the rest belongs to "
        "combinations of hyperparameters."
    ]
