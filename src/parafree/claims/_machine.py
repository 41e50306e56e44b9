"""On what a claim was measured."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path

_PACKAGES = ("parafree", "jax", "numpy", "scikit-learn")


def describe() -> dict[str, str]:
    """Return the processor, the memory, and the versions of what takes part.

    Example:
        >>> sorted(describe())[:3]
        ['cores', 'jax', 'memory']
    """
    import psutil

    cores = psutil.cpu_count() or 1
    return {
        "processor": _processor(),
        "cores": str(cores),
        "memory": f"{psutil.virtual_memory().total / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
    } | {name: version(name) for name in _PACKAGES}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        return platform.processor() or "unknown processor"
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or "unknown processor"
