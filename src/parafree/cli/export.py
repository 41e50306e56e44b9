"""`parafree export`: the trials of a study as a table."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from parafree.cli._options import JsonOption, StoreOption, StudyArgument


def export(
    study: StudyArgument,
    csv: Annotated[bool, typer.Option("--csv", help="Write CSV (the default).")] = True,
    store: StoreOption = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="The file; standard output by default."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write one row for each trial: status, units, loss, hyperparameters, metrics."""
    from parafree.study.study import Study

    frame = Study.open(study, store).to_dataframe()
    text = frame.to_json(orient="records", indent=2) if as_json else frame.to_csv(index=False)
    if output is None:
        sys.stdout.write(text)
    else:
        output.write_text(text, encoding="utf-8")
        typer.echo(f"{len(frame):,} trials in {output}", err=True)
