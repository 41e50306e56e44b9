"""Errors that say what is wrong, where, and what to do about it."""

from __future__ import annotations

from functools import partial


class ParafreeError(Exception):
    """Base of every error that parafree raises on purpose.

    Args:
        what: what is wrong, in one sentence.
        where: the file, name or field in which it is wrong; may be empty.
        fix: what the reader can do about it; may be empty.

    Example:
        >>> print(SpaceError("low is not below high", where="learning_rate", fix="swap them"))
        low is not below high
          where: learning_rate
          fix: swap them
    """

    def __init__(self, what: str, *, where: str = "", fix: str = "") -> None:
        super().__init__(what, where, fix)
        self.what = what
        self.where = where
        self.fix = fix

    def __reduce__(self) -> tuple[object, tuple[str]]:
        # Exceptions are rebuilt from positional arguments; ours has named ones too.
        return partial(type(self), where=self.where, fix=self.fix), (self.what,)

    def __str__(self) -> str:
        lines = [self.what]
        if self.where:
            lines.append(f"  where: {self.where}")
        if self.fix:
            lines.append(f"  fix: {self.fix}")
        return "\n".join(lines)


class SpaceError(ParafreeError, ValueError):
    """A search space, or a value given for one of its parameters, is impossible."""


class TrainableError(ParafreeError):
    """The user's trainable does not keep its side of the contract."""


class StoreError(ParafreeError):
    """The database of studies cannot be opened, read or written."""


class StudyError(ParafreeError):
    """A study does not exist, is in use, or does not fit what is asked of it."""


class MethodError(ParafreeError, ValueError):
    """A method was given a setting it cannot work with."""
