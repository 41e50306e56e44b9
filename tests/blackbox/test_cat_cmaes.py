"""CatCMA with margin beside a slow version with loops, and on spaces of every kind."""

import itertools
import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from parafree import Bool, Choice, Int, Real, Space, run
from parafree.blackbox import CatCMAES, _categorical, _kinds, _margin
from parafree.blackbox.cmaes import CMAES

LEAST = _margin.least_of(3)


def _cells(*counts):
    return _kinds.Cells(counts, (0.0,) * len(counts), (0.0,) * len(counts))


def _slow_correction(count, stretch, leaving, mean, deviation, served):
    """One whole number, as the paper's equations say; thresholds are listed."""
    limits = [4 * i / count - 2 for i in range(1, count)]
    place = sum(mean > limit for limit in limits)
    if place in (0, count - 1):
        limit = limits[0] if place == 0 else limits[-1]
        chance = norm.sf(abs(mean - limit) / (deviation * stretch))
        chance = max(chance, LEAST)
        if not served:
            chance = min(chance, leaving)
        centre = 4 * (place + 0.5) / count - 2
        stretch = max(stretch, abs(centre - limit) / (deviation * norm.isf(LEAST)))
        way = deviation * stretch * norm.isf(chance)
        return limit + (way if place else -way), stretch, chance
    low, high = limits[place - 1], limits[place]
    below = norm.cdf((low - mean) / (deviation * stretch))
    above = norm.sf((high - mean) / (deviation * stretch))
    inside = 1 - below - above
    below, above = max(below, LEAST / 2), max(above, LEAST / 2)
    if not served:
        inside = max(inside, 1 - leaving)
    least_inside = LEAST / 2 if served else 1 - leaving
    room = (below - LEAST / 2) + (above - LEAST / 2) + (inside - least_inside)
    change = (1 - below - above - inside) / room if abs(room) > 1e-8 else 0.0
    below, above = (p + change * (p - LEAST / 2) for p in (below, above))
    a, b = norm.isf(below), norm.isf(above)
    return (low * b + high * a) / (a + b), (high - low) / ((a + b) * deviation), below + above


@settings(max_examples=60, deadline=None)
@given(
    count=st.integers(3, 9),
    mean=st.floats(-2, 2),
    deviation=st.floats(0.01, 2),
    stretch=st.floats(0.5, 5),
    leaving=st.floats(0.12, 0.49),
    served=st.booleans(),
)
def test_reference_the_margin_is_the_one_of_slow_equations(
    count, mean, deviation, stretch, leaving, served
):
    assume(all(abs(mean - (4 * i / count - 2)) > 1e-9 for i in range(1, count)))
    with jax.enable_x64(True):
        one = lambda x: jnp.full(1, x)  # noqa: E731
        margin = _margin.Margin(one(stretch), one(leaving))
        found, after = _margin.correct(
            _cells(count), margin, one(mean), one(deviation), one(served), LEAST
        )
    expected = _slow_correction(count, stretch, leaving, mean, deviation, served)
    got = [float(x[0]) for x in (found, after.stretch, after.leaving)]
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-7)


@settings(max_examples=40, deadline=None)
@given(count=st.integers(3, 9), mean=st.floats(-2, 2), deviation=st.floats(1e-6, 2))
def test_law_no_whole_number_is_ever_settled(count, mean, deviation):
    """After the correction a candidate leaves the mean's cell at least as often as promised."""
    with jax.enable_x64(True):
        cells, one = _cells(count), lambda x: jnp.full(1, x)
        margin = _margin.start(1, jnp.float64)
        m, margin = _margin.correct(cells, margin, one(mean), one(deviation), one(False), LEAST)
        reach = float(deviation * margin.stretch[0])
        cell = float(cells.find(m)[0])
        low, high = (float(cells.edge(jnp.full(1, cell + i))[0]) for i in (0, 1))
    leave = (norm.cdf((low - float(m[0])) / reach) if cell > 0 else 0.0) + (
        norm.sf((high - float(m[0])) / reach) if cell < count - 1 else 0.0
    )
    assert leave >= LEAST * (1 - 1e-6)


def test_reference_centring_moves_those_who_left_and_keeps_the_sum():
    rng = np.random.default_rng(0)
    cells, mean = _cells(5), np.array([0.1])
    x = rng.normal(0.1, 0.6, (12, 1))
    selected = np.arange(12) < 6
    with jax.enable_x64(True):
        moved, served = map(
            np.asarray, _margin.centre(cells, jnp.asarray(mean), jnp.asarray(x), selected)
        )
    width = 4 / 5
    cell = lambda v: np.clip(np.floor((v + 2) / width), 0, 4)  # noqa: E731
    centre = lambda v: (cell(v) + 0.5) * width - 2  # noqa: E731
    expected, bias = x.copy(), 0.0
    for i in range(6):
        if cell(x[i]) != cell(mean):
            expected[i] = centre(x[i])
            bias += float(expected[i, 0] - x[i, 0])
    helpful = [i for i in range(6) if cell(x[i]) == cell(mean) and bias * (centre(x[i]) - x[i]) < 0]
    total = sum(float(centre(x[i])[0] - x[i, 0]) for i in helpful)
    for i in helpful:
        expected[i] += min(1.0, -bias / total) * (centre(x[i]) - x[i])
    np.testing.assert_allclose(moved, expected, atol=1e-12)
    assert bool(served[0]) == any(cell(x[i]) != cell(mean) for i in range(6))
    assert (moved[6:] == x[6:]).all()


