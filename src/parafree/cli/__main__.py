"""The command line of parafree."""

from __future__ import annotations

import sys

import typer

from parafree.cli import delete, export, methods, minimize, report, show, studies, tune, verify

app = typer.Typer(
    name="parafree",
    help="Find the parameters of a program, with as little as possible left to set by hand.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("tune")(tune.tune)
app.command("minimize")(minimize.minimize)
app.command("studies")(studies.studies)
app.command("show")(show.show)
app.command("report")(report.report)
app.command("export")(export.export)
app.command("delete")(delete.delete)
app.command("methods")(methods.methods)
app.command("verify")(verify.verify)


@app.callback(invoke_without_command=True)
def _version(
    version: bool = typer.Option(False, "--version", help="Print the version and leave."),
) -> None:
    if version:
        from parafree import __version__

        typer.echo(f"parafree {__version__}")
        raise typer.Exit


def main() -> None:
    """Run the command line; an error on purpose is one message, not a traceback."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        from parafree.core.errors import ParafreeError

        if not isinstance(error, ParafreeError):
            raise
        print(f"parafree: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
