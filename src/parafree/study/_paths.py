"""Paths: where studies are kept, and names that are safe as file names."""

from __future__ import annotations

import hashlib
import os
import unicodedata
from pathlib import Path
from urllib.parse import quote

from parafree.core.errors import StudyError

LONGEST_NAME = 200
_LONGEST_FILE = 180  # a file name may have 255 bytes; suffixes need some of them


def default_store() -> str:
    """Return the store that is used when none is named: $PARAFREE_STORE, or ./parafree.db."""
    return os.environ.get("PARAFREE_STORE") or "parafree.db"


def check_name(name: str) -> str:
    """Return ``name`` if a study can have it; raise StudyError otherwise.

    Example:
        >>> check_name("größer / 2")
        'größer / 2'
        >>> check_name("")
        Traceback (most recent call last):
        ...
        parafree.core.errors.StudyError: a study needs a name
          fix: give it one, for example 'digits'
    """
    if not name:
        raise StudyError("a study needs a name", fix="give it one, for example 'digits'")
    if len(name) > LONGEST_NAME:
        raise StudyError(
            f"a study's name has at most {LONGEST_NAME} characters, this one has {len(name)}",
            where=f"{name[:40]!r}...",
            fix="shorten it",
        )
    # Cc: control characters, which a terminal would obey; Cs: halves of characters.
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in name):
        raise StudyError(
            "a study's name cannot contain control characters",
            where=repr(name),
            fix="use letters, digits, spaces and punctuation",
        )
    return name


def quote_name(name: str) -> str:
    """Turn any name into one that is safe as a file name; different names stay different.

    Example:
        >>> quote_name("../my study")
        '%2E%2E%2Fmy%20study'
    """
    quoted = quote(name, safe="").replace(".", "%2E").replace("~", "%7E")
    if len(quoted) <= _LONGEST_FILE:
        return quoted
    # "~" appears in no quoted name, so a shortened name cannot meet a whole one.
    digest = hashlib.sha256(name.encode()).hexdigest()[:32]
    return f"{quoted[: _LONGEST_FILE - 40]}~{digest}"


def files_folder(database: Path | None) -> Path:
    """Return the folder for everything that is kept beside a database.

    Args:
        database: the SQLite file; ``None`` for a server, whose files go to the working folder.

    Example:
        >>> str(files_folder(Path("runs/parafree.db")))
        'runs/parafree.db.files'
    """
    if database is None:
        return Path.cwd() / "parafree.files"
    return database.with_name(database.name + ".files")


def study_folder(database: Path | None, name: str) -> Path:
    """Return the folder that keeps the states, logs and report of the study ``name``."""
    return files_folder(database) / quote_name(name)
