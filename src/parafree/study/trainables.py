"""Trainables: find one in a file or a module, tell its kind, and say how a process imports it."""

from __future__ import annotations

import base64
import hashlib
import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from parafree.core.errors import TrainableError
from parafree.study._command import Command

Kind = Literal["jax", "function", "command"]

_JAX = ("space", "init", "step", "evaluate")
_PREFIX = "parafree_target_"
_importing = 0


class StopImport(BaseException):
    """Ends the import of a user's script at its call of ``parafree.tune``.

    What the script defined before that call is there; what it would do with the study is not
    done again. It is no ``Exception``, so that a script's own handlers let it pass.
    """


def in_worker() -> bool:
    """Whether a script is being imported for its trainable only, so that it must not tune.

    Example:
        >>> in_worker()
        False
    """
    return _importing > 0


@contextmanager
def _only_importing() -> Iterator[None]:
    global _importing
    _importing += 1
    try:
        yield
    except StopImport:
        pass
    finally:
        _importing -= 1


def load_file(file: str | Path) -> ModuleType:
    """Import a Python file as a module whose name is not ``__main__``, once per process.

    Args:
        file: its path; its folder is put on ``sys.path``, as ``python file.py`` would do.

    Raises:
        TrainableError: there is no such file.
        Exception: whatever the file itself raises.
    """
    path = Path(file).resolve()
    if not path.is_file():
        raise TrainableError(f"there is no file {str(file)!r}", fix="check the path")
    name = _PREFIX + hashlib.sha256(str(path).encode()).hexdigest()[:12]
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise TrainableError(
            f"{str(file)!r} is not a Python file", fix="use --command for other programs"
        )
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with _only_importing():
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


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
    place, name = _split(target)
    is_file = place.endswith(".py") or Path(place).is_file()
    module = load_file(place) if is_file else _import(place)
    if name:
        found: Any = module
        for part in name.split("."):
            if not hasattr(found, part):
                raise _no_such(module, place, name)
            found = getattr(found, part)
        return instance_of(found)
    candidates = _candidates(module)
    if len(candidates) != 1:
        raise _not_one(place, candidates)
    return instance_of(next(iter(candidates.values())))


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
            where=_name(trainable),
            fix="a JAX trainable has space, init, step and evaluate",
        )
    raise TrainableError(
        f"a {type(trainable).__name__} is not a trainable",
        where=_name(trainable),
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
            where=_name(trainable),
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


@dataclass(frozen=True)
class Source:
    """How another process gets a trainable without this process's memory.

    Args:
        file: a Python file, by absolute path; or
        module: a module that can be imported by name; and
        name: the dotted name of the trainable in it; or
        pickled: the trainable itself, for one that no file defines (typed in, or made on the fly);
            or
        command: the fields of a :class:`Command`.

    Example:
        >>> from math import floor
        >>> Source.of(floor)
        Source(file='', module='math', name='floor', pickled='', command=None)
        >>> Source.of(floor).load() is floor
        True
    """

    file: str = ""
    module: str = ""
    name: str = ""
    pickled: str = ""
    command: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, trainable: Any) -> Source:
        """Find the lightest way that works; only what has no file is sent as bytes."""
        if isinstance(trainable, Command):
            return cls(command=asdict(trainable))
        module = sys.modules.get(getattr(trainable, "__module__", None) or "")
        name = getattr(trainable, "__qualname__", "")
        if module is None or _get(module, name) is not trainable:
            return cls(pickled=_pickle(trainable, module))
        file = getattr(module, "__file__", None)
        # `python -m package.module` runs a module whose name is in its spec alone.
        spec = getattr(module, "__spec__", None)
        known = spec.name if module.__name__ == "__main__" and spec else module.__name__
        if known != "__main__" and not known.startswith(_PREFIX):
            return cls(module=known, name=name)
        if file is None or not Path(file).is_file():
            return cls(pickled=_pickle(trainable, module))
        return cls(file=str(Path(file).resolve()), name=name)

    def load(self) -> Callable[[Any], Any]:
        """Return the trainable, in this process.

        Raises:
            TrainableError: it is not where it was.
        """
        if self.command is not None:
            return Command(**self.command)
        if self.pickled:
            import cloudpickle

            loaded: Callable[[Any], Any] = cloudpickle.loads(base64.b64decode(self.pickled))
            return loaded
        module = load_file(self.file) if self.file else _import(self.module)
        found = _get(module, self.name)
        if found is None:
            raise TrainableError(
                f"a worker process finds no {self.name!r} there",
                where=self.file or self.module,
                fix="define it at the top level, before parafree.tune is called",
            )
        return found


def _pickle(trainable: Any, module: ModuleType | None) -> str:
    import cloudpickle

    # A module that was loaded from a bare file has a name that no other process can import.
    bare = module is not None and module.__name__.startswith(_PREFIX)
    try:
        if bare:
            cloudpickle.register_pickle_by_value(module)
        return base64.b64encode(cloudpickle.dumps(trainable)).decode()
    except Exception as error:
        raise TrainableError(
            f"the trainable cannot be sent to worker processes: {error}",
            where=_name(trainable),
            fix="define it at the top level of a file, and open files, locks and devices in it",
        ) from error
    finally:
        if bare:
            cloudpickle.unregister_pickle_by_value(module)


def _split(target: str) -> tuple[str, str]:
    place, _, name = target.rpartition(":")
    # "C:thing" has a colon too, and so may a path: only an identifier after it is a name.
    if place and all(part.isidentifier() for part in name.split(".")):
        return place, name
    return target, ""


def _import(name: str) -> ModuleType:
    try:
        with _only_importing():
            return importlib.import_module(name)
    except ModuleNotFoundError as error:
        # The user's module may itself lack one: that error is theirs to see.
        if error.name and not (name == error.name or name.startswith(error.name + ".")):
            raise
    except (TypeError, ValueError):
        pass  # names such as "" or "..x"
    raise TrainableError(
        f"there is no file and no module {name!r}",
        fix="give file.py, file.py:name or package.module:name",
    )


def _get(module: ModuleType, name: str) -> Any:
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


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


def _not_one(place: str, candidates: Mapping[str, Any]) -> TrainableError:
    if candidates:
        return TrainableError(
            f"there is more than one trainable: {_and(list(candidates))}",
            where=place,
            fix=f"name one of them, for example {place}:{next(iter(candidates))}",
        )
    return TrainableError(
        "there is no trainable",
        where=place,
        fix="define train(trial), or a class with space, init, step and evaluate",
    )


def _no_such(module: ModuleType, place: str, name: str) -> TrainableError:
    candidates = [found for found in _candidates(module) if found]
    hint = f"it has {_and(candidates)}" if candidates else "and nothing in it is a trainable"
    return TrainableError(
        f"there is no {name!r} there; {hint}", where=place, fix="check the name after the colon"
    )


def _and(names: list[str]) -> str:
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _name(trainable: Any) -> str:
    module = getattr(trainable, "__module__", "")
    name = getattr(trainable, "__qualname__", type(trainable).__qualname__)
    return f"{module}.{name}"
