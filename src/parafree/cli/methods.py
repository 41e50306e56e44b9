"""`parafree methods`: search the catalogue."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from parafree.cli._options import JsonOption, print_json


def methods(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[WORD]...", help="Show only methods that mention every word."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List the methods, what they are free of, and where they come from."""
    from parafree.core.catalogue import cards

    rows: list[dict[str, Any]] = [
        {
            "method": card.name,
            "room": card.room,
            "contract": card.contract,
            "summary": card.summary,
            "free_of": sorted(card.free_of),
            "needs": sorted(card.needs),
            "paper": card.paper,
        }
        for card in cards()
    ]
    wanted = [word.lower() for word in words or []]
    rows = [row for row in rows if all(word in str(row).lower() for word in wanted)]
    if as_json:
        print_json(rows)
        return
    if not rows:
        typer.echo("no method mentions " + " and ".join(words or []))
        raise typer.Exit(1)
    from rich.console import Console
    from rich.table import Table

    table = Table("method", "room", "what it does", "free of", "paper")
    for row in rows:
        free = ", ".join(row["free_of"])
        table.add_row(row["method"], row["room"], row["summary"], free, row["paper"])
    Console().print(table)
