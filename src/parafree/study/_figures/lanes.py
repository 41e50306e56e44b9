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
        spans: one row per job, with the units it added, and seconds counted from the beginning
            of its session.

    Returns:
        The figure, and remarks on what it leaves out.
    """
    spans = np.sort(spans, order=["session", "begin_s"])
    offset, breaks = _offsets(spans["session"], spans["end_s"])
    begin, end = spans["begin_s"] + offset, spans["end_s"] + offset
    notes = []
    if len(spans) <= BARS:
        row, names = _rows(spans["lane"], begin, end)
        fig = figure(_height(len(names)), barmode="overlay")
        _add_bars(fig, table, spans, row, begin, end)
    else:
        names = list(range(int(spans["lane"].max()) + 1))
        fig = figure(_height(len(names)))
        _add_heat(fig, spans["lane"], begin, end)
        notes.append(
            f"{number(len(begin))} jobs are too many to draw one by one: the stronger the "
            "colour, the larger the part of that time the lane was busy."
        )
    for moment in breaks:
        fig.add_vline(x=moment, line={"color": RULE, "width": 1, "dash": "dot"})
    fig.update_xaxes(title_text="seconds", showgrid=False, rangemode="tozero")
    step = max(1, round(len(names) / 16))
    fig.update_yaxes(
        title_text="lane",
        showgrid=False,
        autorange="reversed",
        tickvals=list(range(0, len(names), step)),
        ticktext=[str(name) for name in names[::step]],
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


def _height(rows: int) -> int:
    return min(110 + 22 * rows, max(760, min(90 + 7 * rows, 1200)))


def _rows(lane: np.ndarray, begin: np.ndarray, end: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """Give every job a row in which nothing covers it, and every row the number of its lane.

    A lane has one row, and more where its jobs overlap: lanes of programs that take turns.
    """
    free: dict[int, list[float]] = {}
    places = []
    for one, start, stop in zip(lane.tolist(), begin.tolist(), end.tolist(), strict=True):
        rows = free.setdefault(one, [])
        place = next((i for i, until in enumerate(rows) if until <= start + 1e-9), len(rows))
        rows[place : place + 1] = [stop]
        places.append(place)
    names = [one for one in sorted(free) for _ in free[one]]
    first = {one: names.index(one) for one in free}
    row = np.array([first[one] for one in lane.tolist()], dtype=int) + np.array(places, dtype=int)
    return row, names


def _depth(spans: np.ndarray) -> np.ndarray:
    """Return the units that a job's trial had in all when the job was over."""
    order = np.argsort(spans["trial"], kind="stable")
    total = np.cumsum(spans["units"][order])
    trial = spans["trial"][order]
    first = np.searchsorted(trial, trial, side="left")
    depth = np.empty(len(spans))
    depth[order] = total - np.where(first > 0, total[first - 1], 0)
    return depth


def _add_bars(
    fig: go.Figure,
    table: Table,
    spans: np.ndarray,
    row: np.ndarray,
    begin: np.ndarray,
    end: np.ndarray,
) -> None:
    depth = _depth(spans)
    band = table.bands.of(depth)
    for i, (label, colour) in enumerate(zip(table.bands.labels, table.bands.colours, strict=True)):
        here = band == i
        if here.any():
            fig.add_bar(
                base=begin[here],
                x=(end - begin)[here],
                y=row[here],
                orientation="h",
                width=0.82,
                name=label,
                marker={"color": colour, "line": {"width": 0}},
                opacity=0.9,
                customdata=np.column_stack([spans["trial"], depth, begin, end, spans["lane"]])[
                    here
                ],
                hovertemplate="lane %{customdata[4]:.0f}: trial %{customdata[0]:.0f}, "
                "to %{customdata[1]:.0f} units<br>"
                "%{customdata[2]:.2f} s to %{customdata[3]:.2f} s<extra></extra>",
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
