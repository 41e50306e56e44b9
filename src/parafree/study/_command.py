"""A command in any language as a trainable: values go in as arguments, reports come out as lines.

The program prints JSON lines such as ``{"unit": 3, "loss": 0.21}``. It is started directly, never
through a shell, so a value can hold spaces, quotes or semicolons and stays one argument.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import selectors
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from parafree.core.errors import TrainableError
from parafree.study._trial import Trial

OWN_PLACEHOLDERS = ("checkpoint", "units", "seed", "trial")
GRACE = 10.0  # seconds that a program has to save and leave after SIGTERM
_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_C_NAN = re.compile(r":\s*[-+]?(nan|inf|infinity)\b", re.IGNORECASE)
_LONGEST = 500  # characters of a line of errors that a message repeats


@dataclass(frozen=True)
class Command:
    """A program and its arguments, with placeholders for the values of a trial.

    Args:
        arguments: the program and its arguments; ``{lr}`` stands for the parameter ``lr``,
            ``{checkpoint}`` for a directory that is the trial's own, ``{units}`` for the units
            after which the program may leave, ``{seed}`` and ``{trial}`` for the trial's seed and
            number; ``{{`` and ``}}`` for braces.
        timeout: seconds without any output after which the program counts as hung; ``None``
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
        arguments = tuple(_split(command) if isinstance(command, str) else command)
        where = shlex.join(arguments).replace("'{", "{").replace("}'", "}")
        _check_program(arguments, where)
        names, fixed = list(parameters), list(fixed)
        used = {name for argument in arguments for name in _placeholders(argument)}
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
        return any("checkpoint" in _placeholders(argument) for argument in self.arguments)

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
            if all(name in values for name in _placeholders(argument)):
                filled.append(_TOKEN.sub(lambda m: _text(m, values), argument))
            elif _TOKEN.fullmatch(argument) and filled[-1:] and filled[-1].startswith("-"):
                filled.pop()
        return filled

    def __call__(self, trial: Trial) -> None:
        """Run the program until the trial's job is over, or until it leaves."""
        values = {
            **trial.hparams,
            "units": trial.target,
            "seed": trial.seed,
            "trial": trial.number,
        }
        if self.resumes:
            checkpoint = trial.directory.resolve() / "checkpoint"
            checkpoint.mkdir(exist_ok=True)
            values["checkpoint"] = checkpoint
        program = _Program(self.fill(values), GRACE if self.resumes else 1.0)
        trial.runs(program.pid)
        try:
            self._follow(program, trial)
        finally:
            program.end()
            trial.runs(None)

    def _follow(self, program: _Program, trial: Trial) -> None:
        last, over = 0, math.inf
        for line in program.lines():
            enough = trial.stopped and (not self.resumes or time.monotonic() > over)
            if enough:
                return
            if report := _parse(line):
                # The checkpoint of the job's last unit may still be in writing, so a program that
                # has one gets until its next report, which is kept for the next job; or until it
                # leaves, or a little while.
                enough = trial.stopped
                last = _feed(trial, report, last)
                if enough:
                    return
                over = time.monotonic() + GRACE
            elif self.timeout is not None and program.silent > self.timeout:
                raise TrainableError(
                    f"the program printed nothing for {self.timeout:g} s and was ended",
                    fix="raise the timeout if a unit takes longer",
                )
            if line and not report:
                _log(line)
        code = program.wait()
        if code and not trial.stopped:
            raise TrainableError(_ended(code, program.errors))


