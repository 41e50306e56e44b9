"""How JAX is set up before a study runs, unless the user has set it up already."""

from __future__ import annotations

import contextlib
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

CORES_VARIABLE = "JAX_NUM_CPU_DEVICES"
"""JAX reads it when it starts: the number of devices that the processor counts as."""


def cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def use_all_cores() -> None:
    """Make each core a device of its own, so that lanes run on all of them at once.

    A batch of small networks on one device leaves most cores idle: on two cores, lanes on two
    devices did 1.7 times the work. After JAX has started this does nothing.
    """
    import jax

    if CORES_VARIABLE not in os.environ:
        with contextlib.suppress(RuntimeError):
            jax.config.update("jax_num_cpu_devices", cores())


def use_compilation_cache() -> None:
    """Keep compiled programs between runs, unless the user has set JAX's cache up already."""
    import jax

    if jax.config.jax_compilation_cache_dir is None:  # type: ignore[attr-defined]
        base = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
        jax.config.update("jax_compilation_cache_dir", str(base / "parafree" / "jax"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)


@lru_cache(maxsize=1)
def of_small_programs() -> dict[str, Any]:
    """Return XLA's options for programs on a few numbers, in which arithmetic takes no time.

    Its newer emitter makes loops over many numbers up to three times as fast, and takes as long to
    compile as all the rest. Without it a question and an answer of a search compile in half the
    time and are no slower. Empty where this version of XLA knows no such option.
    """
    import jax

    options = {"xla_cpu_use_fusion_emitters": False}
    try:
        jax.jit(lambda: 0, compiler_options=options)()
    except jax.errors.JaxRuntimeError:
        return {}
    return options
