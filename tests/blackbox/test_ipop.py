"""IPOP: generations made of batches equal the method's own; the optimum behind many others."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from parafree import run
from parafree.blackbox import CMAES, IPOP, Limits, Region, RmES, SepCMAES
from parafree.core.errors import MethodError


def bumps(x: Any) -> Any:
    """Rastrigin's function: one minimum in each unit cell."""
    return jnp.sum(x**2 + 10 * (1 - jnp.cos(2 * jnp.pi * x)))


@pytest.mark.parametrize("kind", [CMAES, SepCMAES, RmES])
def test_reference_a_generation_of_batches_equals_one_of_the_whole_population(
    kind: Any, valley: Any, double: Any
) -> None:
    """After the first restart every other batch completes a generation of twice as many."""
    small, large = kind(population=6, limits=Limits(step=1e9)), kind(population=12)
    wrapper = IPOP(small, doublings=1)
    state = wrapper.init(jax.random.key(0), jnp.zeros(3))

    @jax.jit
    def one(key: Any, state: Any) -> Any:
        ask, tell = jax.random.split(key)
        candidates, state = wrapper.ask(ask, state)
        return wrapper.tell(tell, state, candidates, jax.vmap(valley)(candidates))

    state, info = one(jax.random.key(1), state)  # ends at once, because of the limit
    assert int(info.restarts) == 1 and int(info.population) == 12
    learn_whole = jax.jit(large.learn, static_argnums=3)
    learn_batches = jax.jit(small.learn)
    for turn in range(2, 12, 2):
        before = state.inner
        state, _ = one(jax.random.key(turn), state)
        np.testing.assert_array_equal(state.inner.core.mean, before.core.mean)
        state, _ = one(jax.random.key(turn + 1), state)
        values = state.values[:12]
        want = learn_whole(before, state.draws[:12], values, 12)
        # The run has ended again, so look at what it learned through the method itself.
        found = learn_batches(before, state.draws, values, jnp.int32(12))
        np.testing.assert_allclose(found.core.mean, want.core.mean, rtol=1e-12)
        np.testing.assert_allclose(found.core.sigma, want.core.sigma, rtol=1e-12)


@pytest.mark.slow
def test_it_finds_the_optimum_behind_many_others() -> None:
    region = Region(jnp.full(4, 3.0), low=-5.0, high=5.0)
    result = run(IPOP(), bumps, region, jax.random.key(1), steps=6000)
    assert result.value < 1e-6
    assert int(result.info.inner.restarts) > 0


def test_only_what_can_change_its_population_is_taken() -> None:
    with pytest.raises(MethodError, match="cannot change its population"):
        IPOP(method=3)
