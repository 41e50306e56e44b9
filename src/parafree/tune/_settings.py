"""Checks and integer arithmetic on the settings that schedulers share."""

from __future__ import annotations

from typing import Any

from parafree.core.errors import MethodError


def require_integer(method: object, name: str, value: Any, low: int) -> None:
    """Raise MethodError unless ``value`` is an integer of at least ``low``."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= low:
        return
    raise MethodError(
        f"{name} is {value!r}, which is not an integer of at least {low}",
        where=f"{type(method).__name__}({name}=...)",
        fix=f"give {name} a whole number of at least {low}",
    )


def require_order(method: object, min_units: int, max_units: int) -> None:
    """Raise MethodError if the first comparison would come after the last unit."""
    if min_units <= max_units:
        return
    raise MethodError(
        f"min_units is {min_units}, which is more than max_units, {max_units}",
        where=f"{type(method).__name__}(min_units=..., max_units=...)",
        fix="make max_units at least min_units",
    )


def require_known(method: object, min_units: int | None) -> int:
    """Return ``min_units``, or raise MethodError if nobody has set or measured it yet."""
    if min_units is not None:
        return min_units
    raise MethodError(
        "min_units is not known yet",
        where=f"{type(method).__name__}(min_units=None)",
        fix="give min_units; only parafree.tune(...) measures it for you",
    )


def count_powers(ratio: int, eta: int) -> int:
    """Return the largest k with ``eta**k <= ratio``, exactly.

    A floating-point logarithm gets this wrong: ``math.log(243, 3)`` is less than 5.

    Example:
        >>> count_powers(243, 3), count_powers(242, 3)
        (5, 4)
    """
    k = 0
    while eta ** (k + 1) <= ratio:
        k += 1
    return k


def bracket_size(s: int, s_max: int, eta: int) -> int:
    """Return n of Hyperband's bracket s: ``ceil((s_max + 1) * eta**s / (s + 1))``, exactly.

    Li et al. 2018, arXiv:1603.06560, algorithm 1, line 2, with B = (s_max + 1) R.

    Example:
        >>> [bracket_size(s, 4, 3) for s in (4, 3, 2, 1, 0)]
        [81, 34, 15, 8, 5]
    """
    return -(-(s_max + 1) * eta**s // (s + 1))
