"""`parafree show`: one study in a few lines."""

from __future__ import annotations

from typing import Annotated

import typer

from parafree.cli._options import JsonOption, StoreOption, StudyArgument, print_json

_COLUMNS = 12  # parameters in the table; --json lists them all


def show(
    study: StudyArgument,
    store: StoreOption = None,
    top: Annotated[int, typer.Option(help="How many of the best trials to list.")] = 10,
    as_json: JsonOption = False,
) -> None:
    """Show what a study found, what it cost, and its best trials."""
    from dataclasses import asdict

    from parafree.cli._summary import lines, number, ranking
    from parafree.study._goals import Goals
    from parafree.study.study import Study

    opened = Study.open(study, store)
    best, ranked = opened.best, ranking(opened)[:top]
    if as_json:
        print_json(
            {
                "study": opened.name,
                "units": opened.units,
                "trials": len(opened.trials),
                "best": best and asdict(best),
                "uncertainty": opened.uncertainty and opened.uncertainty._asdict(),
                "top": [asdict(trial) for trial in ranked],
                "failures": [
                    {"trial": trial.id, "message": message} for trial, message in opened.failures
                ],
            }
        )
        return
    for line in lines(opened):
        typer.echo(line)
    if not ranked:
        return
    from rich.console import Console
    from rich.table import Table

    names = opened.space.names[:_COLUMNS]
    figures = [name for name in Goals.from_spec(opened.spec).names if name != opened.objective]
    table = Table("trial", "units", opened.objective, *figures, "status", *names, box=None)
    for trial in ranked:
        values = [number(trial.hparams.get(name, "")) for name in names]
        losses = [trial.loss, *(trial.metrics[name] for name in figures)]
        shown = [number(float(each)) for each in losses]
        table.add_row(str(trial.id), f"{trial.units:,}", *shown, trial.status, *values)
    # A row that is wider than the terminal wraps; cut-off numbers would say nothing.
    width = max(Console().width, 14 * (len(names) + len(figures) + 4))
    Console(width=width).print(table)
    for trial, message in opened.failures[:top]:
        typer.echo(f"trial {trial.id} {trial.status}: {message.splitlines()[0]}")
