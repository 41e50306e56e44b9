"""What a study is about: fixed when it is created, and compared when it is called again."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from parafree.core import catalogue
from parafree.core.errors import StudyError
from parafree.core.space import Space


def name_of(trainable: Any) -> str:
    """Return what a trainable is called: a function's or class's name, a command's program.

    Example:
        >>> def train(trial): ...
        >>> name_of(train)
        'train'
    """
    arguments = getattr(trainable, "arguments", None)
    if arguments is not None:
        # `python train.py --lr {lr}` is about train.py, whatever runs it.
        files = [each for each in arguments if Path(each).suffix and "{" not in each]
        return Path(files[0] if files else arguments[0]).stem
    return str(getattr(trainable, "__name__", type(trainable).__name__))


def describe(method: Any) -> dict[str, Any]:
    """Return a scheduler or sampler as JSON values: its name and its settings."""
    own = getattr(method, "settings", None)  # where not every field is one
    settings = dataclasses.asdict(method) if own is None else own()
    return {"name": type(method).__name__, "settings": settings}


def rebuild(description: Mapping[str, Any]) -> Any:
    """Make the method that :func:`describe` described.

    Only methods of the catalogue are made: a database never says what code is imported.

    Raises:
        StudyError: the method is not in the catalogue.
    """
    for card in catalogue.cards("tune"):
        if card.name == description["name"]:
            return card.method(**description["settings"])
    raise StudyError(
        f"the study uses {description['name']}, which is none of parafree's own methods",
        fix="pass the same scheduler or sampler again",
    )


def compare(stored: Mapping[str, Any], given: Mapping[str, Any], name: str) -> None:
    """Raise StudyError when something given differs from what the study was created with.

    Args:
        stored: the study's spec.
        given: what this call says; keys that it leaves open are absent.
        name: the study's name.
    """
    differing = [key for key, value in given.items() if stored.get(key) != value]
    if not differing:
        return
    key = differing[0]
    raise StudyError(
        f"study {name!r} exists with another {key}: {_difference(key, stored, given)}",
        where=f"{', '.join(differing)}",
        fix="leave it out to go on with the study, or start another one under a new name",
    )


def _difference(key: str, stored: Mapping[str, Any], given: Mapping[str, Any]) -> str:
    if key != "space":
        return f"{stored.get(key)!r}, not {given[key]!r}"
    old, new = (Space.from_dict(each["space"]) for each in (stored, given))
    names = {*old.names, *new.names, *old.fixed, *new.fixed}
    for name in sorted(names):
        was = old.parameters.get(name, old.fixed.get(name))
        now = new.parameters.get(name, new.fixed.get(name))
        if was != now:
            return f"{name} was {was}, is now {now}"
    return "its constraints or order"
