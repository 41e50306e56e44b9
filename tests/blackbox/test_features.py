"""What the quadratic model sees of options, and where it says that they are best."""

import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parafree import Bool, Choice, Int, Real, Space
from parafree.blackbox._features import features_of
from parafree.blackbox._frame import frame
from parafree.blackbox._quadratic import Quadratic
from parafree.study._goals import Goals
from parafree.study._search import Search
from parafree.study._threads import one_thread

SPACE = Space(x=Real(-2, 2), a=Choice(list("uvw")), n=Int(0, 9), b=Choice(list("pqrst")), on=Bool())
COUNTS = {1: 3, 3: 5, 4: 2}


def _points(seed, n):
    """Points with options in the middle of their cells."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(-2, 2, (n, 5))
    for column, count in COUNTS.items():
        x[:, column] = 4 * (rng.integers(count, size=n) + 0.5) / count - 2
    return jnp.asarray(x)


def _model(seed, features, figures=2):
    """Any model of two figures, curved up or down."""
    rng, w = np.random.default_rng(seed), features.width
    curvature = rng.normal(size=(figures, w, w))
    centre = features.of(_points(seed + 1, 1))[0]
    inverse = features.inverse(jnp.asarray(rng.normal(size=(5, 5))))
    parts = rng.normal(size=figures), rng.normal(size=(figures, w)), curvature + curvature.mT
    return Quadratic(
        centre, inverse, *map(jnp.asarray, parts), jnp.zeros(figures), jnp.ones(figures)
    )


def test_any_two_options_of_a_choice_are_as_far_apart_as_yes_and_no():
    with jax.enable_x64(True):
        features, base = features_of(frame(SPACE)), _points(0, 1)[0]
        assert features.width == 3 + 3 + 5
        for column, count in COUNTS.items():
            middles = 4 * (np.arange(count) + 0.5) / count - 2
            seen = features.of(jnp.stack([base.at[column].set(m) for m in middles]))
            for one, other in itertools.combinations(np.asarray(seen), 2):
                assert np.linalg.norm(one - other) == pytest.approx(2)


def test_a_point_without_such_choices_is_its_own_features():
    features = features_of(frame(Space(x=Real(0, 1), n=Int(0, 5), on=Bool())))
    x, inverse = jnp.ones((4, 3)), jnp.eye(3)
    assert features.of(x) is x
    assert features.inverse(inverse) is inverse
    assert features.width == 3


def test_choices_with_the_most_options_stay_one_coordinate_where_there_is_no_room():
    choices = {"many": Choice(list(range(10_000))), "few": Choice(list("abcd"))}
    features = features_of(frame(Space(**choices, x=Real(0, 1))))
    assert features.choices == (1,)
    assert features.width == 2 + 4
    every = Space({f"c{i}": Choice(list(range(50))) for i in range(6)})
    assert features_of(frame(every)).width == 3 * 50 + 3


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_property_the_model_among_numbers_is_the_model_where_options_are_those(seed):
    with jax.enable_x64(True):
        features = features_of(frame(SPACE))
        model, points = _model(seed, features), _points(seed + 2, 6)
        options = np.array(features.choices)
        points = points.at[:, options].set(points[0, options])
        among = features.among_numbers(model, points[0])
        for figure in range(2):
            expected = model.figure(figure).guess(features.of(points))
            found = among.figure(figure).guess(points)
            np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_property_settled_options_are_no_worse_and_choose_the_best_of_the_last_choice(seed):
    with jax.enable_x64(True):
        features = features_of(frame(SPACE))
        model, start = _model(seed, features), _points(seed + 2, 1)[0]
        found = features.settled(model, start, 1)
        guess = lambda x: float(model.figure(1).guess(features.of(x[None]))[0])  # noqa: E731
        numbers = [i for i in range(5) if i not in features.choices]
        np.testing.assert_array_equal(found[np.array(numbers)], start[np.array(numbers)])
        assert guess(found) <= guess(start) + 1e-12
        middles = 4 * (np.arange(5) + 0.5) / 5 - 2
        others = [guess(found.at[3].set(m)) for m in middles]
        assert guess(found) == pytest.approx(min(others))


@pytest.mark.parametrize("seed", range(4))
def test_a_table_of_options_in_no_order_is_learned_from_few_values(seed):
    """Six choices of five options have 15,625 configurations; 80 values are enough."""
    table = np.random.default_rng(seed).random((6, 5))
    space = Space({f"c{i}": Choice(list(range(5))) for i in range(6)})
    search, lowest = Search(space, seed, 1), np.inf
    with one_thread():
        for trial in range(80):
            config = search.ask(trial)
            value = sum(table[i, config[f"c{i}"]] for i in range(6))
            search.tell(trial, value)
            lowest = min(lowest, value)
    assert lowest == pytest.approx(table.min(axis=1).sum())


def test_options_that_move_the_lowest_point_are_found_within_a_limit():
    place, price = [-1.0, 0.5, 1.5, 0.0], [1.3, 0.0, 1.6, 1.9]
    space, goals = Space(x=Real(-3, 3), kind=Choice(list(range(4)))), Goals.of(constraints=["g"])
    search, best = Search(space, 0, 1, goals=goals), (np.inf, {})
    with one_thread():
        for trial in range(80):
            config = search.ask(trial)
            x, kind = config["x"], config["kind"]
            told = {"loss": (x - place[kind]) ** 2 + price[kind], "g": x}  # x at most 0
            value, figures = goals.read(told)
            search.tell(trial, math.inf if value is None else value, figures)
            if x <= 0:
                best = min(best, (told["loss"], config), key=lambda pair: pair[0])
    assert best[1]["kind"] == 1  # at 0 it costs 0.25, no other less than 1.3
    assert best[1]["x"] == pytest.approx(0, abs=1e-3)
