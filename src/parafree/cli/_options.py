"""Options that several commands share."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

StoreOption = Annotated[
    str | None,
    typer.Option(
        "--store",
        envvar="PARAFREE_STORE",
        metavar="PATH|URL",
        help="The database of studies; parafree.db in this folder by default.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
StudyArgument = Annotated[str, typer.Argument(metavar="STUDY", help="The study's name.")]


def print_json(value: Any) -> None:
    """Print a value as one JSON document."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2, default=str))
