"""JAX's persistent compilation cache, so that a second run of a study starts at once."""

from __future__ import annotations

import os
from pathlib import Path


def use_compilation_cache() -> None:
    """Keep compiled programs between runs, unless the user has set JAX's cache up already."""
    import jax

    if jax.config.jax_compilation_cache_dir is None:  # type: ignore[attr-defined]
        base = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
        jax.config.update("jax_compilation_cache_dir", str(base / "parafree" / "jax"))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
