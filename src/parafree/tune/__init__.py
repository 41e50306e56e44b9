"""Which trial gets the next unit of resource, and which configuration comes next."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from parafree._callable import make_callable

if TYPE_CHECKING:
    from parafree.tune.asha import ASHA
    from parafree.tune.deepening import Deepening
    from parafree.tune.hyperband import Hyperband
    from parafree.tune.id_hyperband import IDHyperband
    from parafree.tune.random_sampler import RandomSampler
    from parafree.tune.random_search import RandomSearch
    from parafree.tune.sobol_sampler import SobolSampler
    from parafree.tune.successive_halving import SuccessiveHalving

# Method -> file. Imported on first use, so that a room costs nothing until a method is wanted.
_EXPORTS = {
    "ASHA": "asha",
    "Deepening": "deepening",
    "Hyperband": "hyperband",
    "IDHyperband": "id_hyperband",
    "RandomSampler": "random_sampler",
    "RandomSearch": "random_search",
    "SobolSampler": "sobol_sampler",
    "SuccessiveHalving": "successive_halving",
}

__all__ = [
    "ASHA",
    "Deepening",
    "Hyperband",
    "IDHyperband",
    "RandomSampler",
    "RandomSearch",
    "SobolSampler",
    "SuccessiveHalving",
]


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_EXPORTS[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_EXPORTS})


make_callable(__name__, "parafree.study.tune", "tune")
