"""How fast this machine copies memory: the least time that a step could take."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from os import cpu_count

import jax
import jax.numpy as jnp
import numpy as np

REPEATS = 7


def copy_bandwidth(size: int) -> float:
    """Return bytes read and written per second, within ``size`` bytes of memory, at the best.

    The best of a copy of one half to the other by all cores, and of a compiled change of the whole
    in place, which is what a step does.
    """
    return max(_copied(size // 2), _changed(size))


def _copied(size: int) -> float:
    cores = cpu_count() or 1
    a, b = np.ones(size // 4, np.float32), np.ones(size // 4, np.float32)
    parts = list(zip(np.array_split(a, cores), np.array_split(b, cores), strict=True))
    turns = _turns(size)

    def work(part: tuple[np.ndarray, np.ndarray]) -> None:
        for _ in range(turns):
            np.copyto(part[1], part[0])

    with ThreadPoolExecutor(cores) as pool:
        return 2 * size * turns / _best(lambda: list(pool.map(work, parts)))


def _changed(size: int) -> float:
    turns = _turns(size)

    @partial(jax.jit, donate_argnums=0)
    def change(x: jax.Array, factor: jax.Array) -> jax.Array:
        return jax.lax.fori_loop(0, turns, lambda _, x: x * factor, x)

    # A factor that is known when this is compiled might be multiplied out.
    x, factor = jnp.ones(size // 4, jnp.float32), jnp.float32(-1)

    def work() -> None:
        nonlocal x
        x = jax.block_until_ready(change(x, factor))

    work()
    return 2 * size * turns / _best(work)


def _turns(size: int) -> int:
    return max(1, 50_000_000 // size)


def _best(work: object) -> float:
    seconds = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        work()  # type: ignore[operator]
        seconds.append(time.perf_counter() - began)
    return min(seconds)
