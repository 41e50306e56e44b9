"""The card: what a method is, where it comes from, and what it is free of."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Contract = Literal[
    "transform", "search", "asktell", "scheduler", "sampler", "estimator", "surgery", "module"
]


@dataclass(frozen=True)
class Card:
    """One method's entry in the catalogue.

    Args:
        method: the class or function that implements the paper.
        contract: which of the contracts in ``core/contracts.py`` it keeps.
        paper: authors, year and identifier.
        reference: what outside of this code the method's test compares it with.
        needs: what a user must provide, for example ``{"grad"}``.
        free_of: what a user no longer has to set, pay or provide.
        seed: the paper's number in the project's list; ``None`` for a method outside it.
        example: makes an instance for the common checks; the bare class by default.
        xfail: common checks that do not apply, each with the reason.

    Example:
        >>> class Guess:
        ...     "Pick at random."
        >>> Card(method=Guess, contract="sampler", paper="folklore", reference="none").name
        'Guess'
    """

    method: Callable[..., Any]
    contract: Contract
    paper: str
    reference: str
    needs: frozenset[str] | set[str] = frozenset()
    free_of: frozenset[str] | set[str] = frozenset()
    seed: int | None = None
    example: Callable[[], Any] | None = None
    xfail: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The method's name as users import it."""
        return self.method.__name__

    @property
    def module(self) -> str:
        """The dotted path of the file that holds the method."""
        return inspect.getmodule(self.method).__name__  # type: ignore[union-attr]

    @property
    def room(self) -> str:
        """The room the method lives in, for example ``tune``."""
        return self.module.split(".")[1]

    @property
    def summary(self) -> str:
        """The first line of the method's module docstring."""
        doc = inspect.getdoc(inspect.getmodule(self.method)) or inspect.getdoc(self.method) or ""
        return doc.splitlines()[0] if doc else ""

    def make(self) -> Any:
        """Build an instance for the common checks."""
        return (self.example or self.method)()