def _slow_options(q, counts, s, gamma, delta, picked, weights, least):
    """The adaptive stochastic natural gradient with a margin, choice by choice."""
    gradients, scaled = [], []
    for i, count in enumerate(counts):
        hot = np.eye(count)[picked[:, i]]
        g = sum(w * (row - q[i][:count]) for w, row in zip(weights, hot, strict=True))
        gradients.append(g)
        p, last = q[i][: count - 1], q[i][count - 1]
        root = np.sqrt(p)
        scaled += list(g[:-1] / root + root * g[:-1].sum() / (last + math.sqrt(last)))
    scaled = np.array(scaled)
    length = np.linalg.norm(scaled)
    beta = (1 / delta) / math.sqrt(len(scaled))
    new = []
    for i, count in enumerate(counts):
        p = q[i][:count] + (1 / delta) / (length + 1e-8) * gradients[i]
        floor = least / (count - 1)
        p = np.maximum(p, floor)
        p = p + (1 - p.sum()) / (p - floor).sum() * (p - floor)
        new.append(p)
    s = (1 - beta) * s + math.sqrt(beta * (2 - beta)) * scaled / (length + 1e-8)
    gamma = (1 - beta) ** 2 * gamma + beta * (2 - beta)
    delta = delta * math.exp(beta * (gamma - s @ s / 1.5))
    return new, s, gamma, max(delta, 1 / math.sqrt(len(scaled)))


def test_reference_options_learn_as_a_slow_version_does():
    rng, counts = np.random.default_rng(1), (2, 4, 3)
    weights = np.array([0.5, 0.3, 0.2, 0, 0, 0])
    with jax.enable_x64(True):
        options = _categorical.start(counts, jnp.float64)
        slow = [np.full(c, 1 / c) for c in counts], np.zeros(6), 0.0, 1.0
        for _ in range(12):
            picked = np.stack([rng.integers(0, c, 6) for c in counts], axis=1)
            chosen = _categorical.chosen(jnp.asarray(picked), jnp.asarray(weights), 4)
            options = _categorical.learn(options, chosen, counts, LEAST)
            slow = _slow_options(slow[0], counts, *slow[1:], picked, weights, LEAST)
            for i, count in enumerate(counts):
                np.testing.assert_allclose(options.share[i, :count], slow[0][i], atol=1e-7)
            np.testing.assert_allclose(options.slowness, slow[3], rtol=1e-6)


@given(st.lists(st.integers(0, 1), min_size=6, max_size=30), st.booleans())
@settings(max_examples=40, deadline=None)
def test_law_choices_of_several_sizes_have_places_whatever_is_learned(better, double):
    """Probabilities add up to 1 but for rounding, and above 1 there is no quantile."""
    counts = (2, 5)
    with jax.enable_x64(double):
        options = _categorical.start(counts, jnp.float64 if double else jnp.float32)
        for first, second in itertools.pairwise(better):
            chosen = jnp.zeros((2, 5)).at[0, first].set(1.0).at[1, 4 * second].set(1.0)
            options = _categorical.learn(options, chosen, counts, LEAST)
            assert not any(jnp.isnan(leaf).any() for leaf in options)


def test_options_are_picked_with_their_probabilities():
    options = _categorical.start((2, 4), jnp.float32)
    share = jnp.array([[0.75, 0.25, 0, 0], [0.1, 0.2, 0.3, 0.4]])
    edges, middles = _categorical._places(share, (2, 4))
    options = options._replace(share=share, edges=edges, middles=middles)
    z = jnp.asarray(norm.ppf((np.arange(1000) + 0.5) / 1000), jnp.float32)
    picked = _categorical.pick(options, jnp.tile(z[:, None], (1, 2)))
    assert np.bincount(picked[:, 0]).tolist() == [750, 250]
    assert np.bincount(picked[:, 1]).tolist() == [100, 200, 300, 400]
    back = _categorical.middle(options, jnp.array([[0.1, 0.1], [0.9, 0.4], [0.9, 0.9]]), (2, 4))
    assert _categorical.pick(options, back).tolist() == [[0, 0], [1, 1], [1, 3]]


