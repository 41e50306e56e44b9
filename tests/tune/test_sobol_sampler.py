from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import qmc

from parafree import Real, Space
from parafree.core.errors import SpaceError
from parafree.core.keys import integer_from_names
from parafree.tune import RandomSampler, SobolSampler

SQUARE = Space(x=Real(0.0, 1.0), y=Real(0.0, 1.0))


def draw(sampler: RandomSampler | SobolSampler, space: Space, n: int) -> np.ndarray:
    state = sampler.init(space, seed=4)
    configs = [sampler.ask(state, trial) for trial in range(n)]
    return np.array([[config["x"], config["y"]] for config in configs])


def test_reference_scipy_in_one_go_over_several_blocks() -> None:
    scramble = np.random.default_rng(integer_from_names(4, "sampler"))
    expected = qmc.Sobol(2, scramble=True, seed=scramble).random(4096)[:3000]
    np.testing.assert_allclose(draw(SobolSampler(), SQUARE, 3000), expected, rtol=1e-12)


def test_its_points_are_more_even_than_random_ones() -> None:
    sobol, random = (
        qmc.discrepancy(draw(sampler, SQUARE, 256)) for sampler in (SobolSampler(), RandomSampler())
    )
    assert sobol < random / 5


def test_infeasible_points_are_skipped_in_order() -> None:
    triangle = Space(x=Real(0.0, 1.0), y=Real(0.0, 1.0), constraints=["x < y"])
    square = draw(SobolSampler(), SQUARE, 2048)
    expected = square[square[:, 0] < square[:, 1]]
    np.testing.assert_array_equal(draw(SobolSampler(), triangle, len(expected)), expected)


def test_a_space_without_a_feasible_point_is_refused() -> None:
    space = Space(x=Real(0.0, 1.0), constraints=["x > 2"])
    with pytest.raises(SpaceError, match="feasible"):
        SobolSampler().ask(SobolSampler().init(space, seed=0), 0)


def test_a_space_with_nothing_to_vary_has_one_configuration() -> None:
    sampler = SobolSampler()
    assert sampler.ask(sampler.init(Space(x=1.0), seed=0), 3) == {"x": 1.0}
