"""What functions, spaces and budgets may do to a minimisation, and it must stand: guards."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import parafree
from parafree import Real, Space
from parafree.cli._summary import lines
from parafree.study import _compiled_session
from parafree.study._search import Search
from parafree.study.study import Study

PLANE = Space(x=Real(-2, 3), y=Real(-1, 4))
MANY = 10_000


def bowl(config):
    return (config["x"] - 1) ** 2 + 10 * (config["y"] - 1) ** 2


def _minimize(f, path, space=PLANE, **options):
    options = {"workers": 1, "progress": False, "name": "s"} | options
    return parafree.minimize(f, space, store=path, **options)


def _drive(f, evaluations, space=PLANE):
    """Ask and tell a search by hand; return it, the configurations and the values."""
    search, configs, values = Search(space, 0, 2), [], []
    for trial in range(evaluations):
        configs.append(search.ask(trial))
        values.append(f(configs[-1]))
        search.tell(trial, values[-1])
    return search, configs, np.array(values)


# Discontinuous functions ------------------------------------------------------------------


def test_the_edge_of_a_cliff_is_reached():
    """Beyond the line x = 1, on which the minimum lies, every value is larger by 10."""
    _, _, values = _drive(lambda c: bowl(c) + 10 * (c["x"] > 1), 400)
    assert values.min() < 1e-4


def test_steps_without_any_slope_are_gone_down():
    _, _, values = _drive(lambda c: math.floor(4 * abs(c["x"] - 1)) + math.floor(bowl(c)), 300)
    assert values.min() == 0


def test_holes_in_which_there_is_no_value_are_gone_around():
    """Half of the plane has no value, in stripes that are narrower than the first steps."""
    hole = lambda c: math.nan if math.floor(8 * c["y"]) % 2 else bowl(c)  # noqa: E731
    _, _, values = _drive(hole, 400)
    assert np.nanmin(values) < 1e-4


# Scales -----------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_the_scale_of_the_space_makes_no_difference(scale):
    space = Space(x=Real(-2 * scale, 3 * scale), y=Real(-scale, 4 * scale))
    _, configs, values = _drive(lambda c: bowl({n: v / scale for n, v in c.items()}), 250, space)
    assert values.min() < 1e-9
    best = configs[int(values.argmin())]
    assert best["x"] / scale == pytest.approx(1, abs=1e-4)


def test_parameters_of_unlike_scales_are_searched_together():
    space = Space(x=Real(-2e-12, 3e-12), y=Real(-1e12, 4e12))
    _, _, values = _drive(lambda c: bowl({"x": c["x"] * 1e12, "y": c["y"] / 1e12}), 250, space)
    assert values.min() < 1e-9


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_scales_make_no_difference_on_the_device(tmp_path, scale):
    space = Space(x=Real(-2 * scale, 3 * scale), y=Real(-scale, 4 * scale))

    def f(config):
        return jnp.float32(scale) * bowl(jax.tree.map(lambda v: v / scale, dict(config)))

    found = _minimize(f, tmp_path / "p.db", space, evaluations=4000, workers=None)
    assert "compiled" in found.explain()[0]
    assert found.best.loss < 1e-9 * scale


# After the optimum ------------------------------------------------------------------------


def test_the_search_goes_on_after_it_has_hit_the_optimum():
    """Hit exactly, with a thousand evaluations to come: it begins again, and stays sound."""
    search, configs, values = _drive(lambda c: math.floor(1e6 * bowl(c)), 1500)
    hit = int(np.argmax(values == 0))
    assert 0 < hit < 500
    assert len(search.runs) > 3
    assert {run.ended for run in search.runs[:-1]}.isdisjoint({"", "DIVERGED"})
    for config in configs:
        assert PLANE.check(config) == config
    assert len({tuple(config.values()) for config in configs}) > 1400


def test_the_state_on_the_device_stays_finite_long_after_the_optimum(tmp_path):
    found = _minimize(
        lambda c: jnp.floor(1e4 * ((c["x"] - 1) ** 2 + c["y"] ** 2)),
        tmp_path / "p.db",
        evaluations=200_000,
        workers=None,
    )
    assert found.best.loss == 0
    assert found.restarts > 10
    assert set(found._facts.ends).isdisjoint({"DIVERGED", "NOT_FINITE"})
    losses = found.reports["loss"]
    assert np.isfinite(losses).all()


# Ten thousand parameters ------------------------------------------------------------------


def _many():
    return Space({f"x{i}": Real(-5, 5) for i in range(MANY)})


def distance(config):
    x = np.fromiter(config.values(), float)
    return float(np.sum((x - 1) ** 2))


@pytest.mark.slow
def test_ten_thousand_parameters_are_searched_shown_and_reported(tmp_path):
    space = _many()
    _minimize(distance, tmp_path / "p.db", space, evaluations=30)
    found = _minimize(distance, tmp_path / "p.db", space, evaluations=60)  # replayed, and more
    assert found.evaluations == 60
    assert "LMCMA" in found.method
    assert found.best.loss < found.trials[0].loss
    page = found.report()
    assert page.stat().st_size < 10e6
    text = page.read_text()
    assert "Of 10,000 hyperparameters these are the 50" in text
    shown = lines(Study.open("s", tmp_path / "p.db"))
    assert len(shown) < 60
    assert any("9,960 more" in line for line in shown)


@pytest.mark.slow
def test_ten_thousand_parameters_are_searched_on_the_device(tmp_path):
    def f(config):
        return jnp.sum((jnp.stack([*config.values()]) - 1) ** 2)

    space = _many()
    found = _minimize(f, tmp_path / "p.db", space, evaluations=3000, workers=None)
    assert "compiled" in found.explain()[0]
    assert 3000 <= found.evaluations < 3100
    x = np.array([*found.best.hparams.values()])
    assert found.best.loss == pytest.approx(np.sum((x - 1) ** 2), rel=1e-4)
    assert found.best.loss < 0.9 * (25 / 3 + 1) * MANY  # of what an even point is worth
    rest = _minimize(f, tmp_path / "p.db", space, evaluations=3100, workers=None)
    assert rest.evaluations >= 3100


@pytest.mark.slow
def test_ten_thousand_parameters_are_found_on_the_device(tmp_path):
    def f(config):
        return jnp.sum((jnp.stack([*config.values()]) - 1) ** 2)

    found = _minimize(f, tmp_path / "p.db", _many(), evaluations=120_000, workers=None)
    assert found.best.loss < 1e-2 * MANY
    assert (tmp_path / "p.db").stat().st_size < 50e6


def test_a_journal_grows_more_slowly_the_more_numbers_it_holds(tmp_path, monkeypatch):
    """A trial for each chunk of a long run of many parameters would fill the disk."""
    wide = lambda c: jnp.sum(jnp.stack([*c.values()]) ** 2)  # noqa: E731
    space = Space({f"x{i}": Real(-5, 5) for i in range(200)})
    monkeypatch.setattr(_compiled_session, "_NUMBERS", 50)  # four seconds for each trial
    found = _minimize(wide, tmp_path / "p.db", space, time=3, workers=None)
    assert len(found.trials) <= 2
    assert found.units == found.evaluations
