"""The search that chooses: which method it takes, and that it does as that method does."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from parafree import Choice, Int, Real, Space, run
from parafree.blackbox import BIPOP, CMAES, LMCMA, Auto, CatCMAES, Region, Surrogate
from parafree.blackbox._frame import frame
from parafree.core.errors import MethodError


@pytest.mark.parametrize(
    ("p", "kind"),
    [
        (jnp.zeros(1), CMAES),
        (jnp.zeros(100), CMAES),
        (jnp.zeros(101), LMCMA),
        (Space(x=Real(0, 1), y=Real(0, 1)), CMAES),
        (Space(x=Real(0, 1), n=Int(0, 9)), CatCMAES),
        (Space(c=Choice(["a", "b"])), CatCMAES),
        (Space(x=Real(0, 1), only=Choice(["a"])), CMAES),
    ],
)
def test_the_method_depends_on_dimension_and_kinds(p, kind):
    assert type(Auto().method(frame(p)).method) is kind


@pytest.mark.parametrize("d", [41, 100])
@pytest.mark.parametrize(("batch", "kind"), [(None, CMAES), (2, LMCMA)])
def test_beyond_the_model_no_covariance_is_learned_where_candidates_count(batch, kind, d):
    assert type(Auto(batch=batch).method(frame(jnp.zeros(d))).method) is kind


def test_reference_it_does_what_the_chosen_method_does(valley):
    region = Region(jnp.zeros(3), low=-5, high=5)
    chosen = run(Auto(), valley, region, jax.random.key(3), steps=60)
    itself = run(BIPOP(CMAES()), valley, region, jax.random.key(3), steps=60)
    np.testing.assert_array_equal(chosen.p, itself.p)
    assert float(chosen.value) == float(itself.value)


def test_many_dimensions_are_searched_faster_from_shorter_steps():
    d = 120
    optimum = jnp.asarray(np.random.default_rng(0).uniform(-4, 4, d))
    f = lambda p: jnp.sum((p - optimum) ** 2)  # noqa: E731
    region = Region(jnp.zeros(d), low=-5, high=5)

    def median(method):
        found = jax.jit(lambda key: run(method, f, region, key, steps=60).value)
        return np.median([found(jax.random.key(seed)) for seed in range(3)])

    assert median(Auto()) < median(BIPOP(LMCMA()))


def test_a_batch_is_as_large_as_is_asked_for():
    for batch, size in ((None, 7), (1, 2), (3, 3), (20, 20)):
        state = Auto(batch=batch).init(jax.random.key(0), jnp.zeros(3))
        assert Auto(batch=batch).draws(state).shape == (size, 3)
    with pytest.raises(MethodError, match="batch"):
        Auto(batch=0)


@pytest.mark.parametrize(
    ("p", "batch", "modelled"),
    [
        (jnp.zeros(3), 1, True),
        (Space(x=Real(0, 1), n=Int(0, 9)), 4, True),
        (jnp.zeros(3), None, False),  # values that cost next to nothing
        (jnp.zeros(41), 4, False),
    ],
)
def test_a_model_spares_evaluations_where_each_one_counts(p, batch, modelled):
    assert isinstance(Auto(batch).method(frame(p)), Surrogate) is modelled


@pytest.mark.parametrize("batch", [None, 2])
def test_candidates_can_take_each_others_places(batch):
    """Told other draws than it asked for, the method learns from those."""
    method, start = Auto(batch), jnp.zeros(2)
    state = method.init(jax.random.key(0), start)
    _, one = method.ask(jax.random.key(1), state)
    candidates, two = method.ask(jax.random.key(2), state)
    values = jnp.sum(candidates**2, axis=1)
    key = jax.random.key(3)
    tell = jax.jit(lambda state: method.tell(key, state, candidates, values)[0])
    told, again = tell(two), tell(method.recall(one, method.draws(two)))
    told, again = method.runs(told), method.runs(again)
    for a, b in zip(jax.tree.leaves(told.inner), jax.tree.leaves(again.inner), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("batch", [None, 2])
def test_it_can_be_moved_to_a_point(batch):
    space = Space(x=Real(0, 10), y=Real(-1, 1))
    method = Auto(batch)
    state = method.move(method.init(jax.random.key(0), space), jnp.array([0.3, 0.9]))
    state = method.runs(state)
    point = state.inner.core.frame.point(state.inner.core.mean)
    assert float(point["x"]) == pytest.approx(3)
    assert float(point["y"]) == pytest.approx(0.8)
