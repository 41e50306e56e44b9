"""Best so far: what the search had found after so much time, and after so many units."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from parafree.study._figures._style import ACCENT, BEST, RULE, figure, scale
from parafree.study._figures._table import Table

STEPS = 2000


def best_over_time(table: Table, clock: np.ndarray) -> go.Figure:
    """Draw the best loss against seconds of work, over all sessions.

    Args:
        table: the study as columns.
        clock: columns ``seq``, ``session`` and ``elapsed_s``, as the store keeps them.

    Returns:
        The figure.
    """
    seq, loss, _ = _history(table)
    times, breaks = running_time(clock)
    known = clock["seq"].astype(float)
    order = np.argsort(known, kind="stable")
    at = np.full(len(seq), np.nan)
    if known.size:
        at = np.interp(seq, known[order], times[order])
    fig = _steps(table, at, loss, "seconds", "%{x:.4g} s")
    for moment in breaks:
        fig.add_vline(x=moment, line={"color": RULE, "width": 1, "dash": "dot"})
    return fig


def best_over_units(table: Table) -> go.Figure:
    """Draw the best loss against units spent by all trials together.

    Args:
        table: the study as columns.

    Returns:
        The figure.
    """
    _, loss, spent = _history(table)
    return _steps(table, spent, loss, "units, all trials together", "%{x:,.0f} units")


def running_time(clock: np.ndarray) -> tuple[np.ndarray, list[float]]:
    """Lay the sessions end to end, without the pauses between them.

    Args:
        clock: columns ``session`` and ``elapsed_s``, counted from each session's beginning.

    Returns:
        Seconds of work for each row, and the moments at which a later session began.
    """
    session = clock["session"]
    elapsed = clock["elapsed_s"]
    times = np.zeros(len(elapsed))
    breaks: list[float] = []
    offset = 0.0
    for one in np.unique(session):
        here = session == one
        if offset:
            breaks.append(offset)
        times[here] = offset + elapsed[here]
        offset = float(times[here].max())
    return times, breaks


def _history(table: Table) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Reports in the journal's order: place, best loss so far, units spent so far."""
    new_trial = np.diff(table.curve_trial, prepend=-1) != 0
    before = np.where(new_trial, 0.0, np.roll(table.curve_units, 1))
    gained = np.maximum(table.curve_units - before, 0.0)
    order = np.argsort(table.curve_seq, kind="stable")
    loss = np.fmin.accumulate(table.curve_loss[order]) if len(order) else np.zeros(0)
    return table.curve_seq[order], loss, np.cumsum(gained[order])


def _steps(table: Table, at: np.ndarray, loss: np.ndarray, title: str, where: str) -> go.Figure:
    fig = figure(320)
    good = np.isfinite(loss) & np.isfinite(at)
    at, loss = at[good], loss[good]
    better = np.diff(loss, prepend=np.inf) < 0
    x, y = at[better][-STEPS:], table.shown(loss[better][-STEPS:])
    if x.size:
        line_x, line_y = np.append(x, at[-1]), np.append(y, y[-1])
        fig.add_scatter(
            x=line_x,
            y=line_y,
            mode="lines",
            line={"shape": "hv", "color": ACCENT, "width": 2.2},
            hovertemplate=f"{table.label} %{{y:.4g}}<br>{where}<extra></extra>",
        )
        fig.add_scatter(
            x=x[-1:],
            y=y[-1:],
            mode="markers",
            hoverinfo="skip",
            marker={"color": BEST, "size": 10},
        )
    axis, _ = scale(y, clip=table.bad_side)
    fig.update_xaxes(title_text=title, rangemode="tozero", tickformat=",~r")
    fig.update_yaxes(title_text=f"best {table.label}", **axis)
    return fig
