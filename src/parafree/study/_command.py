"""A command in any language as a trainable: values go in as arguments, reports come out as lines.

The program prints JSON lines such as ``{"unit": 3, "loss": 0.21}``. It is started directly, never
through a shell, so a value can hold spaces, quotes or semicolons and stays one argument.
"""

from __future__ import annotations

import contextlib
import math
import shlex
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from parafree.core.errors import TrainableError
from parafree.study import _placeholders, _said
from parafree.study._lines import Output
from parafree.study._placeholders import placeholders
from parafree.study._running import Running
from parafree.study._trial import Trial

OWN_PLACEHOLDERS = ("checkpoint", "units", "seed", "trial")
GRACE = 10.0  # seconds that a program has to save and leave after SIGTERM


@dataclass(frozen=True)
class Command:
    """A program and its arguments, with placeholders for the values of a trial.

    Args:
        arguments: the program and its arguments; ``{lr}`` stands for the parameter ``lr``,
            ``{checkpoint}`` for a directory that is the trial's own, ``{units}`` for the units
            after which the program may leave, ``{seed}`` and ``{trial}`` for the trial's seed and
            number; ``{{`` and ``}}`` for braces.
        timeout: seconds without a report after which the program counts as hung; ``None``
            waits for ever.
    """

    arguments: tuple[str, ...]
    timeout: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "arguments", tuple(self.arguments))

    @classmethod
    def parse(
        cls,
        command: str | Sequence[str],
        parameters: Iterable[str],
        *,
        fixed: Iterable[str] = (),
        timeout: float | None = None,
    ) -> Command:
        """Check a command against a space, before anything is started.

        Args:
            command: one line, split as a shell would split it, or the list of arguments.
            parameters: names of the parameters that vary; each needs a placeholder.
            fixed: names of the parameters with one value only; each may have one.
            timeout: see :class:`Command`.

        Raises:
            TrainableError: a placeholder is unknown, a parameter has none, or there is no such
                program.

        Example:
            >>> Command.parse("sh solve.sh --lr {lr}", ["lr"]).arguments
            ('sh', 'solve.sh', '--lr', '{lr}')
            >>> Command.parse("sh solve.sh", ["lr"])
            Traceback (most recent call last):
            ...
            parafree.core.errors.TrainableError: the command does not use the parameter lr
              where: sh solve.sh
              fix: put {lr} where the program takes it, or fix the parameter
        """
        arguments = tuple(_placeholders.split(command) if isinstance(command, str) else command)
        where = shlex.join(arguments).replace("'{", "{").replace("}'", "}")
        _check_program(arguments, where)
        names, fixed = list(parameters), list(fixed)
        used = {name for argument in arguments for name in placeholders(argument)}
        known = {*names, *fixed, *OWN_PLACEHOLDERS}
        if unknown := sorted(used - known):
            raise TrainableError(
                f"the command has a placeholder that nothing fills: {{{unknown[0]}}}",
                where=where,
                fix=f"use one of {', '.join(sorted(known))}; write {{{{ and }}}} for braces",
            )
        if unused := [name for name in names if name not in used]:
            raise TrainableError(
                f"the command does not use the parameter {unused[0]}",
                where=where,
                fix=f"put {{{unused[0]}}} where the program takes it, or fix the parameter",
            )
        return cls(arguments, timeout)

    @property
    def resumes(self) -> bool:
        """Whether the program is told where to keep a checkpoint."""
        return any("checkpoint" in placeholders(argument) for argument in self.arguments)

    def fill(self, values: Mapping[str, Any]) -> list[str]:
        """Return the arguments with values in place of the placeholders.

        An argument for a parameter that is not active is left out, and so is the option in front
        of it where the placeholder is the whole argument.

        Example:
            >>> Command(("run", "--lr={lr}", "--momentum", "{momentum}")).fill({"lr": 0.1})
            ['run', '--lr=0.1']
        """
        filled: list[str] = []
        for argument in self.arguments:
            if all(name in values for name in placeholders(argument)):
                filled.append(_placeholders.fill(argument, values))
            elif _placeholders.is_one(argument) and filled[-1:] and filled[-1].startswith("-"):
                filled.pop()
        return filled

    def __call__(self, trial: Trial) -> None:
        """Run the program until the trial's job is over, or until it leaves."""
        output = trial.directory / "output"
        _take_in_rest(output, trial)
        if trial.stopped:
            return
        checkpoint = trial.directory.resolve() / "checkpoint"
        if self.resumes:
            checkpoint.mkdir(exist_ok=True)
        resumes = self.resumes and any(checkpoint.iterdir())
        try:
            self._run(trial, checkpoint, output, resumes)
        except _Hole as hole:
            trial.warn(f"{hole}; it starts again from zero")
            _empty(checkpoint)
            self._run(trial, checkpoint, output, False)
        output.unlink()

    def _run(self, trial: Trial, checkpoint: Path, output: Path, resumes: bool) -> None:
        values = {
            **trial.hparams,
            "units": trial.target,
            "seed": trial.seed,
            "trial": trial.number,
            "checkpoint": checkpoint,
        }
        program = Running(
            self.fill(values),
            output,
            grace=GRACE if self.resumes else 1.0,
            keeper=trial.keeper,
            share=trial.lock,
        )
        with contextlib.closing(program):
            lines = program.lines()
            try:
                last = self._follow(program, lines, trial, resumes)
            finally:
                status = program.end()
            if status and not trial.stopped:
                raise TrainableError(_said.ended(status, program.errors))
            # What it has printed since: it may have a checkpoint of that.
            _take_in(lines, trial)
            if resumes and not last and not trial.stopped:
                raise _Hole(f"it went on from its checkpoint and left before unit {trial.target}")

    def _follow(self, program: Running, lines: Iterator[bytes], trial: Trial, resumes: bool) -> int:
        """Take in what it prints until it need not go on; return the last unit that it told."""
        last, over, heard = 0, math.inf, time.monotonic()
        for line in lines:
            now = time.monotonic()
            if trial.stopped and (not self.resumes or now > over):
                break
            report = _said.parse(line)
            if report is not None:
                # The checkpoint of the job's last unit may still be in writing, so a program that
                # has one gets until its next report, which is kept for the next job; or until it
                # leaves, or a little while.
                enough, first, last = trial.stopped, not last, _said.unit_of(report, last)
                if resumes and first:
                    _check_follows(trial, last)
                trial.record(last, report)
                program.heard()
                if enough:
                    break
                heard, over = now, now + GRACE
            elif line:
                program.log.write(line)
            if self.timeout is not None and now - heard > self.timeout and not trial.stopped:
                raise TrainableError(
                    f"the program printed no report for {self.timeout:g} s and was ended",
                    fix="raise the timeout if a unit takes longer",
                )
        return last


