"""Time line: what each lane did, and when."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from parafree.study._figures._style import ACCENT, RULE, figure, number
from parafree.study._figures._table import Table

BARS = 1500
BINS = 300


def lanes(table: Table, spans: np.ndarray) -> tuple[go.Figure, list[str]]:
    """Draw the jobs of every lane along the time of work; as a heat map if they are many.

    Args:
        table: the study as columns.
        spans: one row per job, seconds counted from the beginning of its session.

    Returns:
        The figure, and remarks on what it leaves out.
    """
    session = spans["session"]
    begin, end = spans["begin_s"], spans["end_s"]
    lane = spans["lane"]
    offset, breaks = _offsets(session, end)
    begin, end = begin + offset, end + offset
    rows = int(lane.max()) + 1 if lane.size else 0
    fig = figure(min(110 + 22 * rows, 760), bargap=0.18, barmode="overlay")
    notes = []
    if len(begin) <= BARS:
        _add_bars(fig, table, spans, begin, end)
    else:
        _add_heat(fig, lane, begin, end)
        notes.append(
            f"{number(len(begin))} jobs are too many to draw one by one: "
            "the darker a place, the larger the part of that time the lane was busy."
        )
    for moment in breaks:
        fig.add_vline(x=moment, line={"color": RULE, "width": 1, "dash": "dot"})
    fig.update_xaxes(title_text="seconds", showgrid=False, rangemode="tozero")
    fig.update_yaxes(
        title_text="lane", showgrid=False, autorange="reversed", dtick=max(1, round(rows / 16))
    )
    return fig, notes


def _offsets(session: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, list[float]]:
    """Lay the sessions end to end."""
    offset, breaks, so_far = np.zeros(len(end)), [], 0.0
    for one in np.unique(session):
        here = session == one
        if so_far:
            breaks.append(so_far)
        offset[here] = so_far
        so_far += float(end[here].max())
    return offset, breaks


def _add_bars(
    fig: go.Figure, table: Table, spans: np.ndarray, begin: np.ndarray, end: np.ndarray
) -> None:
    units, trial = spans["units"].astype(float), spans["trial"]
    lane = spans["lane"]
    band = table.bands.of(units)
    for i, (label, colour) in enumerate(zip(table.bands.labels, table.bands.colours, strict=True)):
        here = band == i
        if here.any():
            fig.add_bar(
                base=begin[here],
                x=(end - begin)[here],
                y=lane[here],
                orientation="h",
                name=label,
                marker={"color": colour, "line": {"width": 0}},
                opacity=0.9,
                customdata=np.column_stack([trial[here], units[here], begin[here], end[here]]),
                hovertemplate="lane %{y}: trial %{customdata[0]:.0f}, to %{customdata[1]:.0f} "
                "units<br>%{customdata[2]:.2f} s to %{customdata[3]:.2f} s<extra></extra>",
            )


def _add_heat(fig: go.Figure, lane: np.ndarray, begin: np.ndarray, end: np.ndarray) -> None:
    width = float(end.max()) / BINS or 1.0
    busy = np.zeros((int(lane.max()) + 1, BINS + 2))
    # The busy time up to a moment is a sum of ramps, one up per begin and one down per end.
    for moments, sign in ((begin, 1.0), (end, -1.0)):
        place = moments / width
        cell = np.minimum(place.astype(int), BINS)
        part = place - cell
        np.add.at(busy, (lane, cell), sign * (1.0 - part))
        np.add.at(busy, (lane, cell + 1), sign * part)
    share = np.clip(np.cumsum(busy, axis=1)[:, :BINS], 0.0, 1.0)
    fig.add_heatmap(
        z=share.round(3),
        x0=width / 2,
        dx=width,
        y0=0,
        dy=1,
        zmin=0,
        zmax=1,
        ygap=2,
        colorscale=[[0, "rgba(74,144,226,0)"], [1, ACCENT]],
        showscale=False,
        hovertemplate="lane %{y}, %{x:.4g} s<br>busy %{z:.0%}<extra></extra>",
    )
