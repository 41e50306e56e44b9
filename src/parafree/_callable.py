"""Lets a room share its name with the verb that it serves: ``parafree.tune(...)``.

Importing ``parafree.tune.asha`` binds ``parafree.tune`` to the room, so a function of that name in
``parafree`` would be hidden by the first import of the room. The room itself is made callable
instead, and both ``parafree.tune(train)`` and ``parafree.tune.Hyperband`` always work.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any


def make_callable(room: str, module: str, function: str) -> None:
    """Make calling the module ``room`` call ``module.function``, imported on first use."""

    class Room(ModuleType):
        def __call__(self, *args: Any, **kwargs: Any) -> Any:
            return getattr(importlib.import_module(module), function)(*args, **kwargs)

    sys.modules[room].__class__ = Room
