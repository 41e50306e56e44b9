"""The four kinds of parameter: a real number, a whole number, a choice, and yes or no.

Each maps the interval [0, 1] onto its values and back. Arrays hold a parameter in *array form*:
a real as a float, a whole number as an int, yes or no as a bool, a choice as the index of the
option. Functions that work on arrays take the array module ``xp`` (NumPy or ``jax.numpy``), so
that one piece of code serves both.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import KW_ONLY, MISSING, dataclass, fields
from functools import cached_property
from typing import Any, NoReturn

import numpy as np

from parafree.core._expression import Symbol
from parafree.core.errors import SpaceError

Scalar = str | int | float | bool | None | tuple[Any, ...]
"""What an option or a fixed value can be: all of it can be written as JSON."""

_INT_LIMIT = 2**31 - 1


@dataclass(frozen=True)
class Real:
    """A real number between two bounds.

    Args:
        low: the smallest value.
        high: the largest value.
        log: whether the parameter's order of magnitude matters rather than its value.
        when: an expression over other parameters; the parameter exists only where it is true.
        help: one line that says what the parameter does.
        unit: what the number is measured in, for example ``"s"``.

    Raises:
        SpaceError: when no such parameter can exist.

    Example:
        >>> Real(1e-5, 1.0, log=True, help="learning rate").pick(0.5)
        0.00316...
    """

    low: float
    high: float
    _: KW_ONLY
    log: bool = False
    when: str | None = None
    help: str = ""
    unit: str = ""

    def __repr__(self) -> str:
        return _show(self)

    def __post_init__(self) -> None:
        _check_texts(self)
        for side in ("low", "high"):
            object.__setattr__(self, side, _finite(getattr(self, side), side, self))
        _check_order(self)
        if not math.isfinite(self.high - self.low) or self._width == 0:
            _refuse("the bounds are too far apart or too close together", self, "move them")

    @cached_property
    def _start(self) -> float:
        return math.log(self.low) if self.log else self.low

    @cached_property
    def _width(self) -> float:
        return (math.log(self.high) if self.log else self.high) - self._start

    @property
    def static(self) -> bool:
        """A real number never changes a shape."""
        return False

    @property
    def first(self) -> float:
        """The value that stands in where the parameter is not active."""
        return self.low

    @property
    def symbol(self) -> Symbol:
        """What the parameter's name stands for in an expression."""
        return Symbol("number")

    def decode(self, u: Any, xp: Any) -> Any:
        """Map points of [0, 1] to values in array form."""
        place = self._start + u * self._width
        return xp.clip(xp.exp(place) if self.log else place, self.low, self.high)

    def encode(self, values: Any, xp: Any) -> Any:
        """Map values in array form to points of [0, 1]."""
        place = xp.log(values) if self.log else values
        return xp.clip((place - self._start) / self._width, 0.0, 1.0)

    def operand(self, values: Any, xp: Any) -> Any:
        """Turn values in array form into what expressions compute with."""
        return xp.asarray(values, dtype=float)

    def pick(self, u: float) -> float:
        """Map one point of [0, 1] to the user's value."""
        place = self._start + u * self._width
        value = math.exp(place) if self.log else place
        return min(max(value, self.low), self.high)

    def place(self, value: float) -> float:
        """Map one of the user's values to a point of [0, 1]."""
        place = math.log(value) if self.log else value
        return min(max((place - self._start) / self._width, 0.0), 1.0)

    def check(self, value: Any, name: str) -> float:
        """Return ``value`` as a float, or say why it is impossible."""
        number = _number(value)
        if number is None or not self.low <= number <= self.high:
            raise _outside(value, name, f"a number from {self.low!r} to {self.high!r}")
        return float(number)

    def number(self, value: float) -> float:
        """Return what a compiled program gets for ``value``."""
        return value


