"""`parafree verify`: measure the claims of the papers again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from parafree.cli._options import JsonOption, print_json


def verify(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[METHOD]...", help="Claims to measure; all of them by default."),
    ] = None,
    room: Annotated[str | None, typer.Option(help="Only the claims of this room.")] = None,
    fast: Annotated[
        bool, typer.Option("--fast", help="A smaller experiment, under 20 s a claim.")
    ] = False,
    write: Annotated[
        Path | None,
        typer.Option(metavar="FILE.md", help="Write the results as a page, e.g. docs/claims.md."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Measure what the papers claim, on this machine, and say whether it holds."""
    from parafree.claims.run import as_dict, measure, select, table, write_page

    chosen = select(names or [], room)
    results = [
        measure(claim, fast=fast, progress=None if as_json else lambda t: typer.echo(t, err=True))
        for claim in chosen
    ]
    if as_json:
        print_json([as_dict(result) for result in results])
    else:
        typer.echo(table(results))
    if write is not None:
        write_page(results, write)