class _Hole(Exception):
    """A program that goes on from its checkpoint leaves out a report, or all of them."""


def _check_follows(trial: Trial, unit: int) -> None:
    """Check that what a program tells first follows on what is known."""
    if trial.skips(unit):
        raise _Hole(f"its checkpoint goes on with unit {unit}, but units before were not reported")


def _take_in_rest(output: Path, trial: Trial) -> None:
    """Take in what a program that was killed, perhaps with its reader, had printed before."""
    if output.exists():
        with contextlib.closing(Output(output)) as file:
            if not file.cut:
                _take_in(file.all(), trial)


def _take_in(lines: Iterable[bytes], trial: Trial) -> None:
    """Take in what a program printed that is over; what cannot be read is as if never said."""
    last = 0
    with contextlib.suppress(TrainableError, _Hole):
        for line in lines:
            if trial.stopped and trial.loss is None:
                return  # it diverged
            report = _said.parse(line)
            if report is not None:
                first, last = not last, _said.unit_of(report, last)
                if first:
                    _check_follows(trial, last)
                trial.record(last, report)


def _empty(directory: Path) -> None:
    """Empty a directory in one step: a program must never find half of its checkpoint."""
    old = directory.with_name("damaged")
    shutil.rmtree(old, ignore_errors=True)
    directory.rename(old)
    directory.mkdir()
    shutil.rmtree(old, ignore_errors=True)


def _check_program(arguments: tuple[str, ...], where: str) -> None:
    if not arguments:
        raise TrainableError("the command is empty", fix="give a program and its arguments")
    if not placeholders(arguments[0]) and shutil.which(arguments[0]) is None:
        raise TrainableError(
            f"there is no program {arguments[0]!r}", where=where, fix="check its path"
        )
