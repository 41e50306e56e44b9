"""Whether a function of a configuration is written in JAX, and what it then looks like."""

from __future__ import annotations

import inspect
import sys
from types import CodeType, ModuleType
from typing import Any

from parafree.core.errors import TrainableError
from parafree.core.space import Choice, Space

_OWN = (
    "jax",
    "equinox",
    "optax",
    "diffrax",
    "lineax",
)  # packages in which JAX functions are written
_IMPURE = ("random", "time", "secrets", "subprocess", "os")


def written_in_jax(f: Any, space: Space) -> bool:
    """Whether ``f`` can run compiled, and was meant to.

    A plain Python function may pass through JAX's tracer and mean something else: one that draws
    random numbers would draw them once. So it must use JAX itself, and nothing impure; and the
    space must hold nothing but numbers that are always there, which look alike on both sides.

    Example:
        >>> import jax.numpy as jnp
        >>> from parafree import Real
        >>> space = Space(x=Real(0, 1))
        >>> written_in_jax(lambda config: jnp.sin(config["x"]), space)
        True
        >>> written_in_jax(lambda config: config["x"] ** 2, space)
        False
    """
    if any(p.when is not None for p in space.parameters.values()):
        return False
    if any(isinstance(p, Choice) and not p.numeric for p in space.parameters.values()):
        return False
    if not _mentions_jax(f):
        return False
    try:
        require_traceable(f, space)
    except TrainableError:
        return False
    return True


def require_traceable(f: Any, space: Space) -> None:
    """Check that a function can be traced to a real scalar.

    Raises:
        TrainableError: it cannot.
    """
    import jax
    import jax.numpy as jnp

    from parafree.study._ground import Ground

    ground = Ground(space)
    try:
        out = jax.eval_shape(ground.of_candidate(f), ground.like(jnp.result_type(float)))
    except Exception as error:
        line = (str(error).strip().splitlines() or [""])[0]
        raise TrainableError(
            f"the function cannot be compiled: {type(error).__name__}: {line}",
            where="parafree.minimize(compiled=True)",
            fix="write it with jax.numpy, or leave compiled out",
        ) from error
    if out.shape != () or not jnp.issubdtype(out.dtype, jnp.floating):
        raise TrainableError(
            f"the function returns {out.dtype}{list(out.shape)}, not one real number",
            where="parafree.minimize(compiled=True)",
            fix="reduce it, for example with jnp.mean",
        )


def _mentions_jax(f: Any) -> bool:
    if "jax" not in sys.modules:
        return False  # whoever wrote the function has not imported it
    if hasattr(f, "lower") and hasattr(f, "__wrapped__"):
        return True  # made by jax.jit
    function = f if inspect.isfunction(f) else inspect.getattr_static(type(f), "__call__", None)
    if not inspect.isfunction(function):
        return False
    packages = {_package(value) for value in _mentioned(function, set())}
    return bool(packages & set(_OWN)) and not packages & set(_IMPURE)


def _mentioned(function: Any, seen: set[Any]) -> list[Any]:
    """Return what a function, and those of its module that it calls, refer to by name."""
    if function in seen:
        return []
    seen.add(function)
    names = _names(function.__code__)
    found = [function.__globals__[name] for name in names if name in function.__globals__]
    found += [cell.cell_contents for cell in function.__closure__ or () if _filled(cell)]
    deeper = [each for each in found if inspect.isfunction(each) and _is_users(each)]
    return found + [thing for each in deeper for thing in _mentioned(each, seen)]


def _names(code: CodeType) -> set[str]:
    """Return the global names in a function, and in the functions within it."""
    inner = (const for const in code.co_consts if isinstance(const, CodeType))
    return set(code.co_names).union(*map(_names, inner))


def _filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


def _is_users(function: Any) -> bool:
    return _package(function) not in _OWN


def _package(value: Any) -> str:
    name = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
    return str(name or type(value).__module__).partition(".")[0]