@dataclass(frozen=True)
class Int:
    """A whole number between two bounds, both included.

    Args:
        low: the smallest value.
        high: the largest value.
        log: whether the parameter's order of magnitude matters rather than its value.
        static: whether the parameter changes the shapes of arrays, so that it must be known
            when a program is compiled.
        buckets: a static parameter with more values than this takes only so many of them,
            spread evenly (by their ratio where ``log``) from ``low`` to ``high``.
        when: an expression over other parameters; the parameter exists only where it is true.
        help: one line that says what the parameter does.
        unit: what the number is measured in.

    Raises:
        SpaceError: when no such parameter can exist.

    Example:
        >>> Int(16, 128, log=True, static=True).grid
        (16, 32, 64, 128)
    """

    low: int
    high: int
    _: KW_ONLY
    log: bool = False
    static: bool = False
    buckets: int = 4
    when: str | None = None
    help: str = ""
    unit: str = ""

    def __repr__(self) -> str:
        return _show(self)

    def __post_init__(self) -> None:
        _check_texts(self)
        for side in ("low", "high", "buckets"):
            object.__setattr__(self, side, _whole(getattr(self, side), side, self))
        _check_order(self)
        if max(abs(self.low), abs(self.high), self.high - self.low) > _INT_LIMIT:
            _refuse("the bounds do not fit in 32 bits", self, "use Real, or a smaller range")
        if self.buckets < 2:
            _refuse("buckets must be at least 2", self, "or write a plain value")

    @cached_property
    def grid(self) -> tuple[int, ...]:
        """The only values of a static parameter that has too many; else empty."""
        if not self.static or self.high - self.low < self.buckets:
            return ()
        space = np.geomspace if self.log else np.linspace
        return tuple(sorted({int(v) for v in np.rint(space(self.low, self.high, self.buckets))}))

    @cached_property
    def _cells(self) -> int:
        return len(self.grid) or self.high - self.low + 1

    @cached_property
    def _start(self) -> float:
        return math.log(self.low - 0.5)  # half a step below, so that each end gets a whole cell

    @cached_property
    def _width(self) -> float:
        return math.log(self.high + 0.5) - self._start

    @cached_property
    def _smooth(self) -> bool:
        return self.log and not self.grid

    @property
    def cardinality(self) -> int:
        """How many values the parameter can take."""
        return self._cells

    @property
    def first(self) -> int:
        """The value that stands in where the parameter is not active."""
        return self.low

    @property
    def symbol(self) -> Symbol:
        """What the parameter's name stands for in an expression."""
        return Symbol("number")

    def decode(self, u: Any, xp: Any) -> Any:
        """Map points of [0, 1] to values in array form."""
        if self._smooth:
            value = xp.rint(xp.exp(self._start + u * self._width))
            return xp.clip(value.astype(int), self.low, self.high)
        cell = _cell(u, self._cells, xp)
        return xp.asarray(self.grid)[cell] if self.grid else self.low + cell

    def encode(self, values: Any, xp: Any) -> Any:
        """Map values in array form to points of [0, 1], the middle of each value's cell."""
        if self._smooth:
            return (xp.log(xp.asarray(values, dtype=float)) - self._start) / self._width
        values = xp.asarray(values)
        cell = xp.searchsorted(xp.asarray(self.grid), values) if self.grid else values - self.low
        return (cell.astype(float) + 0.5) / self._cells

    def operand(self, values: Any, xp: Any) -> Any:
        """Turn values in array form into what expressions compute with."""
        return xp.asarray(values, dtype=float)

    def pick(self, u: float) -> int:
        """Map one point of [0, 1] to the user's value."""
        if self._smooth:
            return min(max(round(math.exp(self._start + u * self._width)), self.low), self.high)
        cell = min(int(u * self._cells), self._cells - 1)
        return self.grid[cell] if self.grid else self.low + cell

    def place(self, value: int) -> float:
        """Map one of the user's values to a point of [0, 1]."""
        if self._smooth:
            return (math.log(value) - self._start) / self._width
        cell = self.grid.index(value) if self.grid else value - self.low
        return (cell + 0.5) / self._cells

    def check(self, value: Any, name: str) -> int:
        """Return ``value`` as an int, or say why it is impossible."""
        number = _number(value)
        if number is None or not self.low <= number <= self.high or number != int(number):
            raise _outside(value, name, f"a whole number from {self.low} to {self.high}")
        if self.grid and number not in self.grid:
            fix = "; raise `buckets` to allow more of them"
            raise _outside(value, name, f"one of {', '.join(map(str, self.grid))}{fix}")
        return int(number)

    def number(self, value: int) -> int:
        """Return what a compiled program gets for ``value``."""
        return value


