"""`parafree tune`: search for the parameters of a program."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from parafree.cli._inputs import arguments, load, read_first, read_space, resume
from parafree.cli._options import JsonOption, StoreOption, print_json

if TYPE_CHECKING:
    from parafree.core.space import Space
    from parafree.study.study import Study


def tune(
    target_file: Annotated[
        str | None,
        typer.Argument(
            metavar="[FILE.py[:NAME]]",
            help="A Python file (or module) with a trainable; not used with --command.",
            show_default=False,
        ),
    ] = None,
    command: Annotated[
        str | None,
        typer.Option(
            metavar="LINE",
            help='A program in any language, e.g. "python train.py --lr {lr}". No shell is used.',
        ),
    ] = None,
    space: Annotated[
        Path | None, typer.Option(metavar="FILE.toml|.json", help="What may vary.")
    ] = None,
    time: Annotated[
        str | None, typer.Option(help="Stop after this long, e.g. 60s, 10m, 1h30m (this call).")
    ] = None,
    units: Annotated[
        int | None, typer.Option(help="Stop after so many units of resource (whole study).")
    ] = None,
    trials: Annotated[
        int | None, typer.Option(help="Start at most so many trials (whole study).")
    ] = None,
    target: Annotated[
        float | None, typer.Option(metavar="LOSS", help="Stop at the first loss this good.")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--study", help="The study's name; the file's by default.")
    ] = None,
    store: StoreOption = None,
    objective: Annotated[
        str | None, typer.Option(help="The metric to search for; 'loss' by default.")
    ] = None,
    maximize: Annotated[
        bool | None, typer.Option("--maximize", help="Larger is better.", show_default=False)
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="NAME[:key=value,...]",
            help="E.g. Hyperband:max_units=81; the default needs no maximum.",
        ),
    ] = None,
    sampler: Annotated[str | None, typer.Option(metavar="NAME", help="E.g. RandomSampler.")] = None,
    first: Annotated[
        Path | None,
        typer.Option(help="JSON file with configurations to try first: an object, or a list."),
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Of everything random; 0 by default.")] = None,
    repeats: Annotated[
        int, typer.Option(help="Fresh-seed runs of the winner at the end; 0 for none.")
    ] = 4,
    lanes: Annotated[int | None, typer.Option(help="JAX trials at once; measured.")] = None,
    chunk: Annotated[int | None, typer.Option(help="Units between reports; measured.")] = None,
    workers: Annotated[
        int | None, typer.Option(help="Processes for functions and commands; one a core.")
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(help="Seconds of silence after which a command counts as hung."),
    ] = None,
    report: Annotated[bool, typer.Option(help="Write the HTML report at the end.")] = True,
    as_json: JsonOption = False,
) -> None:
    """Search for the parameters of a program, for as long as you can wait.

    Run it again with the same arguments to go on where it stopped.
    """
    from parafree.core.errors import StudyError
    from parafree.study._jax_setup import CORES_VARIABLE, cores
    from parafree.study.tune import tune as run

    # The file may start JAX when it is imported, and after that it is too late.
    os.environ.setdefault(CORES_VARIABLE, str(cores()))

    trainable, default_name, own_space = _trainable(target_file, command, space, timeout)
    interrupted = False
    try:
        study = run(
            trainable,
            space=own_space,
            time=time,
            units=units,
            trials=trials,
            target=target,
            name=default_name if name is None else name,
            store=store,
            objective=objective,
            maximize=maximize,
            scheduler=_method(scheduler, "scheduler"),
            sampler=_method(sampler, "sampler"),
            first=None if first is None else read_first(first),
            seed=seed,
            repeats=repeats,
            lanes=lanes,
            chunk=chunk,
            workers=workers,
            progress=not as_json,
        )
    except KeyboardInterrupt:
        typer.echo(f"\nstopped at once; what was reported is kept. {resume()}", err=True)
        raise typer.Exit(130) from None
    reason = study.sessions[-1].reason
    interrupted = reason in ("interrupted", "terminated")
    page = study.report() if report and study.trials else None
    if as_json:
        print_json(_summary(study, page))
    else:
        _print(study, page)
    if interrupted:
        raise typer.Exit(130)
    if study.best is None:
        error = StudyError(
            "no trial gave a usable loss",
            where=study.failures[0][1] if study.failures else f"study {study.name!r}",
            fix="see the messages above and the logs in " + str(study.folder),
        )
        typer.echo(f"parafree: {error}", err=True)
        raise typer.Exit(1)


def _trainable(
    target: str | None, command: str | None, space_file: Path | None, timeout: float | None
) -> tuple[Any, str | None, Space | None]:
    from parafree.core.errors import StudyError
    from parafree.study.trainables import load_target

    if (target is None) == (command is None):
        raise StudyError(
            "say what to tune: either a Python file or --command",
            fix="parafree tune train.py --time 60s",
        )
    space = None if space_file is None else read_space(space_file)
    if target is not None:
        place = target.rsplit(":", 1)[0] if not Path(target).exists() else target
        return load(target, load_target), Path(place).stem, space
    if space is None:
        raise StudyError("a command needs a space", fix="add --space space.toml")
    from parafree.study._command import Command

    parsed = Command.parse(str(command), space.names, fixed=space.fixed, timeout=timeout)
    return parsed, None, space


def _method(text: str | None, contract: str) -> Any:
    """Read ``Name`` or ``Name:key=value,...``."""
    if text is None:
        return None
    import json

    from parafree.core import catalogue
    from parafree.core.errors import MethodError

    name, _, settings = text.partition(":")
    cards = {card.name: card for card in catalogue.cards("tune") if card.contract == contract}
    if name not in cards:
        raise MethodError(f"there is no {contract} {name!r}", fix=f"choose from {sorted(cards)}")
    values: dict[str, Any] = {}
    for pair in filter(None, settings.split(",")):
        key, equals, value = pair.partition("=")
        if not equals:
            raise MethodError(f"{pair!r} is not key=value", where=text)
        try:
            values[key.strip()] = json.loads(value)
        except ValueError:
            values[key.strip()] = value
    try:
        return cards[name].method(**values)
    except TypeError as error:
        raise MethodError(str(error), where=text) from error


def _summary(study: Study, page: Path | None) -> dict[str, Any]:
    best, session = study.best, study.sessions[-1]
    return {
        "study": study.name,
        "store": study.store.where,
        "reason": session.reason,
        "best": best
        and {"trial": best.id, "hparams": best.hparams, "loss": best.loss}
        | {"units": best.units, "metrics": best.metrics},
        "uncertainty": study.uncertainty and study.uncertainty._asdict(),
        "trials": len(study.trials),
        "units": study.units,
        "failed": len(study.failures),
        "compile_s": session.compile_s,
        "busy": session.busy,
        "report": page and str(page),
    }


def _print(study: Study, page: Path | None) -> None:
    from parafree.cli._summary import lines

    for line in lines(study):
        typer.echo(line)
    if page is not None:
        typer.echo(f"report   {page}")
    typer.echo(f"study    {study.name!r} in {study.store.where}")
    typer.echo(f"go on    parafree {arguments()}")
