"""`parafree studies`: list the studies in a store."""

from __future__ import annotations

import typer

from parafree.cli._options import JsonOption, StoreOption, print_json


def studies(store: StoreOption = None, as_json: JsonOption = False) -> None:
    """List the studies in a store."""
    from parafree.study.store import Store

    opened = Store.open(store, create=False)
    rows = [(record.name, opened.summary(record.id)) for record in opened.studies()]
    if as_json:
        print_json([{"study": name} | summary._asdict() for name, summary in rows])
        return
    if not rows:
        typer.echo(f"no studies in {opened.where}")
        return
    import datetime

    from rich.console import Console
    from rich.table import Table

    table = Table("study", "trials", "units", "best loss", "trial", "last activity")
    for name, summary in rows:
        when = datetime.datetime.fromtimestamp(summary.last_activity)
        table.add_row(
            name,
            f"{summary.trials:,}",
            f"{summary.units:,}",
            "-" if summary.best_loss is None else f"{summary.best_loss:.6g}",
            "-" if summary.best_trial is None else str(summary.best_trial),
            f"{when:%Y-%m-%d %H:%M:%S}",
        )
    Console().print(table)