@dataclass(frozen=True)
class Choice:
    """One of several options.

    Args:
        options: text, numbers, ``True``, ``False``, ``None``, or lists of these. All different.
        static: whether the parameter must be known when a program is compiled.
        when: an expression over other parameters; the parameter exists only where it is true.
        help: one line that says what the parameter does.

    Raises:
        SpaceError: when no such parameter can exist.

    Example:
        >>> Choice(["relu", "tanh"]).pick(0.9)
        'tanh'
    """

    options: tuple[Any, ...]
    _: KW_ONLY
    static: bool = False
    when: str | None = None
    help: str = ""

    def __repr__(self) -> str:
        return _show(self)

    def __post_init__(self) -> None:
        _check_texts(self)
        # A set is refused too: its order would differ from one process to the next.
        if isinstance(self.options, str | set | frozenset | Mapping | None) or not isinstance(
            self.options, Iterable
        ):
            _refuse("the options must be a list", self, "write Choice(['a', 'b'])")
        listed = list(self.options)
        options = tuple(plain(option, f"Choice({listed!r})") for option in listed)
        if not options:
            _refuse("a choice needs at least one option", self, "list what it may be")
        object.__setattr__(self, "options", options)
        # 1, 1.0 and True are one and the same to an expression and to a dictionary.
        if len(self._index) < len(options):
            twice = next(o for i, o in enumerate(options) if self._index[o] != i)
            _refuse(f"the option {twice!r} is given twice", self, "remove one of them")

    @cached_property
    def _index(self) -> dict[Any, int]:
        return {option: i for i, option in enumerate(self.options)}

    @cached_property
    def numeric(self) -> bool:
        """Whether every option is a number, so that a program can compute with it."""
        return all(is_number(option) for option in self.options)

    @cached_property
    def _numbers(self) -> tuple[Any, ...]:
        """What a compiled program gets for each option; all of one type."""
        if not self.numeric:
            return tuple(range(len(self.options)))
        if any(isinstance(option, float) for option in self.options):
            return tuple(float(option) for option in self.options)
        return self.options

    @property
    def cardinality(self) -> int:
        """How many values the parameter can take."""
        return len(self.options)

    @property
    def first(self) -> Any:
        """The value that stands in where the parameter is not active."""
        return self.options[0]

    @property
    def symbol(self) -> Symbol:
        """What the parameter's name stands for in an expression."""
        return Symbol("number") if self.numeric else Symbol("option", self.options)

    def decode(self, u: Any, xp: Any) -> Any:
        """Map points of [0, 1] to indices of options."""
        return _cell(u, len(self.options), xp)

    def encode(self, values: Any, xp: Any) -> Any:
        """Map indices of options to points of [0, 1], the middle of each option's cell."""
        return (xp.asarray(values, dtype=float) + 0.5) / len(self.options)

    def operand(self, values: Any, xp: Any) -> Any:
        """Turn values in array form into what expressions compute with."""
        index = xp.asarray(values)
        return xp.asarray(self.options, dtype=float)[index] if self.numeric else index

    def pick(self, u: float) -> Any:
        """Map one point of [0, 1] to the user's value."""
        count = len(self.options)
        return self.options[min(int(u * count), count - 1)]

    def place(self, value: Any) -> float:
        """Map one of the user's values to a point of [0, 1]."""
        return (self._index[value] + 0.5) / len(self.options)

    def check(self, value: Any, name: str) -> Any:
        """Return the option that equals ``value``, or say that there is none."""
        try:
            return self.options[self._index[plain(value, name)]]
        except (KeyError, SpaceError):
            listed = ", ".join(map(repr, self.options))
            raise _outside(value, name, f"one of {listed}") from None

    def number(self, value: Any) -> Any:
        """Return what a compiled program gets: the number, or the index of the option."""
        return self._numbers[self.index(value)]

    def index(self, value: Any) -> int:
        """Return the index of an option; a list that JSON made of a tuple is one too."""
        return self._index[plain(value, "option") if isinstance(value, list) else value]


