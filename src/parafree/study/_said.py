"""What a program says: its lines as reports, and its end in words."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Iterable
from typing import Any

from parafree.core.errors import TrainableError

_C_NAN = re.compile(r":\s*[-+]?(nan|inf|infinity)\b", re.IGNORECASE)
_LONGEST = 500  # characters of a line of errors that a message repeats


def parse(line: bytes) -> dict[str, Any] | None:
    """Return the report in a line; ``None`` where the line does not begin with a brace.

    Raises:
        TrainableError: it does, but is no report.

    Example:
        >>> parse(b'{"unit": 3, "loss": 0.21}'), parse(b"epoch 3")
        ({'unit': 3, 'loss': 0.21}, None)
        >>> parse(b'{"unit": 3, "loss": -nan}')  # as C prints it
        {'unit': 3, 'loss': nan}
    """
    if not line.lstrip().startswith(b"{"):
        return None
    text = repaired(line.decode(errors="replace"))
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


def repaired(text: str) -> str:
    """Return JSON in which NaN and infinity, as other languages print them, can be read.

    Example:
        >>> repaired('{"loss": -inf}')
        '{"loss": NaN}'
    """
    return _C_NAN.sub(": NaN", text)


def unit_of(report: dict[str, Any], last: int) -> int:
    """Take the unit out of a report, and check it.

    Raises:
        TrainableError: it is none, or does not come after ``last``.

    Example:
        >>> unit_of({"unit": 3}, last=2)
        3
    """
    unit = report.pop("unit")
    if type(unit) is not int or unit <= last:
        raise TrainableError(
            f"the program reported unit {unit!r} after unit {last}",
            fix="count units up from 1, or from the checkpoint's unit",
        )
    return unit


def ended(code: int, errors: Iterable[str]) -> str:
    """Say how a program ended, with its last lines of standard error.

    Example:
        >>> ended(3, ["no such file"]), ended(-9, [])
        ('the program exited with status 3: no such file', 'the program was ended by SIGKILL')
    """
    what = f"exited with status {code}" if code > 0 else f"was ended by {_signal_name(-code)}"
    tail = " | ".join(line[:_LONGEST] for line in errors)  # a program may write without end
    return f"the program {what}" + (f": {tail}" if tail else "")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
