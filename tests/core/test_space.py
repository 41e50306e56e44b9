from __future__ import annotations

import doctest
import json
import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from parafree.core.errors import SpaceError
from parafree.core.space import Bool, Choice, Int, Real, Space

# Random spaces ----------------------------------------------------------------------------

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**60), 2**60),
    TEXTS,
    st.floats(allow_nan=False, allow_infinity=False),
)
OPTIONS = st.lists(
    st.one_of(SCALARS, st.lists(SCALARS, max_size=2).map(tuple)),
    min_size=1,
    max_size=5,
    unique=True,
)


@st.composite
def reals(draw, when=None):
    log = draw(st.booleans())
    low = draw(st.floats(1e-6, 1e3) if log else st.floats(-1e6, 1e6))
    high = low + draw(st.floats(0.01, 1e6)) * max(1.0, abs(low))
    return Real(low, high, log=log, when=when, help=draw(TEXTS), unit=draw(TEXTS))


@st.composite
def ints(draw, when=None):
    log = draw(st.booleans())
    low = draw(st.integers(1, 50) if log else st.integers(-1000, 1000))
    high = low + draw(st.integers(1, 5000))
    static, buckets = draw(st.booleans()), draw(st.integers(2, 9))
    return Int(low, high, log=log, static=static, buckets=buckets, when=when)


def parameters(when=None):
    return st.one_of(
        reals(when),
        ints(when),
        st.builds(Choice, OPTIONS, static=st.booleans(), when=st.just(when), help=TEXTS),
        st.builds(Bool, static=st.booleans(), when=st.just(when)),
    )


@st.composite
def spaces(draw):
    """Spaces in which ``b2`` depends on ``b1``, which depends on ``b0``; with fixed values."""
    given = {"b0": Bool(), "x": Real(-1, 1)}
    given["b1"] = Bool(when=draw(st.sampled_from([None, "b0", "not b0", "x < 0.5"])))
    given["b2"] = draw(parameters("b1"))
    for i in range(draw(st.integers(0, 4))):
        given[f"p{i}"] = draw(st.one_of(SCALARS, parameters()))
    constraints = draw(st.lists(st.sampled_from(["b0 or b1", "x > -0.5", "b1 or x < 0"])))
    names = draw(st.permutations(sorted(given)))
    return Space({name: given[name] for name in names}, constraints=constraints)


def unit_points(space, seed=0, n=40):
    u = np.random.default_rng(seed).random((n, space.dimension))
    u[0], u[1] = 0.0, 1.0
    return u


LAW = settings(max_examples=40, deadline=None)


# Laws -------------------------------------------------------------------------------------


@LAW
@given(spaces(), st.integers(0, 2**32 - 1))
def test_decode_undoes_encode(space, seed):
    values = space.decode(unit_points(space, seed))
    again = space.decode(space.encode(values))
    for name, parameter in space.parameters.items():
        if isinstance(parameter, Real):
            np.testing.assert_allclose(
                again[name], values[name], rtol=1e-11, atol=1e-12 * (parameter.high - parameter.low)
            )
        else:
            np.testing.assert_array_equal(again[name], values[name])


@LAW
@given(spaces(), st.integers(0, 2**32 - 1))
def test_values_keep_their_bounds(space, seed):
    values = space.decode(unit_points(space, seed))
    for name, parameter in space.parameters.items():
        got = values[name]
        match parameter:
            case Real():
                assert got.dtype == np.float64
                assert ((got >= parameter.low) & (got <= parameter.high)).all()
                assert np.isclose(got[0], parameter.low) and np.isclose(got[1], parameter.high)
            case Int():
                assert np.issubdtype(got.dtype, np.integer)
                assert got[0] == parameter.low == got.min()
                assert got[1] == parameter.high == got.max()
                if parameter.grid:
                    assert set(got.tolist()) <= set(parameter.grid)
            case Choice():
                assert got[0] == 0 and got[1] == len(parameter.options) - 1
            case Bool():
                assert not got[0] and got[1]


