"""The population that a method is given: a shape, so it is checked before anything is compiled."""

from __future__ import annotations

from typing import Any

from parafree.core.errors import MethodError


def check_population(method: Any) -> None:
    """Refuse a population that is no whole number, or smaller than the method's ``least()``.

    Raises:
        MethodError: the population is neither ``None`` nor such a number.

    Example:
        >>> from parafree.blackbox import CMAES
        >>> CMAES(population=2)
        Traceback (most recent call last):
        ...
        parafree.core.errors.MethodError: population is 2 ...
    """
    given, least = method.population, method.least()
    if given is not None and (type(given) is not int or given < least):
        raise MethodError(
            f"population is {given!r}",
            where=f"parafree.blackbox.{type(method).__name__}",
            fix=f"give a whole number of at least {least}, or None",
        )
