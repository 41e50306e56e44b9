"""The records of studies: found by name, or made, and what ran them."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

from parafree.core.errors import StudyError
from parafree.core.space import Space
from parafree.study import _spec
from parafree.study.store import Store, StudyRecord


def find_or_create(
    store: Store, name: str, given: dict[str, Any], first: Sequence[Mapping[str, Any]] | None
) -> StudyRecord:
    """Return the record of a study, a new one where there is none of that name.

    Args:
        store: an open store.
        name: the study's name.
        given: what this call says about the study; what it leaves open is absent.
        first: configurations to try first.

    Raises:
        StudyError: the study exists and is about something else, or nothing says what may vary.
    """
    if name in store:
        record = store.find(name)
        if first is not None:
            given = given | {"first": _checked(first, record.spec["space"])}
        _spec.compare({"first": []} | record.spec, given, name)
        return record
    if "space" not in given:
        raise StudyError(
            "nothing says what may vary",
            where=f"study {name!r}",
            fix="pass space=Space(...), or define `space` beside the function",
        )
    from parafree.tune import Deepening, SobolSampler

    defaults = {
        "objective": "loss",
        "maximize": False,
        "seed": 0,
        "scheduler": _spec.describe(Deepening()),
        "sampler": _spec.describe(SobolSampler()),
    }
    if first is not None:
        given = given | {"first": _checked(first, given["space"])}
    record = store.create(name, defaults | given)
    # States that outlived a deleted database belong to another study of this name.
    shutil.rmtree(store.folder(name), ignore_errors=True)
    return record


def _checked(first: Sequence[Mapping[str, Any]], space: dict[str, Any]) -> list[dict[str, Any]]:
    """Return configurations as the space writes them."""
    checked = Space.from_dict(space).check
    return [dict(checked(dict(config))) for config in first]


def versions() -> dict[str, str]:
    """Return the versions on which a session runs."""
    from importlib.metadata import version

    packages = ("parafree", "jax", "numpy")
    return {"python": platform.python_version()} | {name: version(name) for name in packages}
