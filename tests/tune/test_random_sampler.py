from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from parafree import Choice, Int, Real, Space
from parafree.core.errors import SpaceError
from parafree.core.keys import integer_from_names
from parafree.tune import RandomSampler

SPACE = Space(
    constraints=["low < high"],
    low=Real(0.0, 1.0),
    high=Real(0.0, 1.0),
    lr=Real(1e-4, 1.0, log=True),
    depth=Int(1, 8),
    act=Choice(["relu", "tanh"]),
    name="fixed",
)


def test_reference_the_uniform_distribution() -> None:
    state = RandomSampler().init(Space(x=Real(-1.0, 3.0), lr=Real(1e-4, 1.0, log=True)), seed=1)
    configs = [RandomSampler().ask(state, trial) for trial in range(4000)]
    x = (np.array([config["x"] for config in configs]) + 1) / 4
    log_lr = 1 + np.log10([config["lr"] for config in configs]) / 4
    assert stats.kstest(x, "uniform").pvalue > 0.01
    assert stats.kstest(log_lr, "uniform").pvalue > 0.01
    assert abs(np.corrcoef(x, log_lr)[0, 1]) < 0.05


def test_reference_the_same_stream_drawn_in_one_go() -> None:
    blocks = [
        np.random.Generator(np.random.Philox(key=integer_from_names(7, "sampler", block))).random(
            (1024, SPACE.dimension)
        )
        for block in range(4)
    ]
    points = np.concatenate(blocks)
    feasible = points[np.asarray(SPACE.feasible(SPACE.decode(points)))]
    state = RandomSampler().init(SPACE, seed=7)
    for trial in range(1800):
        assert RandomSampler().ask(state, trial) == SPACE.config(feasible[trial])


@settings(deadline=None, max_examples=20)
@given(st.permutations([0, 1, 511, 512, 700, 1023, 1024, 2047, 2500]))
def test_a_configuration_depends_on_seed_and_trial_alone(order: list[int]) -> None:
    sampler = RandomSampler()
    in_order, shuffled = sampler.init(SPACE, seed=3), sampler.init(SPACE, seed=3)
    expected = {trial: sampler.ask(in_order, trial) for trial in sorted(order)}
    assert {trial: sampler.ask(shuffled, trial) for trial in order} == expected


def test_constraints_hold_and_fixed_values_are_included() -> None:
    state = RandomSampler().init(SPACE, seed=0)
    configs = [RandomSampler().ask(state, trial) for trial in range(500)]
    assert all(config["low"] < config["high"] for config in configs)
    assert all(config["name"] == "fixed" for config in configs)
    assert {config["act"] for config in configs} == {"relu", "tanh"}


def test_other_seeds_give_other_points() -> None:
    sampler = RandomSampler()
    first, second = (sampler.ask(sampler.init(SPACE, seed), 0) for seed in (0, 1))
    assert first["lr"] != second["lr"]


def test_a_space_without_a_feasible_point_is_refused() -> None:
    space = Space(low=Real(0.0, 1.0), high=Real(0.0, 1.0), constraints=["low > high + 1"])
    state = RandomSampler().init(space, seed=0)
    with pytest.raises(SpaceError, match="none of 102400 points"):
        RandomSampler().ask(state, 0)


def test_rare_feasible_points_are_found() -> None:
    space = Space(x=Real(0.0, 1.0), constraints=["x < 0.001"])  # one block holds about one
    state = RandomSampler().init(space, seed=0)
    assert all(RandomSampler().ask(state, trial)["x"] < 0.001 for trial in range(20))


def test_a_space_with_nothing_to_vary_has_one_configuration() -> None:
    state = RandomSampler().init(Space(x=1.0), seed=0)
    assert RandomSampler().ask(state, 1500) == {"x": 1.0}
