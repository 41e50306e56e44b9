"""evosax's evolution strategies under its own restarts, BIPOP, in double precision."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from _bbob_problems import Recorder

FULL = 100  # dimensions up to which a whole covariance is learned
STEP = 0.2  # of the bounds' distance


def evosax(problem: Recorder, seed: int) -> None:
    """CMA-ES, and in large dimensions LM-MA-ES, begun again where it has converged or is lost."""
    with jax.enable_x64(True):
        _evosax(problem, np.random.default_rng(seed), jax.random.key(seed))


def _evosax(problem: Recorder, rng: np.random.Generator, key: jax.Array) -> None:
    p = problem.problem
    method, restarts, ended = _tools(p.dimension)
    settings, runs = _settings(method), restarts.init(method)
    state = method.init(key, _begin(rng, p.dimension), settings)
    while True:
        key, ask, tell, again = jax.random.split(key, 4)
        candidates, state = method.ask(ask, state, settings)
        lost = not np.all(np.isfinite(candidates))
        if not lost:
            values = jnp.asarray([problem(p.at(u)) for u in np.asarray(candidates)])
            state, _ = method.tell(tell, candidates, values, state, settings)
        if lost or ended(candidates, values, state, settings, runs):
            method, settings, state, runs = restarts.restart(again, method, state, settings, runs)
            state = state.replace(mean=_begin(rng, p.dimension))


def _begin(rng: np.random.Generator, dimension: int) -> jax.Array:
    return jnp.asarray(0.1 + 0.8 * rng.random(dimension))


@lru_cache
def _tools(dimension: int) -> tuple[Any, Any, Any]:
    """Return the first method, its restarts, and whether a run has ended; compiled once."""
    from evosax.core.restart import BIPOPRestart, cma_cond, spread_cond

    size = 4 + int(3 * np.log(dimension))
    signs = (spread_cond, cma_cond) if dimension <= FULL else (spread_cond,)
    restarts = BIPOPRestart(
        lambda population: _method(dimension, population),
        size,
        signs,
        strategy_params_factory=lambda method, previous: _settings(method),
    )
    return _method(dimension, size), restarts, jax.jit(restarts.should_restart)


@lru_cache
def _method(dimension: int, population: int) -> Any:
    from evosax.algorithms import CMA_ES, LM_MA_ES

    kind = CMA_ES if dimension <= FULL else LM_MA_ES
    return kind(population_size=population, solution=jnp.zeros(dimension))


def _settings(method: Any) -> Any:
    return method.default_params.replace(std_init=jnp.asarray(STEP))
