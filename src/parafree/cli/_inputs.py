"""What several commands read: spaces, configurations, Python files; and how to go on."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parafree.core.space import Space


def load(target: str, find: Callable[[str], Any]) -> Any:
    """Load what a user names; what its file raises becomes one message that says where."""
    import traceback

    from parafree.core.errors import ParafreeError, TrainableError

    try:
        return find(target)
    except ParafreeError:
        raise
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{last.filename}:{last.lineno}"
        if isinstance(error, SyntaxError):
            where = f"{error.filename}:{error.lineno}"
        raise TrainableError(
            f"the file cannot be imported: {type(error).__name__}: {error}",
            where=where,
            fix="python FILE.py shows the whole traceback",
        ) from error


def read_space(path: Path) -> Space:
    """Read a space from TOML or JSON."""
    from parafree.core.errors import SpaceError
    from parafree.core.space import Space

    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SpaceError(
            f"the space cannot be read: {error.strerror}", where=str(path), fix="check the path"
        ) from error
    return Space.from_json(text) if path.suffix == ".json" else Space.from_toml(text)


def read_first(path: Path) -> list[dict[str, Any]]:
    """Read configurations to try first."""
    import json

    from parafree.core.errors import SpaceError

    try:
        read = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise SpaceError(
            f"the first configurations cannot be read: {error}",
            where=str(path),
            fix='write JSON: {"lr": 0.1, "width": 64}, or a list of such objects',
        ) from error
    return read if isinstance(read, list) else [read]


def arguments() -> str:
    """Return the arguments of this call as they were typed."""
    return shlex.join(sys.argv[1:])


def resume() -> str:
    """Say how to go on with this study."""
    return f"Go on with:\n  parafree {arguments()}"
