"""Source: how a process that does not share this one's memory gets a trainable."""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from parafree.core.errors import TrainableError
from parafree.study._command import Command
from parafree.study._evaluation import Evaluation
from parafree.study._goals import Goals
from parafree.study._importing import PREFIX, load_file, load_module


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
        goals: what the figures of a function of a configuration are for, which is to be asked for
            values; ``None`` for anything else.

    Example:
        >>> from math import floor
        >>> Source.of(floor)
        Source(file='', module='math', name='floor', pickled='', command=None, goals=None)
        >>> Source.of(floor).load() is floor
        True
    """

    file: str = ""
    module: str = ""
    name: str = ""
    pickled: str = ""
    command: Mapping[str, Any] | None = None
    goals: Mapping[str, Any] | None = None

    @classmethod
    def of(cls, trainable: Any) -> Source:
        """Find the lightest way that works; only what has no file is sent as bytes."""
        if isinstance(trainable, Evaluation):
            return replace(cls.of(trainable.f), goals=trainable.goals.to_spec())
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
        if known != "__main__" and not known.startswith(PREFIX):
            return cls(module=known, name=name)
        if file is None or not Path(file).is_file():
            return cls(pickled=_pickle(trainable, module))
        return cls(file=str(Path(file).resolve()), name=name)

    def load(self) -> Callable[[Any], Any]:
        """Return the trainable, in this process.

        Raises:
            TrainableError: it is not where it was.
        """
        if self.goals is not None:
            f = replace(self, goals=None).load()
            return Evaluation(f, goals=Goals.from_spec(self.goals))
        if self.command is not None:
            return Command(**self.command)
        if self.pickled:
            import cloudpickle

            loaded: Callable[[Any], Any] = cloudpickle.loads(base64.b64decode(self.pickled))
            return loaded
        module = load_file(self.file) if self.file else load_module(self.module)
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
    bare = module is not None and module.__name__.startswith(PREFIX)
    try:
        if bare:
            cloudpickle.register_pickle_by_value(module)
        return base64.b64encode(cloudpickle.dumps(trainable)).decode()
    except Exception as error:
        raise TrainableError(
            f"the trainable cannot be sent to worker processes: {error}",
            where=name_of(trainable),
            fix="define it at the top level of a file, and open files, locks and devices in it",
        ) from error
    finally:
        if bare:
            cloudpickle.unregister_pickle_by_value(module)


def _get(module: ModuleType, name: str) -> Any:
    found: Any = module
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def name_of(trainable: Any) -> str:
    """Return what to call a trainable in a message."""
    module = getattr(trainable, "__module__", "")
    name = getattr(trainable, "__qualname__", type(trainable).__qualname__)
    return f"{module}.{name}"
