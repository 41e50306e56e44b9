"""`parafree minimize`: find where a function or a program gives its smallest value."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from parafree.cli._inputs import arguments, load, read_first, read_space, resume
from parafree.cli._options import JsonOption, StoreOption, print_json

if TYPE_CHECKING:
    from parafree.core.space import Space
    from parafree.study.minimum import Minimum


def minimize(
    function_file: Annotated[
        str | None,
        typer.Argument(
            metavar="[FILE.py[:NAME]]",
            help="A Python file (or module) with a function of a configuration.",
            show_default=False,
        ),
    ] = None,
    command: Annotated[
        str | None,
        typer.Option(
            metavar="LINE",
            help='A program that prints a number, e.g. "./simulate --angle {angle}". No shell.',
        ),
    ] = None,
    space: Annotated[
        Path | None, typer.Option(metavar="FILE.toml|.json", help="What may vary.")
    ] = None,
    time: Annotated[
        str | None, typer.Option(help="Stop after this long, e.g. 60s, 10m, 1h30m (this call).")
    ] = None,
    evaluations: Annotated[
        int | None, typer.Option(help="Stop after so many evaluations (whole study).")
    ] = None,
    target: Annotated[
        float | None, typer.Option(metavar="VALUE", help="Stop at the first value this small.")
    ] = None,
    objectives: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,NAME",
            help="Figures to make small, where a mapping (or a JSON object) is given.",
        ),
    ] = None,
    constraint: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LIMIT",
            help='A limit of a figure, e.g. "latency <= 0.1" or "speed >= 3". Repeatable.',
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--name", "--study", help="The study's name; the file's by default."),
    ] = None,
    store: StoreOption = None,
    first: Annotated[
        Path | None,
        typer.Option(help="JSON file with configurations to try first: an object, or a list."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything random; 0 by default.")] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes that evaluate; one a core.")
    ] = None,
    timeout: Annotated[
        float | None, typer.Option(help="Seconds after which an evaluation counts as hung.")
    ] = None,
    report: Annotated[bool, typer.Option(help="Write the HTML report at the end.")] = True,
    as_json: JsonOption = False,
) -> None:
    """Find where a function or a program gives its smallest value.

    Run it again with the same arguments to go on where it stopped.
    """
    from parafree.core.errors import StudyError
    from parafree.study.minimize import minimize as run

    f, default_name, own_space = _function(function_file, command, space)
    try:
        found = run(
            f,
            own_space,
            time=time,
            evaluations=evaluations,
            target=target,
            name=default_name if name is None else name,
            store=store,
            first=None if first is None else read_first(first),
            seed=seed,
            workers=workers,
            timeout=timeout,
            objectives=None if objectives is None else [n.strip() for n in objectives.split(",")],
            constraints=constraint or None,
            progress=not as_json,
        )
    except KeyboardInterrupt:
        typer.echo(f"\nstopped at once; what was reported is kept. {resume()}", err=True)
        raise typer.Exit(130) from None
    page = found.report() if report and found.trials else None
    if as_json:
        print_json(_summary(found, page))
    else:
        _print(found, page)
    if found.reason in ("interrupted", "terminated"):
        raise typer.Exit(130)
    if found.best is None:
        error = StudyError(
            "no evaluation gave a finite value",
            where=found.failures[0][1] if found.failures else f"study {found.name!r}",
            fix="see the messages above and the logs in " + str(found.folder),
        )
        typer.echo(f"parafree: {error}", err=True)
        raise typer.Exit(1)
    if not found.feasible:
        error = StudyError(
            "no evaluation kept all constraints",
            where=f"study {found.name!r}",
            fix="go on with a larger budget, or loosen a limit; the nearest is shown above",
        )
        typer.echo(f"parafree: {error}", err=True)
        raise typer.Exit(1)


def _function(
    target: str | None, command: str | None, space_file: Path | None
) -> tuple[Any, str | None, Space | None]:
    from parafree.core.errors import StudyError
    from parafree.study._printed import Program
    from parafree.study.trainables import load_function

    if (target is None) == (command is None):
        raise StudyError(
            "say what to minimise: either a Python file or --command",
            fix="parafree minimize simulate.py --time 60s",
        )
    space = None if space_file is None else read_space(space_file)
    if target is not None:
        place = target.rsplit(":", 1)[0] if not Path(target).exists() else target
        return load(target, load_function), Path(place).stem, space
    if space is None:
        raise StudyError("a command needs a space", fix="add --space space.toml")
    return Program.parse(str(command), space.names, fixed=space.fixed), None, space


def _summary(found: Minimum, page: Path | None) -> dict[str, Any]:
    best = found.best
    return {
        "study": found.name,
        "store": found.store.where,
        "reason": found.reason,
        "best": best
        and {"trial": best.id, "config": best.hparams, "loss": best.loss, "metrics": best.metrics},
        "feasible": found.feasible,
        "front": [
            {"trial": trial.id, "config": trial.hparams, "metrics": trial.metrics}
            for trial in found.front
        ],
        "evaluations": found.evaluations,
        "failed": len(found.failures),
        "method": found.method,
        "restarts": found.restarts,
        "found_again": found.found_again,
        "noise": found.noise,
        "error": found.error,
        "report": page and str(page),
    }


def _print(found: Minimum, page: Path | None) -> None:
    from parafree.cli._summary import minimum_lines
    from parafree.study._goals import Goals

    goals = Goals.from_spec(found.spec)
    for line in minimum_lines(found.best, found.error, found.front, goals):
        typer.echo(line)
    for line in found.explain():
        typer.echo(f"search   {line}")
    if page is not None:
        typer.echo(f"report   {page}")
    typer.echo(f"study    {found.name!r} in {found.store.where}")
    typer.echo(f"go on    parafree {arguments()}")
