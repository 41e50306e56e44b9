"""A program as a function: values go in as arguments, and the last number it prints comes out."""

from __future__ import annotations

import contextlib
import json
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parafree.core.errors import TrainableError
from parafree.study import _said
from parafree.study._command import Command
from parafree.study._placeholders import placeholders
from parafree.study._running import Running

if TYPE_CHECKING:
    from parafree.study._keeper import Keeper

_GRACE = 1.0  # seconds that a program has to leave after SIGTERM


@dataclass(frozen=True)
class Place:
    """Where an evaluation runs: what a program needs, and a function does not."""

    trial: int
    seed: int
    output: Path  # a file of the worker's own
    keeper: Keeper | None = None


@dataclass(frozen=True)
class Program:
    """A program that prints a number, or a JSON object with several, for a configuration.

    Args:
        command: the program and its arguments, with placeholders.
    """

    command: Command

    @classmethod
    def parse(
        cls, command: str | Sequence[str], parameters: Iterable[str], *, fixed: Iterable[str] = ()
    ) -> Program:
        """Check a command against a space, before anything is started.

        Args:
            command: one line, split as a shell would split it, or the list of arguments.
            parameters: names of the parameters that vary; each needs a placeholder.
            fixed: names of the parameters with one value only; each may have one.

        Raises:
            TrainableError: a placeholder is unknown, a parameter has none, or there is no such
                program.

        Example:
            >>> Program.parse("expr {x} + 1", ["x"]).arguments
            ('expr', '{x}', '+', '1')
        """
        parsed = Command.parse(command, parameters, fixed=fixed)
        for name in ("checkpoint", "units"):
            if any(name in placeholders(each) for each in parsed.arguments):
                raise TrainableError(
                    f"an evaluation has no {{{name}}}",
                    where=" ".join(parsed.arguments),
                    fix="leave it out; a program that trains in steps is for `parafree tune`",
                )
        return cls(parsed)

    @property
    def arguments(self) -> tuple[str, ...]:
        """The program and its arguments."""
        return self.command.arguments

    def run(self, config: Mapping[str, Any], place: Place, names: Sequence[str] = ("loss",)) -> Any:
        """Return what the program says about a configuration.

        Args:
            config: the configuration.
            place: where it runs.
            names: figures that a JSON object must hold to count; a number alone is the loss.

        Raises:
            TrainableError: it fails, or says nothing.
        """
        values = {**config, "seed": place.seed, "trial": place.trial}
        program = Running(
            self.command.fill(values), place.output, grace=_GRACE, keeper=place.keeper, share=None
        )
        found: deque[Any] = deque(maxlen=1)
        with contextlib.closing(program):
            try:
                for line in program.lines():
                    if line:
                        program.log.write(line)
                        found.extend(value_in(line, names))
            finally:
                status = program.end()
        if status:
            raise TrainableError(_said.ended(status, program.errors))
        if not found:
            figures = ", ".join(f'"{name}": number' for name in names)
            raise TrainableError(
                "the program ended without printing a value",
                fix="print " + "a number, or " * _plain(names) + f"{{{figures}}} on a line alone",
            )
        return found[0]


def value_in(line: bytes, names: Sequence[str] = ("loss",)) -> list[Any]:
    """Return the value that a line holds, if it holds one.

    Args:
        line: what was printed.
        names: figures that a JSON object must hold to count; a number alone is the loss.

    Example:
        >>> value_in(b" 0.25 "), value_in(b'{"loss": nan, "size": 3}'), value_in(b"step 3")
        ([0.25], [{'loss': nan, 'size': 3}], [])
        >>> value_in(b'{"cost": 1, "error": 2}', ["cost", "error"]), value_in(b"3", ["cost"])
        ([{'cost': 1, 'error': 2}], [])
    """
    text = line.decode(errors="replace").strip()
    with contextlib.suppress(ValueError):
        if not text.startswith("{"):
            return [float(text)] if _plain(names) else []
        found = json.loads(_said.repaired(text))
        return [found] if all(name in found for name in names) else []
    return []


def _plain(names: Sequence[str]) -> bool:
    return list(names) == ["loss"]
