"""(1+lambda)-EA: exact expected times of its Markov chain, drifts in closed form, and its code."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from parafree import Bool, Choice, Int, Real, Space
from parafree.blackbox import OnePlusLambdaEA
from parafree.blackbox._binary_value import Order, losses, priorities
from parafree.blackbox._bits import code
from parafree.blackbox._frame import frame
from parafree.claims.hardest_monotone import exact_time, times
from parafree.core.errors import MethodError


def strings(n: int) -> np.ndarray:
    return np.array(list(itertools.product([False, True], repeat=n)))


def onemax_chain(n: int, offspring: int) -> float:
    """Expected generations of the (1+lambda)-EA on OneMax by enumerating zeros gained."""
    move = np.zeros((n + 1, n + 1))
    for z in range(n + 1):
        gain, loss = np.meshgrid(np.arange(z + 1), np.arange(n - z + 1), indexing="ij")
        chance = binom.pmf(gain, z, 1 / n) * binom.pmf(loss, n - z, 1 / n)
        single = np.zeros(n + 1)  # the distribution of the zeros of one offspring
        np.add.at(single, z - gain + loss, chance)
        more = np.append(np.cumsum(single[::-1])[::-1], 0) ** offspring  # the best has at least
        best = more[:-1] - more[1:]
        move[z, :z] = best[:z]
        move[z, z] = best[z:].sum()
    steps = np.linalg.solve(np.eye(n) - move[1:, 1:], np.ones(n))
    return float(binom.pmf(np.arange(1, n + 1), n, 0.5) @ steps)


def agrees(found: np.ndarray, expected: float) -> None:
    error = found.std() / np.sqrt(found.size)
    assert abs(found.mean() - expected) < 4 * error


@pytest.mark.parametrize("offspring", [1, 4])
def test_reference_expected_time_on_onemax(offspring: int) -> None:
    method = OnePlusLambdaEA(population=offspring, dynamic=True)
    count, spent = times(method, None, n=8, seed=0, runs=2000)
    agrees(count, onemax_chain(8, offspring))
    np.testing.assert_array_equal(spent, offspring * count)


def test_reference_expected_time_on_sdbv() -> None:
    method = OnePlusLambdaEA(population=1, dynamic=True)
    agrees(times(method, Order.SWITCHING, n=9, seed=0, runs=2000)[0], exact_time(9))


def test_both_ways_to_compute_the_exact_time_agree_and_onemax_takes_n_log_n() -> None:
    assert exact_time(8, onemax=True) == pytest.approx(onemax_chain(8, 1))
    # e n ln n - 1.8925 n + O(log n): Hwang et al. 2018.
    for n in (100, 300):
        expected = np.e * n * np.log(n) - 1.8925 * n
        assert exact_time(n, onemax=True) == pytest.approx(expected, abs=3 * np.log(n))


def drift(n: int, order: Order, zeros: int) -> float:
    """The mean number of zeros lost in a generation, over all flips and dealt weights."""
    parent = jnp.arange(n) >= zeros
    children = jnp.asarray(strings(n))
    flips = np.sum(np.asarray(children) != np.asarray(parent), axis=1)
    chance = (1 / n) ** flips * (1 - 1 / n) ** (n - flips)

    def one(key: Any) -> Any:
        weights = priorities(key, order, parent)
        pairs = jax.vmap(lambda child: losses(weights, jnp.stack([parent, child])))(children)
        return pairs[:, 1] <= pairs[:, 0]

    taken = np.asarray(jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(zeros), 64)))
    gained = np.asarray(children).sum(axis=1) - (n - zeros)
    return float((taken.mean(axis=0) * gained) @ chance)


@pytest.mark.parametrize("zeros", [1, 2, 3, 4, 5])
def test_reference_drifts_in_closed_form(zeros: int) -> None:
    n, p = 5, 1 / 5
    adversarial = zeros * p - (n - zeros) * p * (1 - (1 - p) ** zeros)
    switching = zeros * p * (1 - p) ** (n - zeros) if 2 * zeros >= n else adversarial
    assert drift(n, Order.ADVERSARIAL, zeros) == pytest.approx(adversarial, abs=1e-5)
    assert drift(n, Order.SWITCHING, zeros) == pytest.approx(switching, abs=1e-5)


@pytest.mark.parametrize("zeros", [1, 2, 3, 4, 5])
def test_no_order_of_weights_has_less_drift_than_sdbv(zeros: int) -> None:
    """The paper's theorem, by trying every order of five bits."""
    n, p = 5, 1 / 5
    parent, children = np.arange(n) >= zeros, strings(n)
    flips = np.sum(children != parent, axis=1)
    chance = p**flips * (1 - p) ** (n - flips)
    gained = children.sum(axis=1) - parent.sum()
    least = min(
        float(((children @ weights >= parent @ weights) * gained) @ chance)
        for weights in itertools.permutations(2 ** np.arange(n))
    )
    assert drift(n, Order.SWITCHING, zeros) == pytest.approx(least, abs=1e-5)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_batch_is_ranked_as_its_binary_values_are(data: Any) -> None:
    m, n = 6, 7
    bits = np.array(data.draw(st.lists(st.lists(st.booleans(), min_size=n, max_size=n),
                                       min_size=m, max_size=m)))  # fmt: skip
    weights = np.array(data.draw(st.permutations(range(n))))
    values = bits @ 2.0**weights
    expected = np.sum(values[None, :] > values[:, None], axis=1)
    found = RANK(jnp.asarray(weights, jnp.float32), jnp.asarray(bits))
    np.testing.assert_array_equal(found, expected)


