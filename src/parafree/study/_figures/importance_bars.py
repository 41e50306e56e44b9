"""Importance: how much of the loss each hyperparameter explains."""

from __future__ import annotations

import plotly.graph_objects as go

from parafree.study._figures._style import ACCENT, RULE, figure, plain
from parafree.study.importance import Importances

MOST = 20


def importance_bars(found: Importances) -> go.Figure:
    """Draw one bar per hyperparameter, with the 90% interval of its share.

    Args:
        found: the shares.

    Returns:
        The figure.
    """
    records = found.records[:MOST][::-1]
    shares = [100 * r.share for r in records]
    fig = figure(70 + 34 * len(records), bargap=0.45)
    fig.add_bar(
        x=shares,
        y=[plain(r.name, 24) for r in records],
        orientation="h",
        marker={"color": ACCENT, "cornerradius": 3},
        error_x={
            "type": "data",
            "symmetric": False,
            "color": RULE,
            "thickness": 1.5,
            "width": 4,
            "array": [100 * (r.high - r.share) for r in records],
            "arrayminus": [100 * (r.share - r.low) for r in records],
        },
        customdata=[[100 * r.low, 100 * r.high] for r in records],
        hovertemplate="%{y}: %{x:.1f}%<br>90% interval %{customdata[0]:.1f}% to "
        "%{customdata[1]:.1f}%<extra></extra>",
    )
    top = max([100 * r.high for r in records], default=100.0)
    fig.update_xaxes(title_text="share of the variance (%)", range=[0, min(100, top * 1.05 + 1)])
    fig.update_yaxes(showgrid=False, type="category", dtick=1)
    return fig
