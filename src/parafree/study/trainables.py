"""Trainables: find the one that a user names, and tell its kind."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from parafree.core.errors import TrainableError
from parafree.study._command import Command
from parafree.study._importing import StopImport, in_worker, load_file, load_module
from parafree.study._source import Source, name_of

__all__ = [
    "Kind",
    "Source",
    "StopImport",
    "in_worker",
    "instance_of",
    "kind_of",
    "load_file",
    "load_function",
    "load_target",
    "space_of",
]

Kind = Literal["jax", "function", "command"]

_JAX = ("space", "init", "step", "evaluate")


def load_target(target: str) -> Any:
    """Load the trainable that a user names on the command line.

    Args:
        target: ``file.py``, ``file.py:name``, ``package.module`` or ``package.module:name``.
            Without a name the file must hold exactly one trainable: its own ``space``, ``init``,
            ``step`` and ``evaluate``, a class or object with these, or a function of ``trial``.

    Returns:
        The trainable; of a class, an instance.

    Raises:
        TrainableError: nothing, or more than one thing, answers to ``target``.

    Example:
        >>> load_target("math:floor")(2.5)
        2
    """
    module, place, found = _find(target, _candidates)
    if found is not None:
        return instance_of(found)
    candidates = _candidates(module)
    if len(candidates) != 1:
        raise _not_one(place, candidates)
    return instance_of(next(iter(candidates.values())))


def load_function(target: str) -> Any:
    """Load the function of a configuration that a user names on the command line.

    Args:
        target: as for :func:`load_target`. Without a name it is the function ``objective`` or
            ``f``, or the only public function with one argument.

    Raises:
        TrainableError: nothing, or more than one thing, answers to ``target``.

    Example:
        >>> load_function("math:floor")(2.5)
        2
    """
    module, place, found = _find(target, _functions)
    if found is None:
        candidates = _functions(module)
        if len(candidates) != 1:
            raise _not_one(place, candidates, "function of a configuration", "define f(config)")
        found = next(iter(candidates.values()))
    if not callable(found):
        raise TrainableError(
            f"a {type(found).__name__} cannot be called",
            where=target,
            fix="name a function of a configuration",
        )
    return found


def kind_of(trainable: Any) -> Kind:
    """Tell which of the three kinds of trainable this is.

    Raises:
        TrainableError: it is none; the message says what is missing.

    Example:
        >>> def train(trial): ...
        >>> kind_of(train)
        'function'
        >>> kind_of(Command.parse("sh solve.sh {lr}", ["lr"]))
        'command'
    """
    if isinstance(trainable, Command):
        return "command"
    missing = [name for name in _JAX if not hasattr(trainable, name)]
    if not missing:
        return "jax"
    if callable(trainable) and not inspect.isclass(trainable):
        return "function"
    given = [name for name in _JAX if name not in missing]
    if given:
        raise TrainableError(
            f"the trainable has {_and(given)} but no {_and(missing)}",
            where=name_of(trainable),
            fix="a JAX trainable has space, init, step and evaluate",
        )
    raise TrainableError(
        f"a {type(trainable).__name__} is not a trainable",
        where=name_of(trainable),
        fix="give a function of trial, an object with space, init, step and evaluate, or a command",
    )


def instance_of(trainable: Any) -> Any:
    """Return ``trainable``, or an instance of it where a class with instance methods was given.

    Raises:
        TrainableError: the class cannot be made without arguments.
    """
    if not inspect.isclass(trainable):
        return trainable
    try:
        return trainable()
    except TypeError as error:
        raise TrainableError(
            f"the class cannot be made without arguments: {error}",
            where=name_of(trainable),
            fix="give its arguments defaults, or name an instance of it",
        ) from error


def space_of(trainable: Any) -> Any | None:
    """Return the space that comes with a trainable: its own, or ``space`` beside the function.

    Example:
        >>> def train(trial): ...
        >>> train.space = "a space"
        >>> space_of(train)
        'a space'
    """
    own = getattr(trainable, "space", None)
    return own if own is not None else getattr(trainable, "__globals__", {}).get("space")


def _find(
    target: str, among: Callable[[ModuleType], dict[str, Any]]
) -> tuple[ModuleType, str, Any]:
    """Return the module that ``target`` is about, where it is, and what it names in it."""
    place, name = _split(target)
    is_file = place.endswith(".py") or Path(place).is_file()
    module = load_file(place) if is_file else load_module(place)
    found: Any = module if name else None
    for part in filter(None, name.split(".")):
        if not hasattr(found, part):
            raise _no_such(place, name, list(filter(None, among(module))))
        found = getattr(found, part)
    return module, place, found


def _split(target: str) -> tuple[str, str]:
    place, _, name = target.rpartition(":")
    # "C:thing" has a colon too, and so may a path: only an identifier after it is a name.
    if place and all(part.isidentifier() for part in name.split(".")):
        return place, name
    return target, ""


def _candidates(module: ModuleType) -> dict[str, Any]:
    """Find the trainables that a module defines, by name; the clearest kind first."""
    if all(hasattr(module, name) for name in _JAX):
        return {"": module}
    public = {name: value for name, value in vars(module).items() if not name.startswith("_")}
    own = {name: value for name, value in public.items() if _defined_in(value, module)}
    jax = {name: value for name, value in own.items() if all(hasattr(value, n) for n in _JAX)}
    classes = {type(value) for value in jax.values()}
    jax = {name: value for name, value in jax.items() if value not in classes}
    if jax:
        return jax
    if inspect.isfunction(own.get("train")):
        return {"train": own["train"]}
    return {name: value for name, value in own.items() if _takes_trial(value)}


def _defined_in(value: Any, module: ModuleType) -> bool:
    if inspect.isclass(value) or inspect.isfunction(value):
        return value.__module__ == module.__name__
    return type(value).__module__ == module.__name__ or all(hasattr(value, n) for n in _JAX)


def _takes_trial(value: Any) -> bool:
    return inspect.isfunction(value) and list(inspect.signature(value).parameters) == ["trial"]


def _functions(module: ModuleType) -> dict[str, Any]:
    """Find the functions of one argument that a module defines; the usual names come first."""
    own = {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_")
        and callable(value)
        and not inspect.isclass(value)
        and getattr(value, "__module__", None) == module.__name__
    }
    for name in ("objective", "f"):
        if name in own:
            return {name: own[name]}
    return {name: f for name, f in own.items() if len(inspect.signature(f).parameters) == 1}


_TRAINABLE = "define train(trial), or a class with space, init, step and evaluate"


def _not_one(
    place: str, candidates: Mapping[str, Any], what: str = "trainable", fix: str = _TRAINABLE
) -> TrainableError:
    if candidates:
        return TrainableError(
            f"there is more than one {what}: {_and(list(candidates))}",
            where=place,
            fix=f"name one of them, for example {place}:{next(iter(candidates))}",
        )
    return TrainableError(f"there is no {what}", where=place, fix=fix)


def _no_such(place: str, name: str, candidates: list[str]) -> TrainableError:
    hint = f"it has {_and(candidates)}" if candidates else "and nothing in it is a trainable"
    return TrainableError(
        f"there is no {name!r} there; {hint}", where=place, fix="check the name after the colon"
    )


def _and(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
