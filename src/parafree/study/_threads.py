"""Matrices in one thread: those of a search are small, and threads that wait for them spin.

On two cores with other work on them, a model of ten dimensions took fifty times as long with
OpenBLAS's own threads as with one. It is set for the search's process alone: functions and programs
run in others.
"""

from __future__ import annotations

from contextlib import AbstractContextManager


def one_thread() -> AbstractContextManager[object]:
    """Return a context in which linear algebra on the host takes one thread.

    Example:
        >>> with one_thread():
        ...     pass
    """
    import scipy.linalg  # noqa: F401  # whose library JAX uses; it must be there to be set
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    limits: AbstractContextManager[object] = threadpool_limits(limits=1, user_api="blas")
    return limits
