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
    """A program that prints a number, or a JSON object with ``loss``, for a configuration.

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

    def run(self, config: Mapping[str, Any], place: Place) -> Any:
        """Return what the program says about a configuration.

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
                        found.extend(value_in(line))
            finally:
                status = program.end()
        if status:
            raise TrainableError(_said.ended(status, program.errors))
        if not found:
            raise TrainableError(
                "the program ended without printing a value",
                fix='print a number, or {"loss": number}, on a line of its own',
            )
        return found[0]


def value_in(line: bytes) -> list[Any]:
    """Return the value that a line holds, if it holds one.

    Example:
        >>> value_in(b" 0.25 "), value_in(b'{"loss": nan, "size": 3}'), value_in(b"step 3")
        ([0.25], [{'loss': nan, 'size': 3}], [])
    """
    text = line.decode(errors="replace").strip()
    with contextlib.suppress(ValueError):
        if not text.startswith("{"):
            return [float(text)]
        found = json.loads(_said.repaired(text))
        return [found] if "loss" in found else []
    return []