@LAW
@given(spaces(), st.integers(0, 2**32 - 1))
def test_configurations_round_trip(space, seed):
    for row in unit_points(space, seed, n=6):
        config = space.config(row)
        u = space.point(config)
        assert u.shape == (space.dimension,) and ((u >= 0) & (u <= 1)).all()
        again = space.config(u)
        assert again.keys() == config.keys()
        for name, value in config.items():
            if isinstance(space.parameters.get(name), Real):
                width = space.parameters[name].high - space.parameters[name].low
                value = pytest.approx(value, rel=1e-9, abs=1e-12 * width)
            assert again[name] == value
        for name in set(space.names) - set(config):
            assert u[space.names.index(name)] == 0.5


@LAW
@given(spaces(), st.integers(0, 2**32 - 1))
def test_one_point_agrees_with_many(space, seed):
    u = unit_points(space, seed, n=12)
    values = space.decode(u)
    active, feasible = space.active(values), space.feasible(values)
    for i, row in enumerate(u):
        config = space.config(row)
        assert set(config) == {n for n in space.names if active[n][i]} | set(space.fixed)
        assert [n for n in json.loads(space.to_json())["parameters"] if n in config] == [*config]
        for name, parameter in space.parameters.items():
            if name not in config:
                continue
            value = values[name][i]
            expected = parameter.options[value] if isinstance(parameter, Choice) else value.item()
            assert (
                config[name] == pytest.approx(expected, rel=1e-12)
                if isinstance(expected, float)
                else config[name] == expected
            )
        try:
            assert space.check(config) == config
        except SpaceError as error:
            assert "constraint" in error.what and not feasible[i]
        else:
            assert feasible[i]


@LAW
@given(spaces())
def test_text_round_trips(space):
    for again in (
        Space.from_json(space.to_json()),
        Space.from_toml(space.to_toml()),
        Space.from_dict(space.to_dict()),
        pickle.loads(pickle.dumps(space)),
        eval(repr(space)),
    ):
        assert again == space and hash(again) == hash(space)
        assert again.names == space.names and list(again.fixed) == list(space.fixed)
        assert again.parameters == space.parameters
        assert [type(v) for v in again.fixed.values()] == [type(v) for v in space.fixed.values()]


@LAW
@given(spaces(), st.integers(0, 2**32 - 1))
def test_static_part_and_traced_cover_every_name_once(space, seed):
    groups, kinds = set(), set()
    for row in unit_points(space, seed):
        config = space.config(row)
        static, traced = space.static_part(config), space.traced(config)
        assert sorted([*dict(static), *traced]) == sorted([*space.names, *space.fixed])
        groups.add(static)
        kinds.add(tuple((name, type(value)) for name, value in traced.items()))
        assert all(isinstance(value, bool | int | float) for value in traced.values())
    assert len(groups) <= space.static_groups()
    assert len(kinds) == 1  # so that nothing is compiled again


@settings(max_examples=8, deadline=None)
@given(spaces(), st.integers(0, 2**32 - 1))
def test_jit_agrees_with_numpy(space, seed):
    import jax

    u = unit_points(space, seed).astype(np.float32)
    with jax.numpy_dtype_promotion("strict"):
        values, active, feasible, again = jax.jit(
            lambda u: (v := space.decode(u), space.active(v), space.feasible(v), space.encode(v))
        )(u)
    expected = space.decode(u)
    for name, parameter in space.parameters.items():
        if isinstance(parameter, Real):
            assert values[name].dtype == np.float32
            np.testing.assert_allclose(
                values[name],
                expected[name],
                rtol=2e-5,
                atol=1e-6 * max(abs(parameter.low), abs(parameter.high)),
            )
        elif isinstance(parameter, Int) and parameter.log:
            # a point within a rounding error of a cell's edge may fall on either side
            assert np.abs(np.asarray(values[name]) - expected[name]).max() <= 1 or parameter.grid
        else:
            assert values[name].dtype in (np.int32, np.bool_)
            assert (np.asarray(values[name]) == expected[name]).mean() > 0.97
    for name, on in space.active(expected).items():
        np.testing.assert_array_equal(active[name], on)
    np.testing.assert_array_equal(feasible, space.feasible(expected))
    assert again.shape == u.shape and again.dtype == np.float32


# Distributions ----------------------------------------------------------------------------


