"""Limits that only an evaluation shows: optima on their edge, and what is said where none is."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

import parafree
from parafree import Real, Space
from parafree.cli._summary import lines, ranking
from parafree.core.errors import StudyError, TrainableError
from parafree.study._goals import Goals
from parafree.study._printed import Program
from parafree.study._search import Search
from parafree.study.store import Store
from parafree.study.study import Study

PLANE = Space(x=Real(0, 1), y=Real(0, 1))
BOX = Space({f"x{i}": Real(-5, 5) for i in range(5)})


def _drive(f, space, evaluations, *limits, seed=0):
    """Return the best value within all limits, and the least violation."""
    goals = Goals.of(constraints=limits)
    search, best, least = Search(space, seed, 2, goals=goals), math.inf, math.inf
    for trial in range(evaluations):
        loss, figures = goals.read(f(search.ask(trial)))
        value = math.inf if loss is None else loss
        search.tell(trial, value, figures)
        best = min(best, value)
        least = min(least, goals.violation(goals.outcome(figures)))
    return best, least


def _sphere(config):
    x = np.array([*config.values()])
    return {"loss": float(np.sum(x**2)), "g": float(1 - x[0]), "idle": float(x[1] - 4)}


def _linear(config):
    x = np.array([*config.values()])
    return {"loss": float(np.sum(x)), "g": float(np.sum(x**2))}


def _equal(config):
    x = np.array([*config.values()])
    return {"loss": float(np.sum(x**2)), "h": float(x[0] + x[1])}


def _g06(config):
    """Floudas and Pardalos 1987; the optimum is -6961.81387558 at (14.095, 0.84296)."""
    x, y = 13 + 87 * config["x"], 100 * config["y"]
    return {
        "loss": (x - 10) ** 3 + (y - 20) ** 3,
        "g1": 100 - (x - 5) ** 2 - (y - 5) ** 2,
        "g2": (x - 6) ** 2 + (y - 5) ** 2 - 82.81,
    }


@pytest.mark.parametrize(
    ("f", "space", "evaluations", "limits", "optimum"),
    [
        (_sphere, BOX, 1000, ["g", "idle"], 1.0),
        (_linear, BOX, 1500, ["g <= 4"], -2 * math.sqrt(5)),
        (_equal, BOX, 1500, ["h <= 1.0001", "h >= 0.9999"], 0.9999**2 / 2),
        pytest.param(_g06, PLANE, 2000, ["g1", "g2"], -6961.81387558, marks=pytest.mark.slow),
    ],
)
def test_an_optimum_on_the_edge_of_limits_is_reached(f, space, evaluations, limits, optimum):
    best, _ = _drive(f, space, evaluations, *limits)
    assert best >= optimum * (1 - 1e-9 * np.sign(optimum))
    assert best == pytest.approx(optimum, rel=1e-4)


def test_limits_alone_lead_back_where_the_value_is_not_known_beyond_them():
    def blind(config):
        figures = _sphere(config)
        return figures if figures["g"] <= -3.5 else figures | {"loss": math.nan}

    best, _ = _drive(blind, BOX, 800, "g <= -3.5")
    assert best == pytest.approx(4.5**2, rel=1e-2)


def test_what_cannot_be_kept_is_approached():
    best, least = _drive(_sphere, BOX, 400, "g <= -7")
    assert best == math.inf
    assert least == pytest.approx(3 / 7, abs=1e-3)  # 1 - 5 is the least that there is


# The whole of it --------------------------------------------------------------------------


def _minimize(path, f=_sphere, **options):
    options = {"workers": 1, "progress": False, "name": "s", "constraints": ["g"]} | options
    return parafree.minimize(f, BOX, store=path, **options)


def test_a_study_with_limits_goes_on_and_recommends_what_keeps_them(tmp_path):
    whole = _minimize(tmp_path / "p.db", evaluations=60)
    assert whole.feasible
    assert whole.best.metrics["g"] <= 0
    assert whole.best.loss == min(t.metrics["loss"] for t in whole.trials if t.metrics["g"] <= 0)
    assert whole.failures == []
    assert any("of 60 evaluations kept all constraints" in line for line in whole.explain())
    _minimize(tmp_path / "q.db", evaluations=23)
    _minimize(tmp_path / "q.db", evaluations=60, constraints=None)  # they need not be said again
    dumps = []
    for path in (tmp_path / "p.db", tmp_path / "q.db"):
        store = Store.open(path)
        dumps.append(store.export_dump(store.find("s").id))
    assert dumps[0] == dumps[1]
    with pytest.raises(StudyError, match="another constraints"):
        _minimize(tmp_path / "q.db", evaluations=61, constraints={"g": 0.5})


def test_what_breaks_a_limit_is_infeasible_wherever_it_is_told(tmp_path):
    found = _minimize(tmp_path / "p.db", evaluations=30)
    opened = Study.open("s", tmp_path / "p.db")
    for study in (found, opened):
        for trial in study.trials:
            assert trial.status == ("paused" if trial.metrics["g"] <= 0 else "infeasible")
        assert study.best == found.best
        assert study.failures == []
    beyond = sum(trial.metrics["g"] > 0 for trial in found.trials)
    assert 0 < beyond < 30
    assert any(f"30 evaluations, {beyond} beyond a limit" in line for line in lines(opened))
    listed = ranking(opened)
    assert listed[0].id == found.best.id
    assert [t.status for t in listed] == ["paused"] * (30 - beyond) + ["infeasible"] * beyond
    excess = [trial.metrics["g"] for trial in listed[30 - beyond :]]
    assert excess == sorted(excess)
    page = opened.report().read_text()
    assert f"<b>{beyond}</b><span>beyond a limit</span>" in page
    assert "fresh run" not in page
    assert "Learning curves" not in page


def test_the_report_says_so_where_nothing_keeps_the_limits(tmp_path):
    _minimize(tmp_path / "p.db", evaluations=12, constraints=["g <= -7"])
    page = Study.open("s", tmp_path / "p.db").report().read_text()
    assert "No evaluation kept all limits" in page


def test_a_program_prints_the_figures_that_are_asked_for(tmp_path):
    space = Space(x=Real(-2, 2))
    script = tmp_path / "figures.sh"
    script.write_text("""awk -v x="$1" 'BEGIN { print 3;
        printf "{\\"cost\\": %f, \\"size\\": %f}\\n", (x - 1)^2, x^2 }'\n""")
    program = Program.parse(f"sh {script} {{x}}", space.names)
    found = parafree.minimize(
        program, space, objectives=["cost", "size"], evaluations=25, workers=1, name="s",
        store=tmp_path / "p.db", progress=False,
    )  # fmt: skip
    assert found.failures == []
    assert len(found.front) > 3
    for trial in found.trials:
        assert trial.metrics["cost"] == pytest.approx((trial.hparams["x"] - 1) ** 2, abs=1e-5)


