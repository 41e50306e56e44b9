"""Random keys derived from names, so that any order of work gives the same bits."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import jax


def integer_from_names(seed: int, *names: str | int) -> int:
    """Derive a 32-bit integer from a seed and a path of names.

    Two different paths give independent integers; the same path always gives the same one,
    on every machine and in every process.

    Args:
        seed: any integer.
        *names: the path, for example ``"trial", 17``.

    Returns:
        An integer in ``[0, 2**32)``.

    Example:
        >>> integer_from_names(0, "trial", 17) == integer_from_names(0, "trial", 17)
        True
        >>> integer_from_names(0, "trial", 17) == integer_from_names(0, "trial", 18)
        False
    """
    # JSON-like quoting keeps ("ab", "c") and ("a", "bc") apart, and "1" apart from 1.
    path = repr((int(seed), *names)).encode()
    return int.from_bytes(hashlib.sha256(path).digest()[:4], "little")


def key_from_names(seed: int, *names: str | int) -> jax.Array:
    """Derive a typed JAX key from a seed and a path of names.

    Args:
        seed: any integer.
        *names: the path, for example ``"trial", 17``.

    Returns:
        A scalar key array.

    Example:
        >>> import jax
        >>> key = key_from_names(0, "trial", 17)
        >>> bool((jax.random.key_data(key) == jax.random.key_data(key)).all())
        True
    """
    import jax

    return jax.random.key(integer_from_names(seed, *names))