def test_real_is_uniform_and_log_real_is_log_uniform():
    space = Space(x=Real(-2, 6), lr=Real(1e-5, 10, log=True))
    values = space.decode(np.random.default_rng(1).random((20_000, 2)))
    assert scipy.stats.kstest(values["x"], scipy.stats.uniform(-2, 8).cdf).pvalue > 0.01
    assert scipy.stats.kstest(values["lr"], scipy.stats.loguniform(1e-5, 10).cdf).pvalue > 0.01


def test_discrete_values_are_drawn_evenly():
    space = Space(n=Int(-3, 4), c=Choice(["a", "b", "c"]), b=Bool(), g=Int(1, 99, static=True))
    values = space.decode(np.random.default_rng(2).random((20_000, 4)))
    for got, cells in zip(values.values(), (8, 3, 2, 4), strict=True):
        counts = np.unique_counts(got).counts
        assert len(counts) == cells
        assert scipy.stats.chisquare(counts).pvalue > 0.01


def test_log_int_follows_its_cells():
    space = Space(n=Int(1, 20, log=True))
    got = space.decode(np.random.default_rng(3).random((50_000, 1)))["n"]
    edges = np.log(np.arange(1, 22) - 0.5)  # each number owns half a step on either side
    expected = np.diff(edges) / (edges[-1] - edges[0]) * len(got)
    assert scipy.stats.chisquare(np.bincount(got)[1:], expected).pvalue > 0.01


def test_buckets():
    assert Int(1, 4, static=True).grid == ()
    assert Int(1, 9, static=True, buckets=3).grid == (1, 5, 9)
    assert Int(8, 512, static=True, log=True).grid == (8, 32, 128, 512)
    assert Int(1, 30, static=True, log=True, buckets=12).grid[:4] == (1, 2, 3, 5)
    assert Int(1, 9, buckets=3).grid == ()
    space = Space(w=Int(8, 512, static=True, log=True), b=Bool(static=True), x=Real(0, 1))
    assert space.static_groups() == 8 and space.static_names == ("w", "b")
    assert space.check({"w": 32, "b": True, "x": 0})["w"] == 32
    with pytest.raises(SpaceError, match="w cannot be 33") as caught:
        space.check({"w": 33, "b": True, "x": 0})
    assert "8, 32, 128, 512" in caught.value.fix and "buckets" in caught.value.fix


# Sampling ---------------------------------------------------------------------------------


def test_sample_keeps_constraints_and_stays_uniform_within_them():
    import jax

    space = Space(a=Real(0, 1), b=Real(0, 1), constraints=["a < b"])
    u = np.asarray(space.sample(jax.random.key(0), 5000))
    assert (u[:, 0] < u[:, 1]).all()
    # the larger of two uniform numbers has the distribution function x**2
    assert scipy.stats.kstest(u[:, 1], lambda x: x**2).pvalue > 0.01
    again = jax.jit(lambda key: space.sample(key, 5000))(jax.random.key(0))
    np.testing.assert_array_equal(u, again)
    assert space.sample(jax.random.key(1), 3).shape == (3, 2)


def test_sample_says_when_nothing_is_feasible():
    import jax

    space = Space(a=Real(0, 1), b=Bool(), constraints=["a > 2"])
    with pytest.raises(SpaceError, match="3 of 3 points") as caught:
        space.sample(jax.random.key(0), 3)
    assert "a > 2" in caught.value.where
    inside = jax.jit(lambda key: space.sample(key, 3))(jax.random.key(0))
    assert np.isnan(inside).all()
    with pytest.raises(SpaceError, match="NaN"):
        space.decode(np.asarray(inside))


def test_constraint_counts_only_where_its_parameters_are_active():
    space = Space(a=Bool(), x=Real(0, 1, when="a"), constraints=["x < 0.5"])
    values = {"a": np.array([True, True, False]), "x": np.array([0.1, 0.9, 0.9])}
    assert space.feasible(values).tolist() == [True, False, True]
    assert space.check({"a": False, "x": 0.9}) == {"a": False}
    with pytest.raises(SpaceError, match=r"breaks the constraint 'x < 0\.5'") as caught:
        space.check({"a": True, "x": 0.9})
    assert caught.value.where == "x=0.9"


