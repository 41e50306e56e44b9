"""Parallel coordinates: every trial as one line through all of its hyperparameters."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go

from parafree.study._figures._style import (
    ACCENT,
    BEST,
    QUIET,
    RAMP,
    RULE,
    figure,
    linear_ticks,
    number,
    plain,
    scale,
)
from parafree.study._figures._table import Table, describe, spread

LINES = 260
MOST_AXES = 14
_ABSENT = -0.13  # where lines pass an axis whose parameter is not active
_GROUPS = (
    (0.05, "best 5%", RAMP[5], 1.8, 0.9),
    (0.25, "next 20%", ACCENT, 1.3, 0.65),
    (1.01, "the others", QUIET, 1.0, 0.35),
)


def parallel(table: Table, names: list[str]) -> tuple[go.Figure, list[str]]:
    """Draw the trials as lines across one axis per hyperparameter, and the loss as the last one.

    Args:
        table: the study as columns.
        names: the hyperparameters in the order of their axes.

    Returns:
        The figure, and remarks on what it leaves out.
    """
    notes = []
    if len(names) > MOST_AXES:
        notes.append(f"The {MOST_AXES} most important of {len(names)} hyperparameters are shown.")
    axes = {axis.name: axis for axis in table.axes}
    shown = [axes[name] for name in names[:MOST_AXES]]
    ranked = table.ranked()
    drawn = spread(ranked, LINES // 3, LINES)
    if len(drawn) < len(ranked):
        notes.append(
            f"{number(len(drawn))} of {number(len(ranked))} trials are drawn: the best "
            f"{LINES // 3}, and an even choice of the others."
        )
    fig = figure(440, margin={"l": 34, "r": 34, "t": 40, "b": 12})
    heights = [
        _spread_ties(
            axis.place(table.values[axis.name][drawn]), table.trial[drawn], len(axis.options)
        )
        for axis in shown
    ]
    loss_axis, _ = scale(table.shown(table.loss[ranked]), clip=table.bad_side)
    heights.append(_loss_place(table.shown(table.loss[drawn]), loss_axis))
    y = np.nan_to_num(np.column_stack(heights), nan=_ABSENT)
    rank = np.searchsorted(np.sort(table.loss[ranked]), table.loss[drawn])
    _add_lines(fig, table, drawn, y, rank / max(len(ranked), 1), [axis.name for axis in shown])
    labels = [plain(axis.name, 15) for axis in shown] + [f"<b>{plain(table.objective, 15)}</b>"]
    _add_axes(fig, labels, absent=bool((y == _ABSENT).any()))
    for i, axis in enumerate(shown):
        values, texts = axis.ticks(4)
        _add_ticks(fig, i, axis.place(np.array(values)), texts)
        if (y[:, i] == _ABSENT).any():
            _add_ticks(fig, i, np.array([_ABSENT]), ["<i>off</i>"])
    _add_ticks(fig, len(shown), *_loss_ticks(loss_axis))
    return fig, notes


def _spread_ties(place: np.ndarray, trial: np.ndarray, options: int) -> np.ndarray:
    """Fan lines out inside a category, always the same way, so that they can be told apart."""
    if not options:
        return place
    return place + ((trial * 0.618034) % 1.0 - 0.5) * 0.5 / options


def _add_lines(
    fig: go.Figure,
    table: Table,
    rows: np.ndarray,
    y: np.ndarray,
    rank: np.ndarray,
    names: list[str],
) -> None:
    x = np.append(np.arange(y.shape[1], dtype=float), np.nan)
    upper = 0.0
    groups = []
    for until, name, colour, width, opacity in _GROUPS:
        groups.append(
            (np.flatnonzero((rank >= upper) & (rank < until)), name, colour, width, opacity)
        )
        upper = until
    for rank_group, (members, name, colour, width, opacity) in enumerate(reversed(groups)):
        if members.size == 0:
            continue
        padded = np.column_stack([y[members], np.full(len(members), np.nan)])
        text = [_crossing(table, int(r), names) for r in rows[members]]
        fig.add_scatter(
            x=np.tile(x, len(members)),
            y=padded.ravel(),
            mode="lines",
            name=name,
            line={"color": colour, "width": width},
            opacity=opacity,
            text=[line for lines in text for line in lines],
            hovertemplate="%{text}<extra></extra>",
            legendrank=100 - rank_group,
        )
    for row in np.flatnonzero(table.trial[rows] == table.best):
        fig.add_scatter(
            x=x[:-1],
            y=y[row],
            mode="lines",
            name="the best",
            line={"color": BEST, "width": 3.4},
            hovertemplate=f"best: trial {table.best}<br>"
            f"{describe(table.trials[int(rows[row])].hparams)}<extra></extra>",
            legendrank=1,
        )


def _crossing(table: Table, row: int, names: list[str]) -> list[str]:
    """What to say where a trial's line crosses each axis, the loss, and the gap after it."""
    trial = table.trials[row]
    who = f"trial {trial.id} · {table.label} {number(float(table.shown(table.loss[row])))}"
    crossings = [
        f"{name} = {plain(number(trial.hparams[name]), 30)}"
        if name in trial.hparams
        else f"{name} is off"
        for name in names
    ]
    return [f"{who}<br>{crossing}" for crossing in crossings] + [who, ""]


def _add_axes(fig: go.Figure, labels: list[str], absent: bool) -> None:
    for i, label in enumerate(labels):
        fig.add_shape(
            type="line", x0=i, x1=i, y0=0, y1=1, layer="below", line={"color": RULE, "width": 1.2}
        )
        fig.add_annotation(
            x=i, y=1.04, text=label, showarrow=False, yanchor="bottom", font={"size": 12.5}
        )
    last = len(labels) - 1
    fig.update_xaxes(visible=False, range=[-0.25, last + 0.3], fixedrange=True)
    fig.update_yaxes(visible=False, range=[-0.19 if absent else -0.06, 1.12], fixedrange=True)
    fig.update_layout(showlegend=True, legend={"y": 1.06, "itemsizing": "constant"})


def _add_ticks(fig: go.Figure, axis: int, places: np.ndarray, texts: list[str]) -> None:
    for place, text in zip(places.tolist(), texts, strict=True):
        fig.add_annotation(
            x=axis,
            y=place,
            text=text,
            showarrow=False,
            xanchor="left",
            xshift=3,
            opacity=0.9,
            font={"size": 11},
            name="tick",
        )


def _loss_place(values: np.ndarray, axis: dict[str, Any]) -> np.ndarray:
    if "range" not in axis:
        return values * 0
    low, high = axis["range"]
    with np.errstate(all="ignore"):
        place = np.log10(values) if axis["type"] == "log" else values
    return np.clip((place - low) / (high - low), 0.0, 1.0)


def _loss_ticks(axis: dict[str, Any]) -> tuple[np.ndarray, list[str]]:
    if "range" not in axis:
        return np.zeros(0), []
    low, high = axis["range"]
    values = axis["tickvals"] if axis["type"] == "log" else linear_ticks(low, high, 5)
    places = _loss_place(np.array(values), axis)
    return places, [number(value, 3) for value in values]