RANK = jax.jit(losses)


def test_every_value_of_a_space_has_its_bits_and_neighbours_differ_in_one() -> None:
    space = Space(a=Bool(), b=Choice(["x", "y", "z"]), c=Int(1, 8), d=Real(2.0, 3.0))
    where = frame(space)
    assert code(where).widths == (1, 2, 3, 16)
    decode = jax.jit(lambda bits: where.points(code(where).points(where, bits, 1.0)))
    for name, index in (("a", slice(0, 1)), ("b", slice(1, 3)), ("c", slice(3, 6))):
        few = strings(index.stop - index.start)
        bits = np.zeros((len(few), 22), bool)
        bits[:, index] = few
        seen = decode(jnp.asarray(bits))[name]
        assert len(np.unique(seen)) == {"a": 2, "b": 3, "c": 8}[name]
    plain = np.unpackbits(np.arange(2**16, dtype=">u2").view(np.uint8)).reshape(-1, 16) > 0
    gray = plain.copy()
    gray[:, 1:] ^= plain[:, :-1]
    bits = np.zeros((2**16, 22), bool)
    bits[:, 6:] = gray
    real = decode(jnp.asarray(bits))["d"]
    np.testing.assert_allclose(real, np.linspace(2, 3, 2**16), rtol=1e-6)


def test_a_static_objective_never_loses_what_was_found() -> None:
    space = Space({f"b{i}": Bool() for i in range(12)})
    method = OnePlusLambdaEA(population=3)

    @jax.jit
    def turn(key: Any, state: Any) -> Any:
        candidates, state = method.ask(key, state)
        values = sum(~bit for bit in candidates.values()).astype(jnp.float32)
        return method.tell(key, state, candidates, values)[0]

    state, before = method.init(jax.random.key(0), space), jnp.inf
    for step in range(20):
        state = turn(jax.random.key(step), state)
        assert state.value <= before
        assert state.value == jnp.sum(~state.parent)
        before = state.value


def test_a_population_of_nobody_is_refused() -> None:
    with pytest.raises(MethodError, match="population is 0"):
        OnePlusLambdaEA(population=0)