@dataclass(frozen=True)
class Bool:
    """Yes or no.

    Args:
        static: whether the parameter must be known when a program is compiled.
        when: an expression over other parameters; the parameter exists only where it is true.
        help: one line that says what the parameter does.

    Example:
        >>> Bool(help="whether to normalise").pick(0.7)
        True
    """

    _: KW_ONLY
    static: bool = False
    when: str | None = None
    help: str = ""

    def __repr__(self) -> str:
        return _show(self)

    def __post_init__(self) -> None:
        _check_texts(self)

    @property
    def cardinality(self) -> int:
        """How many values the parameter can take."""
        return 2

    @property
    def first(self) -> bool:
        """The value that stands in where the parameter is not active."""
        return False

    @property
    def symbol(self) -> Symbol:
        """What the parameter's name stands for in an expression."""
        return Symbol("truth")

    def decode(self, u: Any, xp: Any) -> Any:
        """Map points of [0, 1] to true or false."""
        return u >= 0.5

    def encode(self, values: Any, xp: Any) -> Any:
        """Map true or false to points of [0, 1]."""
        return xp.asarray(values, dtype=float) * 0.5 + 0.25

    def operand(self, values: Any, xp: Any) -> Any:
        """Turn values in array form into what expressions compute with."""
        return xp.asarray(values, dtype=bool)

    def pick(self, u: float) -> bool:
        """Map one point of [0, 1] to the user's value."""
        return u >= 0.5

    def place(self, value: bool) -> float:
        """Map one of the user's values to a point of [0, 1]."""
        return 0.75 if value else 0.25

    def check(self, value: Any, name: str) -> bool:
        """Return ``value`` as a bool, or say why it is impossible."""
        if isinstance(value, bool | np.bool_):
            return bool(value)
        raise _outside(value, name, "True or False")

    def number(self, value: bool) -> bool:
        """Return what a compiled program gets for ``value``."""
        return value


Parameter = Real | Int | Choice | Bool


def plain(value: Any, where: str) -> Any:
    """Return ``value`` as plain, hashable Python that JSON can hold, or refuse it."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, list | tuple):
        return tuple(plain(part, where) for part in value)
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise SpaceError(
        f"{value!r} cannot be a value: it cannot be written as JSON",
        where=where,
        fix="use text, finite numbers, True, False, None or lists of these",
    )


def is_number(value: Any) -> bool:
    """Whether ``value`` is an int or a float; True and False are not numbers here."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _cell(u: Any, count: int, xp: Any) -> Any:
    """Number of the cell that holds ``u`` when [0, 1] is cut in ``count`` equal ones."""
    return xp.clip((u * count).astype(int), 0, count - 1)


def _number(value: Any) -> int | float | None:
    """Return ``value`` as a finite Python number, or ``None`` when it is none."""
    if isinstance(value, np.generic | np.ndarray) and value.ndim == 0:
        value = value.item()
    if not is_number(value):
        return None
    return value if isinstance(value, int) or math.isfinite(value) else None


def _finite(value: Any, side: str, parameter: Any) -> float:
    number = _number(value)
    if number is None:
        _refuse(f"{side} must be a finite number, not {value!r}", parameter, "write a number")
    try:
        return float(number)
    except OverflowError:
        _refuse(f"{side} is too large for a floating-point number", parameter, "lower it")


def _whole(value: Any, side: str, parameter: Any) -> int:
    number = _number(value)
    if number is None or number != int(number):
        _refuse(f"{side} must be a whole number, not {value!r}", parameter, "or use Real")
    return int(number)


def _check_order(parameter: Real | Int) -> None:
    if parameter.low >= parameter.high:
        fix = "give the smaller bound first; write a plain value for a parameter that is fixed"
        _refuse("low must be below high", parameter, fix)
    if parameter.log and parameter.low <= 0:
        _refuse("log needs a low bound above zero", parameter, "raise low, or leave out log")


def _check_texts(parameter: Any) -> None:
    """Refuse fields of the wrong type, which a file can easily hold."""
    for name in ("log", "static"):
        if not isinstance(getattr(parameter, name, False), bool):
            _refuse(f"{name} must be True or False", parameter, "write it without quotes")
    for name in ("help", "unit"):
        if not isinstance(getattr(parameter, name, ""), str):
            _refuse(f"{name} must be text", parameter, "write it between quotes")
    if not isinstance(parameter.when, str | None):
        _refuse("`when` must be text", parameter, "write the condition between quotes")


def _show(parameter: Any) -> str:
    """Write a parameter as a user would: without what is at its default."""
    parts = []
    for field in fields(parameter):
        value = getattr(parameter, field.name)
        if field.default is MISSING:
            parts.append(repr(list(value) if isinstance(value, tuple) else value))
        elif value != field.default:
            parts.append(f"{field.name}={value!r}")
    return f"{type(parameter).__name__}({', '.join(parts)})"


def _refuse(what: str, parameter: Any, fix: str) -> NoReturn:
    raise SpaceError(what, where=repr(parameter), fix=fix)


def _outside(value: Any, name: str, allowed: str) -> SpaceError:
    return SpaceError(f"{name} cannot be {value!r}", where=name, fix=f"it must be {allowed}")
