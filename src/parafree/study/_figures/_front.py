"""The table of a front: what a minimisation with several objectives has found."""

from __future__ import annotations

from html import escape
from typing import Any

from parafree.study._figures._gather import Page
from parafree.study._figures._style import count, number
from parafree.study._findings import front
from parafree.study._goals import Goals

_ROWS = 100
_COLUMNS = 10  # hyperparameters in the table


def add_front(page: Page, study: Any, order: list[str]) -> None:
    """Add the table of the front, if the study has several objectives and found any point.

    Args:
        page: gathers the sections.
        study: the study.
        order: the hyperparameters, most important first.
    """
    goals = Goals.from_spec(study.spec) if hasattr(study, "spec") else Goals()
    found = front(study.trials, goals) if goals.several else []
    if not found:
        return
    step = -(-len(found) // _ROWS)
    names = order[:_COLUMNS]
    columns = ("trial", *goals.names, *names)
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    rows = []
    for trial in found[::step]:
        cells = [trial.metrics[name] for name in goals.names]
        cells += [trial.hparams.get(name, "–") for name in names]
        text = "".join(f"<td>{escape(number(cell))}</td>" for cell in cells)
        rows.append(f"<tr><td>{trial.id}</td>{text}</tr>")
    page.section(
        f"The front of {' and '.join(goals.objectives)}",
        "What cannot be improved in one objective without loss in another one, within all limits; "
        "sorted by the first objective.",
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>",
        [f"Every {step}th of {count(len(found), 'point')}."] * (step > 1)
        + [f"{count(len(order) - _COLUMNS, 'hyperparameter')} left out."] * (len(order) > _COLUMNS),
    )
