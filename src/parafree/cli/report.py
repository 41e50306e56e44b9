"""`parafree report`: write a study as one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from parafree.cli._options import JsonOption, StoreOption, StudyArgument, print_json


def report(
    study: StudyArgument,
    store: StoreOption = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The file to write.", show_default=False)
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Write a study as one HTML page that needs no network."""
    from parafree.study.study import Study

    page = Study.open(study, store).report(output)
    if as_json:
        print_json({"study": study, "report": str(page)})
    else:
        typer.echo(page)
