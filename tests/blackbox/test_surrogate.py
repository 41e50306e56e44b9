"""The search with a quadratic model: fewer evaluations than CMA-ES, and the same answers."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from parafree import Choice, Int, Real, Space, run
from parafree.blackbox import BIPOP, CMAES, CatCMAES, Region, SepCMAES, Surrogate
from parafree.core.errors import MethodError

D = 4


def bowl(x: Any) -> Any:
    """A quadratic of condition 10000 that is turned."""
    turn = jnp.linalg.qr(jnp.sin(jnp.arange(D * D, dtype=x.dtype)).reshape(D, D))[0]
    return jnp.sum(10.0 ** jnp.linspace(0, 4, D, dtype=x.dtype) * (turn @ (x - 1)) ** 2)


def needed(method: Any, f: Any, region: Any, target: float, steps: int, seed: int) -> float:
    """Return the batches until the best value is below a target."""
    keep = lambda state, info: info.value  # noqa: E731
    values = run(method, f, region, jax.random.key(seed), steps=steps, record=keep).history
    below = np.minimum.accumulate(np.asarray(values)) < target
    return float(np.argmax(below) + 1) if below.any() else np.inf


@pytest.mark.slow
def test_reference_it_needs_a_third_of_the_evaluations_of_cmaes_on_a_quadratic() -> None:
    region = Region(jnp.full(D, -2.0), low=-5.0, high=5.0)
    few = [2 * needed(Surrogate(), bowl, region, 1e-4, 150, seed) for seed in range(3)]
    many = [8 * needed(BIPOP(CMAES()), bowl, region, 1e-4, 200, seed) for seed in range(3)]
    assert np.median(few) < np.median(many) / 3


def test_a_linear_function_is_lowest_in_a_corner_and_that_is_found_at_once() -> None:
    slope = 10.0 ** jnp.linspace(0, 1, D)
    region = Region(jnp.zeros(D), low=-5.0, high=5.0)
    lowest = float(-5 * slope.sum())
    assert 2 * needed(Surrogate(), lambda x: x @ slope, region, lowest * 0.99999, 40, 0) < 10 * D


def test_a_sphere_needs_four_evaluations_for_each_dimension() -> None:
    """A model that says nothing of how a function curves comes no closer than 40 by then."""
    d = 20
    region = Region(jnp.full(d, -2.0), low=-5.0, high=5.0)
    assert 2 * needed(Surrogate(), lambda x: jnp.sum((x - 1) ** 2), region, 0.1, 50, 0) <= 4 * d


@pytest.mark.slow
def test_values_that_no_model_explains_are_all_evaluated() -> None:
    """With pure noise a generation takes as many evaluations as CMA-ES's, or nearly."""
    method = Surrogate()
    keep = lambda state, info: state.inner.runs.filled  # noqa: E731
    noise = lambda x: jnp.sin(1e5 * jnp.sum(x))  # noqa: E731
    filled = run(method, noise, jnp.zeros(D), jax.random.key(0), steps=200, record=keep).history
    generations = np.sum(np.asarray(filled) == 0)
    assert 200 / generations > 0.8 * 4  # of four batches


@pytest.mark.slow
def test_a_larger_batch_is_handed_out_at_once() -> None:
    method = Surrogate(BIPOP(CMAES(population=12)), batch=6)
    region = Region(jnp.zeros(D), low=-5.0, high=5.0)
    candidates, _ = method.ask(jax.random.key(1), method.init(jax.random.key(0), region))
    assert candidates.shape == (6, D)
    assert run(method, bowl, region, jax.random.key(0), steps=60).value < 1e-3


@pytest.mark.slow
def test_single_precision_is_enough_for_a_quadratic_of_condition_10000() -> None:
    d = 10
    scales = 10.0 ** jnp.linspace(0, 4, d)
    f = lambda x: jnp.sum(scales * (x - 0.3) ** 2)  # noqa: E731
    found = [run(Surrogate(), f, jnp.full(d, -1.0), jax.random.key(s), steps=500) for s in range(3)]
    assert np.median([one.value for one in found]) < 1e-6


@pytest.mark.slow
def test_whole_numbers_and_options_take_part() -> None:
    space = Space(x=Real(-3, 3), n=Int(-5, 5), kind=Choice(["a", "b", "c"]))
    bowl = lambda p: (p["x"] - 1) ** 2 + (p["n"] - 2) ** 2 + (p["kind"] != 1)  # noqa: E731
    result = run(Surrogate(BIPOP(CatCMAES())), bowl, space, jax.random.key(0), steps=100)
    assert result.value < 1e-3


@pytest.mark.slow
def test_what_is_not_finite_does_not_poison_the_model() -> None:
    wall = lambda x: jnp.where(x[0] > 0.5, jnp.nan, jnp.sum((x - 0.3) ** 2))  # noqa: E731
    assert run(Surrogate(), wall, jnp.zeros(D), jax.random.key(0), steps=100).value < 1e-4


def test_only_cmaes_has_a_model() -> None:
    with pytest.raises(MethodError, match="CMA-ES"):
        Surrogate(BIPOP(SepCMAES()))
    with pytest.raises(MethodError, match="batch"):
        Surrogate(batch=0)
