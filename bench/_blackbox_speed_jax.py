"""Runs our methods and those of evosax: ask, evaluate and tell in one compiled loop."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from _blackbox_speed_objectives import Objective, Timed

LOW, HIGH = -5.0, 5.0


class Speed(NamedTuple):
    """What a run has shown."""

    per_s: float  # evaluations in a second
    compile_s: float  # before the first of them


class Host(NamedTuple):
    """What a batch costs on top of the objective, when that is a function on the host."""

    batch_s: float
    count: int  # candidates in it


Begin = Callable[[Any], Any]  # key -> state
Step = Callable[[Any, Any, Any], Any]  # key to ask, key to tell, state -> state


def ours(method: Any, objective: Objective, dimension: int) -> tuple[Begin, Step]:
    """Return a method of this room on an objective, as pure functions."""

    def begin(key: Any) -> Any:
        return method.init(key, region(dimension))

    def step(ask: Any, tell: Any, state: Any) -> Any:
        x, state = method.ask(ask, state)
        return method.tell(tell, state, x, jax.vmap(objective.jax)(x))[0]

    return begin, step


def evosax(name: str, population: int, objective: Objective, dimension: int) -> tuple[Begin, Step]:
    """Return an algorithm of evosax on an objective, as pure functions."""
    from evosax import algorithms

    middle = jnp.zeros(dimension)
    # Its random search is told how to draw; the others know.
    told = {"sampling_fn": _even(dimension)} if name == "RandomSearch" else {}
    algorithm = getattr(algorithms, name)(population_size=population, solution=middle, **told)
    params = algorithm.default_params
    populated = name in algorithms.population_based_algorithms

    def begin(key: Any) -> Any:
        if not populated:
            return algorithm.init(key, middle, params)
        x = jax.vmap(_even(dimension))(jax.random.split(key, population))
        return algorithm.init(key, x, jax.vmap(objective.jax)(x), params)

    def step(ask: Any, tell: Any, state: Any) -> Any:
        x, state = algorithm.ask(ask, state, params)
        return algorithm.tell(tell, x, jax.vmap(objective.jax)(x), state, params)[0]

    return begin, step


def _even(dimension: int) -> Callable[[Any], Any]:
    """Return how to draw a point evenly."""
    return lambda key: jax.random.uniform(key, (dimension,), minval=LOW, maxval=HIGH)


def length(population: int, dimension: int) -> int:
    """Return how many batches a search has before it begins anew: 100 d evaluations, or 30.

    One that has come to its end does nothing, which is fast.
    """
    return max(100 * dimension // population, 30)


def measure(method: tuple[Begin, Step], population: int, batches: int, seconds: float) -> Speed:
    """Compile searches of any length, and take the longest row that does not last much longer."""
    begin, step = method

    def turn(_: Any, carry: tuple[Any, Any]) -> tuple[Any, Any]:
        # One split for all keys: JAX's generator takes longer to compile than some methods.
        key, ask, tell = jax.random.split(carry[0], 3)
        return key, step(ask, tell, carry[1])

    @jax.jit
    def run(key: Any, searches: Any, turns: Any) -> Any:
        def search(_: Any, carry: tuple[Any, Any]) -> tuple[Any, Any]:
            return jax.lax.fori_loop(0, turns, turn, (carry[0], begin(carry[0])))

        empty = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(begin, key))
        return jax.lax.fori_loop(0, searches, search, (key, empty))[1]

    key, searches, turns = jax.random.key(0), 1, 1
    began = time.perf_counter()
    compiled = run.lower(key, searches, turns).compile()
    compile_s = time.perf_counter() - began
    jax.block_until_ready(compiled(key, searches, turns))
    while True:
        began = time.perf_counter()
        jax.block_until_ready(compiled(key, searches, turns))
        took = time.perf_counter() - began
        if took >= seconds:
            return Speed(searches * turns * population / took, compile_s)
        count = int(searches * turns * min(10.0, max(2.0, 1.2 * seconds / took)))
        turns = min(count, batches)
        searches = count // turns


def on_host(method: Any, objective: Objective, dimension: int, seconds: float) -> Host:
    """Return what ask and tell take for each batch, compiled calls that may reuse a state."""
    ask, tell = (jax.jit(each, donate_argnums=1) for each in (method.ask, method.tell))
    start = method.init(jax.random.key(0), region(dimension))
    state = jax.tree.map(jnp.array, start)
    keys = jax.random.key_data(jax.random.split(jax.random.key(1), 128))
    keys = [jax.random.wrap_key_data(key) for key in np.asarray(keys)]
    host, batches, count, most = Timed(objective), 0, 1, 3
    for warm in (True, False):
        began, host.seconds, batches = time.perf_counter(), 0.0, 0
        while batches < 3 or (not warm and time.perf_counter() - began < seconds):
            if batches % most == 0:
                state = jax.tree.map(jnp.array, start)  # a copy, as a state is used up
            x, state = ask(keys[batches % 64], state)
            values = host(np.asarray(x)).astype(np.float32)
            state, info = tell(keys[64 + batches % 64], state, x, values)
            jax.block_until_ready(info)
            batches, count = batches + 1, len(values)
        most = length(count, dimension)
    return Host((time.perf_counter() - began - host.seconds) / batches, count)


def region(dimension: int) -> Any:
    """Return where to look: from the middle, within the bounds."""
    from parafree.blackbox import Region

    return Region(jnp.zeros(dimension), low=LOW, high=HIGH)
