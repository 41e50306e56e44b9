"""parafree finds the parameters of a parametrised function, and leaves little to set by hand."""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.1.0"

# Name -> module that defines it. Imported on first use, so that `import parafree` stays instant.
_EXPORTS = {
    "Bool": "parafree.core.space",
    "Choice": "parafree.core.space",
    "Int": "parafree.core.space",
    "Real": "parafree.core.space",
    "Space": "parafree.core.space",
    "Study": "parafree.study.study",
    "minimize": "parafree.study.minimize",
    "run": "parafree.core.run",
}

__all__ = ["Bool", "Choice", "Int", "Real", "Space", "Study", "minimize", "run", "tune"]


def __getattr__(name: str) -> Any:
    if name in _EXPORTS:
        value = getattr(importlib.import_module(_EXPORTS[name]), name)
        globals()[name] = value
        return value
    if name == "tune":
        return importlib.import_module("parafree.tune")
    raise AttributeError(f"module 'parafree' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_EXPORTS])