def test_child_of_an_inactive_parent_is_inactive():
    space = Space(
        c=Choice(["on", "off"]),
        layers=Int(1, 3, when="c == 'on'"),
        # true for the value that an inactive `layers` would hold, and still not active
        drop=Real(0, 1, when="layers < 9"),
        deeper=Bool(when="drop >= 0"),
    )
    assert space.config([0.1, 0.5, 0.5, 0.9]) == {
        "c": "on",
        "layers": 2,
        "drop": 0.5,
        "deeper": True,
    }
    assert space.config([0.9, 0.5, 0.5, 0.9]) == {"c": "off"}
    active = space.active(space.decode(np.array([[0.1, 0, 0, 0], [0.9, 0, 0, 0]])))
    assert [on.tolist() for on in active.values()] == [[True, True]] + [[True, False]] * 3
    assert space.traced({"c": "off"}) == {"c": 1, "layers": 1, "drop": 0.0, "deeper": False}


def test_numeric_choice_is_a_number_everywhere():
    space = Space(batch=Choice([16, 32.5, 64]), n=Int(1, 4), constraints=["batch * n <= 64"])
    assert space.traced({"batch": 16, "n": 2}) == {"batch": 16.0, "n": 2}
    assert isinstance(space.traced({"batch": 16, "n": 2})["batch"], float)
    values = {"batch": np.array([0, 1, 2, 2]), "n": np.array([4, 2, 1, 2])}
    assert space.feasible(values).tolist() == [True, False, True, False]


def test_a_configuration_read_back_from_json_is_understood():
    space = Space(layers=Choice([(64,), (64, 64)], static=True), k=Choice([(1, 2), None]))
    config = space.config([0.9, 0.1])
    read = json.loads(json.dumps(config))
    assert space.static_part(read) == space.static_part(config) == (("layers", (64, 64)),)
    assert space.traced(read) == space.traced(config) == {"k": 0}
    np.testing.assert_array_equal(space.point(read), space.point(config))
    assert space.check(read) == config


def test_fixed_values():
    space = Space(x=Real(0, 1), epochs=3, act="relu", bias=True, shape=[2, 3], seed=None)
    config = space.config([0.5])
    assert config == {
        "x": 0.5,
        "epochs": 3,
        "act": "relu",
        "bias": True,
        "shape": (2, 3),
        "seed": None,
    }
    assert space.traced(config) == {"x": 0.5, "epochs": 3}
    assert space.static_part(config) == (
        ("act", "relu"),
        ("bias", True),
        ("shape", (2, 3)),
        ("seed", None),
    )
    assert space.check({"x": 0.5, "shape": [2, 3]}) == config
    with pytest.raises(SpaceError, match="fixed at 3"):
        space.check({"x": 0.5, "epochs": 4})
    only_fixed = Space(a=1)
    assert only_fixed.dimension == 0 and only_fixed.config([]) == {"a": 1}
    assert only_fixed.encode(only_fixed.decode(np.zeros((0,)))).shape == (0,)