def test_only_a_point_within_the_limits_reaches_a_target(tmp_path):
    found = _minimize(tmp_path / "p.db", target=20.0, evaluations=300)
    assert found.reason == "target"
    assert found.trials[-1].metrics["g"] <= 0
    assert found.trials[-1].loss <= 20


def test_the_nearest_is_told_where_nothing_keeps_the_limits(tmp_path):
    found = _minimize(tmp_path / "p.db", evaluations=20, constraints=["g <= -7"])
    assert not found.feasible
    assert found.best.metrics["g"] == min(trial.metrics["g"] for trial in found.trials)
    assert any("no evaluation kept all constraints" in line for line in found.explain())


def test_a_function_without_the_figure_is_told(tmp_path):
    found = _minimize(tmp_path / "p.db", lambda config: 3.0, evaluations=1)
    assert found.best is None
    assert "without 'g'" in found.failures[0][1]


def test_a_minimisation_without_goals_is_stored_as_it_always_was(tmp_path):
    """Studies that were made before must open, and go on, so nothing may be added to them."""
    found = _minimize(tmp_path / "p.db", evaluations=5, constraints=None)
    assert set(found.spec) == {
        "objective", "maximize", "seed", "scheduler", "sampler", "kind", "trainable", "space"
    }  # fmt: skip
    assert found.spec["sampler"] == {"name": "Minimizer", "settings": {"batch": 2, "first": []}}
    assert set(found.trials[0].metrics) == {"g", "idle"}


# On the device ----------------------------------------------------------------------------


def _in_jax(config):
    x = jnp.stack([config[f"x{i}"] for i in range(5)])
    return {"loss": jnp.sum(x**2), "g": 1 - x[0], "idle": x[1] - 4}


@pytest.mark.slow
def test_limits_are_kept_on_the_device_too(tmp_path):
    options = {"workers": None, "constraints": ["g", "idle"]}
    whole = _minimize(tmp_path / "p.db", _in_jax, evaluations=6000, **options)
    assert "compiled" in whole.explain()[0]
    assert whole.feasible
    assert whole.best.loss == pytest.approx(1, rel=1e-3)
    _minimize(tmp_path / "q.db", _in_jax, evaluations=2000, **options)
    rest = _minimize(tmp_path / "q.db", _in_jax, evaluations=6000, **options)
    assert rest.best.hparams == whole.best.hparams
    with pytest.raises(TrainableError, match="it returns no 'absent'"):
        _minimize(tmp_path / "r.db", _in_jax, evaluations=9, compiled=True, constraints=["absent"])
