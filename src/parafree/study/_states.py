"""Files that keep trials' states: a cache beside the journal, never a source of truth.

A state that is not here is computed again from the trial's seed and hyperparameters, so a file that
is missing, cut short or foreign costs time and nothing else. Rows are stored as raw bytes in
safetensors; nothing is ever pickled.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np


class StateFiles:
    """One file a trial in a folder, within a limit of bytes.

    Args:
        folder: where the files go; made when the first one is written.
        limit: bytes that all files together may take; what goes beyond is not kept.
    """

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder, self._limit = folder, limit
        self._sizes = {p.name: p.stat().st_size for p in folder.glob("*.safetensors")}
        self._used = sum(self._sizes.values())

    def save(self, trial: int, units: int, row: list[np.ndarray]) -> bool:
        """Keep a trial's state after ``units`` units; return whether there was room for it."""
        from safetensors.numpy import save_file

        path = self._path(trial)
        size = sum(leaf.nbytes for leaf in row) + 1024
        old = self._sizes.get(path.name, 0)
        if self._used - old + size > self._limit:
            return False
        leaves = {str(i): np.frombuffer(leaf.tobytes(), np.uint8) for i, leaf in enumerate(row)}
        partial = path.with_suffix(".partial")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            save_file(leaves, partial, metadata={"units": str(units)})
            partial.replace(path)
        except OSError:  # a full or read-only disk: the state will be computed again
            partial.unlink(missing_ok=True)
            return False
        self._sizes[path.name] = size
        self._used += size - old
        return True

    def load(self, trial: int, like: list[Any]) -> tuple[int, list[np.ndarray]] | None:
        """Return ``(units, row)`` of a trial, or ``None`` when there is no usable file.

        Args:
            trial: the trial.
            like: shapes and dtypes of the row's leaves.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self._path(trial), framework="numpy") as file:
                units = int(file.metadata()["units"])
                row = [
                    np.frombuffer(file.get_tensor(str(i)).tobytes(), leaf.dtype).reshape(leaf.shape)
                    for i, leaf in enumerate(like)
                ]
        except (OSError, SafetensorError, KeyError, TypeError, ValueError):
            return None
        return units, row

    def _path(self, trial: int) -> Path:
        return self._folder / f"trial-{trial:07d}.safetensors"