class _Program:
    """A running program, in a process group of its own, and the lines that it prints.

    Args:
        arguments: the program and its arguments.
        grace: seconds that it has to leave after SIGTERM.
    """

    def __init__(self, arguments: list[str], grace: float) -> None:
        try:
            self._process = subprocess.Popen(
                arguments,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise TrainableError(
                f"the program cannot be started: {error.strerror}", where=arguments[0]
            ) from error
        self._grace = grace
        self._heard = time.monotonic()
        self.errors: deque[str] = deque(maxlen=5)

    @property
    def pid(self) -> int:
        """The number of the process, and of its group."""
        return self._process.pid

    @property
    def silent(self) -> float:
        """Seconds since it last printed anything."""
        return time.monotonic() - self._heard

    def lines(self) -> Iterator[bytes]:
        """Give the lines of standard output, and ``b""`` now and then while there is none."""
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        partial = {self._process.stdout: b"", self._process.stderr: b""}
        with selectors.DefaultSelector() as pipes:
            for pipe in partial:
                pipes.register(pipe, selectors.EVENT_READ)
            while pipes.get_map():
                ready = pipes.select(0.2)
                if not ready:
                    if self._process.poll() is not None:
                        return  # something that it started still holds the pipe
                    yield b""
                for pipe in [pipe for pipe in partial if any(k.fileobj is pipe for k, _ in ready)]:
                    self._heard = time.monotonic()
                    chunk = os.read(pipe.fileno(), 1 << 16)
                    whole, _, rest = (partial[pipe] + chunk).rpartition(b"\n")
                    if not chunk:
                        pipes.unregister(pipe)
                        whole, rest = rest, b""
                    partial[pipe] = rest
                    if pipe is self._process.stdout:
                        yield from whole.splitlines()
                    else:
                        self._complain(whole.splitlines())

    def _complain(self, lines: list[bytes]) -> None:
        for line in lines:
            _log(line)
            self.errors.append(line.decode(errors="replace").strip())

    def wait(self) -> int:
        """Wait until it has left, and return its exit status; negative for a signal."""
        return self._process.wait()

    def end(self) -> None:
        """End it and everything that it started."""
        if self._process.poll() is None:
            _signal_group(self._process.pid, signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(self._grace)
        _signal_group(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdout, self._process.stderr):
            assert pipe is not None
            pipe.close()


def _signal_group(group: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)


def _split(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError as error:
        raise TrainableError(
            f"the command cannot be split into arguments: {error}",
            where=command,
            fix="close every quote",
        ) from error


def _placeholders(argument: str) -> list[str]:
    names = []
    for match in _TOKEN.finditer(argument):
        if match[0] in ("{", "}"):
            raise TrainableError(
                f"a single {match[0]} stands in the command",
                where=argument,
                fix=f"write {match[0] * 2} for a brace, {{name}} for a parameter",
            )
        if match[1] is not None:
            names.append(match[1])
    return names


def _text(match: re.Match[str], values: Mapping[str, Any]) -> str:
    if match[1] is None:
        return match[0][0]
    value = values[match[1]]
    # repr gives the shortest decimal that reads back as the same number.
    return str(value).lower() if isinstance(value, bool) else str(value)


def _check_program(arguments: tuple[str, ...], where: str) -> None:
    if not arguments:
        raise TrainableError("the command is empty", fix="give a program and its arguments")
    if not _placeholders(arguments[0]) and shutil.which(arguments[0]) is None:
        raise TrainableError(
            f"there is no program {arguments[0]!r}", where=where, fix="check its path"
        )


def _parse(line: bytes) -> dict[str, Any] | None:
    """Return the report in a line; ``None`` where the line does not begin with a brace."""
    if not line.lstrip().startswith(b"{"):
        return None
    text = _C_NAN.sub(": NaN", line.decode(errors="replace"))
    try:
        report = json.loads(text)
    except ValueError as error:
        raise TrainableError(
            f"the program printed a line that is not JSON: {text:.80} ({error})",
            fix='print reports as {"unit": 3, "loss": 0.21}, and nothing else that starts with {',
        ) from error
    if "unit" not in report:
        raise TrainableError(
            f"the program printed a report without a unit: {text:.80}",
            fix='print reports as {"unit": 3, "loss": 0.21}',
        )
    return dict(report)


def _feed(trial: Trial, report: dict[str, Any], last: int) -> int:
    """Hand a report to the trial; return its unit."""
    unit = report.pop("unit")
    if type(unit) is not int or unit <= last:
        raise TrainableError(
            f"the program reported unit {unit!r} after unit {last}",
            fix="count units up from 1, or from the checkpoint's unit",
        )
    trial.record(unit, report)
    return unit


def _ended(code: int, errors: Iterable[str]) -> str:
    what = f"exited with status {code}" if code > 0 else f"was ended by {_signal_name(-code)}"
    tail = " | ".join(line[:_LONGEST] for line in errors)  # a program may write without end
    return f"the program {what}" + (f": {tail}" if tail else "")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _log(line: bytes) -> None:
    sys.stdout.write(line.decode(errors="replace") + "\n")
    sys.stdout.flush()