# Refusals ---------------------------------------------------------------------------------

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda: Real(1, 1), "low must be below high"),
        (lambda: Real(2, 1), "low must be below high"),
        (lambda: Real(0, 1, log=True), "log needs a low bound above zero"),
        (lambda: Real(-1, 1, log=True), "log needs a low bound above zero"),
        (lambda: Real(NAN, 1), "low must be a finite number"),
        (lambda: Real(0, INF), "high must be a finite number"),
        (lambda: Real(0, 10**400), "too large"),
        (lambda: Real(-1.7e308, 1.7e308), "too far apart"),
        (lambda: Real("0", 1), "low must be a finite number"),
        (lambda: Real(False, True), "low must be a finite number"),
        (lambda: Real(0, 1, log="yes"), "log must be True or False"),
        (lambda: Real(0, 1, unit=3), "unit must be text"),
        (lambda: Real(0, 1, when=True), "`when` must be text"),
        (lambda: Int(3, 3), "low must be below high"),
        (lambda: Int(0, 3, log=True), "log needs a low bound above zero"),
        (lambda: Int(0, 2.5), "high must be a whole number"),
        (lambda: Int(0, NAN), "high must be a whole number"),
        (lambda: Int(0, 2**31), "do not fit in 32 bits"),
        (lambda: Int(-(2**31) + 1, 2**31 - 1), "do not fit in 32 bits"),
        (lambda: Int(0, 9, static=True, buckets=1), "buckets must be at least 2"),
        (lambda: Choice([]), "at least one option"),
        (lambda: Choice("abc"), "must be a list"),
        (lambda: Choice({"a", "b"}), "must be a list"),
        (lambda: Choice(["a", "a"]), "'a' is given twice"),
        (lambda: Choice([0, False]), "given twice"),
        (lambda: Choice([[1, 2], (1, 2)]), "given twice"),
        (lambda: Choice([NAN]), "cannot be written as JSON"),
        (lambda: Choice([object()]), "cannot be written as JSON"),
        (lambda: Choice([{"a": 1}]), "cannot be written as JSON"),
        (lambda: Space(), "no parameters"),
        (lambda: Space([1]), "must be a dictionary"),
        (lambda: Space({"a": Bool()}, a=Bool()), "'a' is given twice"),
        (lambda: Space({"a-b": Bool()}), "cannot be the name"),
        (lambda: Space({"": Bool()}), "cannot be the name"),
        (lambda: Space({"lambda": Bool()}), "cannot be the name"),
        (lambda: Space({"ﬁ": Bool()}), "cannot be the name"),
        (lambda: Space({1: Bool()}), "cannot be the name"),
        (lambda: Space(a=INF), "cannot be written as JSON"),
        (lambda: Space(a=Bool), "cannot be written as JSON"),
        (lambda: Space(a=Bool(when="b")), "'b' is not a parameter"),
        (lambda: Space(a=Bool(), constraints=["a or b"]), "'b' is not a parameter"),
        (lambda: Space(a=Bool(when="a")), "round in a circle: a -> a"),
        (lambda: Space(a=Bool(when="b"), b=Bool(when="c"), c=Bool(when="a")), "round in a circle"),
        (lambda: Space(a=Real(0, 1), constraints="a < 1"), "must be a list of expressions"),
        (lambda: Space(a=Real(0, 1), constraints=["a < "]), "cannot be read"),
        (lambda: Space(a=Real(0, 1), n=3, constraints=["n < 2"]), "never true"),
        (lambda: Space(a=Bool(), constraints=Real(0, 1)), "must be a list of expressions"),
    ],
)
def test_impossible_definitions(make, what):
    with pytest.raises(SpaceError, match=what) as caught:
        make()
    assert caught.value.where and caught.value.fix


@pytest.mark.parametrize(
    ("text", "what", "where"),
    [
        ("", "table of parameters", "parameters"),
        ("parameters = 3", "table of parameters", "parameters"),
        ("[parameters]\na = 1\na = 2", "cannot be read", "TOML"),
        ("[parameters.a]\n[parameters.a]", "cannot be read", "TOML"),
        ("[parameters", "cannot be read", "TOML"),
        ("lr = 3\n[parameters]\na = 1", "'lr' is not part of a space", "top level"),
        ("[parameters.a]\nlow = 0", "no known type", "parameters.a.type"),
        ("[parameters.a]\ntype = 'float'", "no known type", "parameters.a.type"),
        ("[parameters.a]\ntype = ['real']", "no known type", "parameters.a.type"),
        ("[parameters.a]\ntype = 'real'\nlow = 0", "no 'high'", "parameters.a"),
        ("[parameters.a]\ntype = 'real'\nhihg = 0", "'hihg' is not a field", "parameters.a.hihg"),
        ("[parameters.a]\ntype = 'real'\nlow = 1\nhigh = 0", "below high", "a = Real"),
        ("[parameters.a]\ntype = 'real'\nlow = nan\nhigh = 0", "finite", "a = Real"),
        ("[parameters]\na = 2020-01-01", "JSON", "a"),
        ("constraints = [3]\n[parameters]\na = 1", "must be text", "constraint 1"),
    ],
)
def test_files_that_describe_no_space(text, what, where):
    with pytest.raises(SpaceError, match=what) as caught:
        Space.from_toml(text)
    assert caught.value.where.startswith(where)
    assert caught.value.fix


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("{", "cannot be read"),
        ("[]", "table of parameters"),
        ('{"parameters": {"a": 1, "a": 2}}', "'a' is given twice"),
        ('{"parameters": {"a": {"type": "real", "low": 0, "low": 1}}}', "'low' is given twice"),
        ('{"parameters": {"a": {"type": "real", "low": 0, "high": NaN}}}', "finite"),
        ('{"parameters": {"a": Infinity}}', "cannot be written as JSON"),
    ],
)
def test_json_that_describes_no_space(text, what):
    with pytest.raises(SpaceError, match=what):
        Space.from_json(text)


