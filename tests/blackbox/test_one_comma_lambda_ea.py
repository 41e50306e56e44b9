"""(1,lambda)-EA: exact expected times of its Markov chain, and the success rule by hand."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import binom

from parafree import Bool, Space
from parafree.blackbox import OneCommaLambdaEA
from parafree.claims.hardest_monotone import times


def chain(n: int, offspring: int) -> float:
    """Expected generations on OneMax: the best of the offspring is the next parent."""
    move = np.zeros((n + 1, n + 1))
    for z in range(n + 1):
        gain, loss = np.meshgrid(np.arange(z + 1), np.arange(n - z + 1), indexing="ij")
        single = np.zeros(n + 1)
        chance = binom.pmf(gain, z, 1 / n) * binom.pmf(loss, n - z, 1 / n)
        np.add.at(single, z - gain + loss, chance)
        more = np.append(np.cumsum(single[::-1])[::-1], 0) ** offspring
        move[z] = more[:-1] - more[1:]
    steps = np.linalg.solve(np.eye(n) - move[1:, 1:], np.ones(n))
    return float(binom.pmf(np.arange(1, n + 1), n, 0.5) @ steps)


@pytest.mark.parametrize("offspring", [2, 5])
def test_reference_expected_time_on_onemax(offspring: int) -> None:
    method = OneCommaLambdaEA(population=offspring, dynamic=True)
    found = times(method, None, n=6, seed=0, runs=2000)[0]
    error = found.std() / np.sqrt(found.size)
    assert abs(found.mean() - chain(6, offspring)) < 4 * error


@pytest.mark.parametrize("dynamic", [False, True])
def test_reference_success_rule_by_hand(dynamic: bool) -> None:
    """lambda / F after a strictly better offspring, lambda F^(1/s) otherwise, within 1 and 8."""
    space = Space({f"b{i}": Bool() for i in range(10)})
    method = OneCommaLambdaEA(
        population=8, offspring=2.0, growth=1.5, successes=0.5, dynamic=dynamic
    )
    state, expected, seen = method.init(jax.random.key(0), space), 2.0, set()

    @jax.jit
    def turn(key: jax.Array, state: Any) -> Any:
        candidates, state = method.ask(key, state)
        zeros = sum(~bit for bit in candidates.values()).astype(jnp.float32)
        return zeros, method.tell(key, state, candidates, zeros)[0]

    for step in range(40):
        parent = np.sum(~np.asarray(state.parent)) if dynamic or step else np.inf
        count = round(expected)
        assert round(float(state.offspring)) == count
        zeros, state = turn(jax.random.key(step), state)
        own = np.asarray(zeros)[int(dynamic) :]
        least = own[:count].min()
        assert np.sum(~np.asarray(state.parent)) == least  # even where it is worse
        success = least < parent
        expected = min(max(expected / 1.5 if success else expected * 1.5**2, 1.0), 8.0)
        seen.add(bool(success))
    assert seen == {True, False}


def test_candidates_that_do_not_count_change_nothing_but_the_best() -> None:
    space = Space({f"b{i}": Bool() for i in range(6)})
    method = OneCommaLambdaEA(population=5, offspring=2.0)
    state = method.init(jax.random.key(0), space)
    candidates, state = jax.jit(method.ask)(jax.random.key(1), state)
    values = jnp.array([3.0, 2.0, 0.0, 0.5, 0.1])
    after, info = jax.jit(method.tell)(jax.random.key(2), state, candidates, values)
    np.testing.assert_array_equal(after.parent, state.asked[1])
    assert after.value == 2.0 and after.best.value == 0.0 and info.value == 0.0
