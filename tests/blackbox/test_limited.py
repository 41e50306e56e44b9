"""Limits of figures: restarts with an order, and models of all figures, against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from parafree import Choice, Int, Real, Space
from parafree.blackbox import BIPOP, CMAES, Auto, CatCMAES, Region, Surrogate
from parafree.blackbox._limited import Limited, Nearest
from parafree.core.errors import MethodError

D = 4


def corner(x):
    """A bowl around 2, of which a plane and a ball's outside cut the middle off."""
    bowl = jnp.sum(10.0 ** jnp.arange(D) * (x - 2) ** 2)
    return jnp.stack([bowl, jnp.sum(x) - 4, 1 - jnp.sum(x**2)])


def lowest() -> float:
    """On the plane, by Lagrange: x - 2 is proportional to 1 / weights."""
    weights = 10.0 ** np.arange(D)
    return float((4 - 2 * D) ** 2 / np.sum(1 / weights))


def searched(method, f, p, steps):
    """Ask and tell, compiled; return the best point."""

    def step(state, key):
        ask, tell = jax.random.split(key)
        candidates, state = method.ask(ask, state)
        return method.tell(tell, state, candidates, jax.vmap(f)(candidates))

    begin, *keys = jax.random.split(jax.random.key(0), steps + 1)
    state, infos = jax.lax.scan(step, method.init(begin, p), jnp.stack(keys))
    return method.best(state), state, infos


@pytest.mark.parametrize(
    ("method", "steps"), [(Limited(BIPOP(CMAES()), 2), 500), (Surrogate(limits=2), 150)]
)
def test_reference_the_lowest_value_within_limits_is_that_of_the_closed_form(method, steps):
    """With models in a tenth of the evaluations: 300 here, 4000 without."""
    with jax.enable_x64(True):
        best, _, infos = searched(method, corner, Region(jnp.zeros(D), low=-5.0, high=5.0), steps)
        figures, told = np.asarray(corner(best)), np.asarray(infos.value)
    assert (figures[1:] <= 0).all()
    assert figures[0] == pytest.approx(lowest(), rel=1e-4)
    assert told.min() == pytest.approx(figures[0])


def test_whole_numbers_and_options_keep_limits_too():
    space = Space(x=Real(-3, 3), n=Int(-5, 5), kind=Choice(["a", "b", "c"]))

    def figures(p):
        bowl = (p["x"] - 1) ** 2 + (p["n"] - 2) ** 2 + (p["kind"] != 1)
        return jnp.stack([bowl, p["n"] - 0.5])

    best, _, _ = searched(Surrogate(BIPOP(CatCMAES()), limits=1), figures, space, 120)
    assert (int(best["n"]), int(best["kind"])) == (0, 1)
    assert float(best["x"]) == pytest.approx(1, abs=0.05)


def test_where_nothing_keeps_the_limits_the_nearest_point_is_best():
    f = lambda x: jnp.stack([jnp.sum(x), 1 + jnp.sum(x**2)])  # noqa: E731
    best, state, infos = searched(
        Surrogate(limits=1), f, Region(jnp.ones(2), low=-5.0, high=5.0), 60
    )
    assert np.asarray(best) == pytest.approx(0, abs=0.05)
    assert float(state.nearest.violation) == pytest.approx(1, abs=0.01)
    assert np.isinf(infos.value).all()


def test_what_is_not_finite_is_no_result():
    """A third of the plane gives no value, another one no figure."""

    def holes(x):
        value = jnp.where(x[0] > 1, jnp.nan, jnp.sum((x - 0.3) ** 2))
        return jnp.stack([value, jnp.where(x[1] > 1, jnp.inf, -x[0])])

    best, state, _ = searched(
        Surrogate(limits=1), holes, Region(jnp.zeros(2), low=-5.0, high=5.0), 60
    )
    assert np.asarray(best) == pytest.approx(0.3, abs=0.01)
    assert np.isfinite(state.nearest.figures).all()


def test_the_nearest_point_is_the_least_beyond_limits_and_then_the_lowest():
    top = Nearest(jnp.zeros(1), jnp.full(2, jnp.inf), jnp.array(jnp.inf))
    x = jnp.arange(5.0)[:, None]
    figures = jnp.array([[1.0, 0.5], [9.0, -1.0], [3.0, 0.0], [jnp.inf, -1.0], [2.0, jnp.inf]])
    found = top.after(x, figures)
    assert (float(found.x[0]), float(found.figures[0])) == (2, 3)
    again = found.after(x[:1], figures[:1])
    assert float(again.x[0]) == 2


def test_the_number_of_limits_is_checked():
    with pytest.raises(MethodError, match="limits"):
        Auto(limits=-1)
    with pytest.raises(MethodError, match="limits"):
        Surrogate(limits=1.0)
