"""The report: a study as one HTML page that needs no network.

The page holds everything it shows. Every text that comes from a study (its name, parameters,
options, messages) is escaped where it is put into the page.
"""

from __future__ import annotations

import datetime
import json
import os
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from parafree.core.errors import StudyError

if TYPE_CHECKING:
    from parafree.study._view import StudyView


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
        About 5 MB and two or three seconds, whatever the number of trials: the figures draw
        choices. Reading a thousand trials of ten thousand parameters takes some seconds more.
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


def _render(study: StudyView) -> str:
    import plotly.offline

    from parafree.study._figures import _page, _sections
    from parafree.study._figures._front import add_front
    from parafree.study._figures._gather import Page
    from parafree.study._figures._headline import headline
    from parafree.study._figures._table import table_of
    from parafree.study._figures._tables import add_best_table, add_failures
    from parafree.study._findings import minimises
    from parafree.study.importance import MOST_PARAMETERS as MOST
    from parafree.study.importance import importance

    page, found = Page(), importance(study)
    known = [record.name for record in found.records]
    order = known + [name for name in study.space.names if name not in set(known)]
    table = table_of(study, order[:MOST])
    page.parts.append(headline(study, table))
    add_front(page, study, order)
    if np.isfinite(table.curve_loss).any():
        if not minimises(getattr(study, "spec", {})):  # whose trials are points, not curves
            _sections.add_curves(page, study, table)
        _sections.add_best_so_far(page, study, table)
        if table.axes:
            _sections.add_parallel(page, table, order)
            _sections.add_importance(page, found)
            if found.records:
                _sections.add_landscape(page, table, order)
            _sections.add_slices(page, table, order)
    if len(study.spans):
        _sections.add_lanes(page, study, table)
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