def test_cells_are_those_of_the_space():
    space = Space(n=Int(-3, 8), l=Int(1, 5000, log=True), g=Int(2, 90, static=True, buckets=5))
    cells = _kinds.kinds_of(space, 3).cells
    with jax.enable_x64(True):
        u = jax.random.uniform(jax.random.key(0), (4000, 3))
        found = cells.find(4 * u - 2)
        values = space.decode(u)
        assert (found[:, 0] == values["n"] + 3).all()
        assert (found[:, 1] == values["l"] - 1).all()
        grid = np.array(space.parameters["g"].grid)
        assert (grid[found[:, 2].astype(int)] == values["g"]).all()
        middle = space.decode((cells.middle(4 * u - 2) + 2) / 4)
        assert (middle["l"] == values["l"]).all()


def test_numbers_alone_are_searched_as_cma_es_does():
    """With nothing discrete the method is CMA-ES, draw for draw.

    To the last bit with the emitter that users' loops are compiled with; without it XLA rounds the
    two programs in other ways.
    """
    bowl = lambda p: jnp.sum((p - 1) ** 2)  # noqa: E731
    start = jnp.zeros(3)
    mixed, plain, key = CatCMAES(), CMAES(), jax.random.key(0)
    compiled = partial(jax.jit, compiler_options={"xla_cpu_use_fusion_emitters": True})
    tell_a = compiled(lambda state, values: mixed.tell(key, state, None, values)[0])
    tell_b = compiled(lambda state, values: plain.tell(key, state, None, values)[0])
    a, b = mixed.init(key, start), plain.init(key, start)
    for i in range(20):
        draws = jax.random.normal(jax.random.key(i), a.core.asked.shape)
        a = a._replace(core=a.core._replace(asked=draws))
        b = b._replace(core=b.core._replace(asked=draws[:, :3]))
        values = jax.vmap(bowl)(b.core.frame.points(plain.place(b, draws[:, :3])))
        a, b = tell_a(a, values), tell_b(b, values)
    np.testing.assert_array_equal(a.core.mean, b.core.mean)
    np.testing.assert_array_equal(a.normal.covariance, b.covariance)


MIXED = Space(
    {f"x{i}": Real(-3, 3) for i in range(3)}
    | {f"n{i}": Int(-5, 5) for i in range(3)}
    | {f"c{i}": Choice(["a", "b", "c", "d"]) for i in range(3)}
)


def _sphere_int_com(p):
    """SphereIntCOM of the paper, with its optimum off the middle."""
    numbers = sum((p[f"x{i}"] - 1) ** 2 + (p[f"n{i}"] - 2.0) ** 2 for i in range(3))
    return numbers + sum((p[f"c{i}"] != 2) * 1.0 for i in range(3))


def test_all_kinds_at_once_are_solved():
    solved = [
        float(run(CatCMAES(), _sphere_int_com, MIXED, jax.random.key(s), steps=120).value) < 1e-4
        for s in range(5)
    ]
    assert sum(solved) >= 4


def test_law_draws_and_places_lead_back_to_each_other():
    """After learning, a place that keeps the cells has the draws that its own draws came from."""
    search = CatCMAES()
    with jax.enable_x64(True):
        state = run(search, _sphere_int_com, MIXED, jax.random.key(0), steps=15).state.inner
        # As if it were due: the root and its inverse are those of the covariance.
        state = search.renew(state._replace(normal=state.normal._replace(due=jnp.bool_(True))))
        axes, inverse = search.axes(state), search.inverse_axes(state)
        np.testing.assert_allclose(axes @ inverse, np.eye(9), atol=1e-9)
        x = search.place(state, jax.random.normal(jax.random.key(1), (50, 10)))
        np.testing.assert_allclose(
            search.place(state, search.draws_at(state, x)), x, rtol=0, atol=1e-9
        )


@pytest.mark.parametrize(
    "space",
    [
        Space(a=Bool(), b=Choice(["x", "y", "z"])),
        Space(n=Int(0, 6)),
        Space(x=Real(0, 1), one=Choice(["only"]), b=Bool(), m=Int(1, 1000, log=True)),
    ],
    ids=["options", "whole", "mixed"],
)
def test_spaces_of_few_kinds_are_searched(space):
    target = {"a": 1, "b": 1, "n": 5, "x": 0.25, "one": 0, "m": 40}
    distance = lambda p: sum(jnp.abs(p[k] - target[k]) * 1.0 for k in space.names)  # noqa: E731
    found = run(CatCMAES(), distance, space, jax.random.key(0), steps=150)
    assert float(found.value) < 1e-2
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found.state.inner.core.mean))


@pytest.mark.slow
def test_a_run_in_which_nothing_gets_better_ends():
    space = Space(a=Bool(), n=Int(0, 9))
    found = run(CatCMAES(), lambda p: 1.0 + 0.0 * p["n"], space, jax.random.key(0), steps=200)
    assert int(found.info.inner.status) >= 2
