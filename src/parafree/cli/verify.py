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
    """Measure what the papers claim, on this machine, and say whether it holds.

    Ctrl-C ends it; what was measured until then is shown, and kept where --write says.
    """
    from parafree.claims.run import as_dict, measure, select, table, write_page

    def tell(text: str) -> None:
        if not as_json:
            typer.echo(text, err=True)

    results, chosen, stopped = [], select(names or [], room), False
    try:
        for number, claim in enumerate(chosen, start=1):
            result = measure(claim, fast=fast, progress=tell)
            results.append(result)
            if write is not None:
                write_page(results, write)
            verdict = "holds" if result.measurement.holds else "does NOT hold"
            tell(f"{claim.name}: {verdict}, {result.seconds:.0f} s, {number} of {len(chosen)}")
    except KeyboardInterrupt:
        stopped = True
        tell(f"stopped after {len(results)} of {len(chosen)} claims")
    if as_json:
        print_json([as_dict(result) for result in results])
    elif results:
        typer.echo(table(results))
    if stopped:
        raise typer.Exit(130)