@pytest.mark.parametrize(
    ("config", "what", "fix"),
    [
        ({"x": 0.5, "n": 2, "c": "a", "lrr": 1}, "'lrr' is not a parameter", "'lr'"),
        ({"x": 0.5, "n": 2}, "no value for 'c'", ""),
        ({"x": 0.5, "n": 2, "c": "b"}, "no value for 'lr' while \"c == 'b'\"", ""),
        ({"x": 1.5, "n": 2, "c": "a"}, "x cannot be 1.5", "from 0.0 to 1.0"),
        ({"x": NAN, "n": 2, "c": "a"}, "x cannot be nan", "from 0.0 to 1.0"),
        ({"x": "0", "n": 2, "c": "a"}, "x cannot be '0'", "from 0.0 to 1.0"),
        ({"x": True, "n": 2, "c": "a"}, "x cannot be True", "from 0.0 to 1.0"),
        ({"x": 0.5, "n": 2.5, "c": "a"}, "n cannot be 2.5", "whole number from 1 to 3"),
        ({"x": 0.5, "n": 2, "c": "z"}, "c cannot be 'z'", "one of 'a', 'b'"),
        ({"x": 0.5, "n": 2, "c": {}}, "c cannot be {}", "one of 'a', 'b'"),
    ],
)
def test_impossible_configurations(config, what, fix):
    space = Space(x=Real(0, 1), n=Int(1, 3), c=Choice(["a", "b"]), lr=Real(0, 1, when="c == 'b'"))
    with pytest.raises(SpaceError, match=what) as caught:
        space.check(config)
    assert fix in caught.value.fix


def test_check_gives_the_normal_form():
    space = Space(n=Int(1, 3), x=Real(0, 1), c=Choice([(64, 64), "y"]), b=Bool(), e=1)
    checked = space.check({"b": np.bool_(True), "x": np.float32(0.5), "n": 2.0, "c": [64, 64]})
    assert checked == {"n": 2, "x": 0.5, "c": (64, 64), "b": True, "e": 1}
    assert [*checked] == ["n", "x", "c", "b", "e"]
    assert [type(v) for v in checked.values()] == [int, float, tuple, bool, int]
    json.dumps(checked)


def test_wrong_arrays():
    space = Space(x=Real(0, 1), n=Int(1, 3))
    with pytest.raises(SpaceError, match=r"shape \(3,\)"):
        space.decode(np.zeros(3))
    with pytest.raises(SpaceError, match=r"shape \(3,\)"):
        space.config([0.1, 0.2, 0.3])
    with pytest.raises(SpaceError, match="NaN"):
        space.config([NAN, 0.5])
    with pytest.raises(SpaceError, match="no value for 'n'"):
        space.encode({"x": np.zeros(3)})
    assert space.config([-1e-9, 1 + 1e-9]) == {"x": 0.0, "n": 3}


# The page ----------------------------------------------------------------------------------

PAGE = Path(__file__).parents[2] / "docs" / "space.md"


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)


def test_every_python_example_of_the_page_is_true():
    session = "\n".join(blocks("python"))
    example = doctest.DocTestParser().get_doctest(session, {}, PAGE.name, str(PAGE), 0)
    assert len(example.examples) > 20
    heard = []
    runner = doctest.DocTestRunner()
    assert runner.run(example, out=heard.append).failed == 0, "".join(heard)


def test_the_file_on_the_page_is_a_space():
    (text,) = blocks("toml")
    assert Space.from_toml(text) == Space(
        epochs=10,
        batch=Choice([32, 64, 128]),
        layers=Int(1, 8),
        lr=Real(1e-4, 1.0, log=True, help="step size of the optimiser"),
        optimizer=Choice(["sgd", "adam"]),
        momentum=Real(0.0, 0.99, when="optimizer == 'sgd'"),
        constraints=["batch * layers <= 512"],
    )


# Costs ------------------------------------------------------------------------------------


def test_importing_the_space_does_not_import_jax():
    program = "import sys, parafree.core.space; sys.exit('jax' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
