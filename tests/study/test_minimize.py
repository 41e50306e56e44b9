"""`parafree.minimize`: what it finds, how it goes on, and what it makes of bad functions."""

import contextlib
import math

import pytest

import parafree
from parafree import Bool, Choice, Int, Real, Space
from parafree.core.errors import SpaceError, StudyError, TrainableError
from parafree.study._printed import Program
from parafree.study.store import Store

PLANE = Space(x=Real(-2, 3), y=Real(-1, 4))


def bowl(config):
    return (config["x"] - 1) ** 2 + 10 * (config["y"] - 1) ** 2


def _minimize(f, path, space=PLANE, **options):
    options = {"workers": 1, "progress": False, "name": "s"} | options
    return parafree.minimize(f, space, store=path, **options)


def _journal(path):
    store = Store.open(path)
    return store.export_dump(store.find("s").id)


def test_it_finds_the_minimum_in_double_precision(tmp_path):
    found = _minimize(bowl, tmp_path / "p.db", evaluations=400)
    assert found.evaluations == len(found.trials) == 400
    assert found.reason == "evaluations"
    assert found.best.loss < 1e-12  # single precision ends at about 1e-13 times 25
    assert found.best.hparams["x"] == pytest.approx(1, abs=1e-5)
    assert any("CMAES" in line for line in found.explain())


def test_a_target_stops_at_the_first_value_that_reaches_it(tmp_path):
    found = _minimize(bowl, tmp_path / "p.db", target=0.1)
    losses = found.reports["loss"]
    assert found.reason == "target"
    assert losses[-1] <= 0.1 < losses[:-1].min()


class _Stop(Exception):
    pass


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "p.db"
    _minimize(bowl, path, evaluations=150)
    return _journal(path)


@pytest.mark.parametrize("reports", [5, 97])
def test_a_killed_run_goes_on_to_the_same_journal(whole, tmp_path, monkeypatch, reports):
    from parafree.study.workers import WorkerExecutor

    real, left = WorkerExecutor.advance, iter(range(reports))

    def advance(self):
        if next(left, None) is None:
            raise _Stop
        return real(self)

    path = tmp_path / "p.db"
    with monkeypatch.context() as patched:
        patched.setattr(WorkerExecutor, "advance", advance)
        with contextlib.suppress(_Stop):
            _minimize(bowl, path, evaluations=150)
    _minimize(bowl, path, evaluations=150)
    assert _journal(path) == whole


@pytest.mark.parametrize("several", [False, True])
def test_a_study_goes_on_with_a_search_that_would_have_asked_for_something_else(
    tmp_path, monkeypatch, several
):
    """As after an update: what was tried stays, and the search goes on from there."""
    from parafree.study import _front_search, _on_cube
    from parafree.study._minimizer import Minimizer

    goals = {"objectives": ("loss", "x")} if several else {}
    f = lambda c: {"loss": bowl(c), "x": c["x"]}  # noqa: E731
    before = _minimize(f, tmp_path / "p.db", evaluations=30, **goals)
    other = lambda real: lambda seed, *names: real(seed + 1, *names)  # noqa: E731
    for module in (_on_cube, _front_search):
        for name in ("integer_from_names", "key_from_names"):
            monkeypatch.setattr(module, name, other(getattr(module, name)))
    adopted, real = [], Minimizer.adopt
    monkeypatch.setattr(Minimizer, "adopt", lambda *a: (adopted.append(a[2]), real(*a)))
    found = _minimize(f, tmp_path / "p.db", evaluations=200, **goals)
    assert len(adopted) > 20
    assert [t.hparams for t in found.trials[:30]] == [t.hparams for t in before.trials]
    assert found.evaluations == 200
    losses = [t.metrics.get("loss", t.loss) for t in found.trials]
    assert min(losses) < (min(losses[:30]) if several else 1e-3)


@pytest.mark.slow
def test_a_second_call_goes_on_where_the_first_stopped(whole, tmp_path):
    path = tmp_path / "p.db"
    for evaluations in (30, 31, 150):
        _minimize(bowl, path, evaluations=evaluations)
    assert _journal(path) == whole


def test_the_first_configurations_are_tried_first_and_searched_around(tmp_path):
    known = [{"x": 2.9, "y": 3.9}, {"x": 0.5, "y": 0.5}]
    found = _minimize(bowl, tmp_path / "p.db", evaluations=10, first=known)
    assert [trial.hparams for trial in found.trials[:2]] == known
    more = _minimize(bowl, tmp_path / "p.db", evaluations=12)  # they need not be said again
    assert more.evaluations == 12
    with pytest.raises(StudyError, match="another sampler"):
        _minimize(bowl, tmp_path / "p.db", evaluations=13, first=known[:1])
    with pytest.raises(SpaceError, match="z"):
        _minimize(bowl, tmp_path / "q.db", evaluations=3, first=[{"z": 1.0}])


def test_bounds_that_touch_are_refused_and_a_single_option_is_none(tmp_path):
    with pytest.raises(SpaceError, match="low"):
        Space(x=Real(1, 1))
    single = Space(x=Real(0, 1), only=Choice(["a"]))
    found = _minimize(lambda c: (c["x"] - 0.5) ** 2, tmp_path / "p.db", single, evaluations=40)
    assert found.best.hparams["only"] == "a"
    assert found.best.loss < 1e-2


def test_another_seed_searches_elsewhere(whole, tmp_path):
    _minimize(bowl, tmp_path / "p.db", evaluations=20, seed=1)
    assert _journal(tmp_path / "p.db").splitlines()[1] not in whole


def test_what_has_no_budget_or_no_space_is_refused(tmp_path):
    with pytest.raises(StudyError, match="nothing says when to stop"):
        _minimize(bowl, tmp_path / "p.db")
    with pytest.raises(StudyError, match="nothing says what may vary"):
        _minimize(bowl, tmp_path / "p.db", space=None, evaluations=3)
    with pytest.raises(StudyError, match="nothing in the space varies"):
        _minimize(bowl, tmp_path / "p.db", space=Space(x=1.0), evaluations=3)


def test_a_study_of_tune_is_not_taken_for_a_minimisation(tmp_path):
    parafree.tune(
        lambda trial: trial.report(loss=0.0),
        space=PLANE, trials=2, name="s", store=tmp_path / "p.db", progress=False, workers=1,
    )  # fmt: skip
    with pytest.raises(StudyError, match="exists with another"):
        _minimize(bowl, tmp_path / "p.db", evaluations=3)


# Functions that misbehave -----------------------------------------------------------------


def test_points_that_raise_or_are_nan_rank_last(tmp_path):
    def patchy(config):
        if config["x"] < 0:
            raise ArithmeticError("no such point")
        return math.nan if config["y"] < 0 else bowl(config)

    found = _minimize(patchy, tmp_path / "p.db", evaluations=300)
    statuses = {trial.status for trial in found.trials}
    assert {"failed", "diverged"} <= statuses
    assert any("no such point" in message for _, message in found.failures)
    assert found.best.loss < 1e-6


def test_a_function_that_is_nowhere_finite_gives_no_best(tmp_path):
    found = _minimize(lambda config: math.inf, tmp_path / "p.db", evaluations=40)
    assert found.best is None
    assert found.evaluations == 40


def test_a_function_that_always_raises_is_given_up(tmp_path):
    def broken(config):
        raise KeyError("z")

    found = _minimize(broken, tmp_path / "p.db", evaluations=10_000)
    assert found.reason == "failed"
    assert found.evaluations < 200


def test_a_constant_function_ends_with_its_budget(tmp_path):
    found = _minimize(lambda config: 7.0, tmp_path / "p.db", evaluations=300)
    assert found.best.loss == 7.0
    assert found.evaluations == 300


def test_a_point_that_hangs_holds_up_nothing_but_itself(tmp_path):
    import time

    def slow(config):
        if round(1e6 * config["x"]) % 12 == 0:
            time.sleep(60)
        return bowl(config)

    found = _minimize(slow, tmp_path / "p.db", evaluations=60, timeout=0.3)
    late = [message for _, message in found.failures]
    assert late
    assert all("took longer than 0.3 s" in message for message in late)
    assert found.best.loss < 1


@pytest.mark.parametrize("scale", [1e-12, 1e12])
def test_the_scale_of_values_makes_no_difference(tmp_path, scale):
    found = _minimize(lambda c: scale * bowl(c), tmp_path / "p.db", evaluations=250)
    assert found.best.loss < 1e-9 * scale


def test_an_optimum_on_the_boundary_is_reached(tmp_path):
    found = _minimize(lambda c: c["x"] - c["y"], tmp_path / "p.db", evaluations=250)
    assert found.best.loss == pytest.approx(-6, abs=1e-3)


def test_one_parameter_is_enough(tmp_path):
    found = _minimize(
        lambda c: abs(c["x"] - 0.7), tmp_path / "p.db", Space(x=Real(0, 1)), evaluations=150
    )
    assert found.best.loss < 1e-6


def test_fewer_evaluations_than_a_batch_has_candidates(tmp_path):
    found = _minimize(bowl, tmp_path / "p.db", evaluations=2)
    assert found.evaluations == 2
    assert found.best is not None


@pytest.mark.parametrize("returned", ["'soon'", "None", "{'value': 1.0}", "[1.0, 2.0]"])
def test_what_is_no_number_is_told(tmp_path, returned):
    found = _minimize(lambda config: eval(returned), tmp_path / "p.db", evaluations=1)
    assert found.best is None
    assert "number" in found.failures[0][1]


def test_further_numbers_are_kept(tmp_path):
    found = _minimize(
        lambda c: {"loss": bowl(c), "size": 3, "odd": math.nan}, tmp_path / "p.db", evaluations=3
    )
    assert found.trials[0].metrics == {"size": 3.0, "odd": None}


# Programs ---------------------------------------------------------------------------------


def test_a_program_is_asked_for_its_last_number(tmp_path):
    line = """awk 'BEGIN {{ print "working"; print ({x} - 1)^2 + ({y} - 1)^2 }}'"""
    program = Program.parse(line, PLANE.names)
    found = _minimize(program, tmp_path / "p.db", evaluations=60)
    assert found.best.loss < 0.1
    x, y = found.best.hparams.values()
    assert found.best.loss == pytest.approx((x - 1) ** 2 + (y - 1) ** 2, rel=1e-4)


def test_a_program_that_fails_or_says_nothing_is_told(tmp_path):
    silent = Program.parse("true {x} {y}", PLANE.names)
    found = _minimize(silent, tmp_path / "p.db", evaluations=1)
    assert "without printing a value" in found.failures[0][1]
    failing = Program.parse("sh -c 'echo 1; exit 3' {x} {y}", PLANE.names)
    found = _minimize(failing, tmp_path / "q.db", evaluations=1)
    assert "exited with status 3" in found.failures[0][1]
    with pytest.raises(TrainableError, match=r"has no \{units\}"):
        Program.parse("true {x} {y} {units}", PLANE.names)


# Noise ------------------------------------------------------------------------------------


def test_a_function_without_noise_is_asked_again_once(tmp_path):
    found = _minimize(bowl, tmp_path / "p.db", evaluations=60)
    configs = [tuple(trial.hparams.items()) for trial in found.trials]
    assert len(configs) - len(set(configs)) == 1
    assert found.noise == 0.0
    assert found.error == 0.0
    assert any("no noise" in line for line in found.explain())


def test_noise_is_found_and_told_and_the_best_is_a_mean(tmp_path):
    import random

    def noisy(config):
        return bowl(config) + random.gauss(0, 1)

    found = _minimize(noisy, tmp_path / "p.db", evaluations=1500)
    assert found.noise == pytest.approx(1, rel=0.5)  # four errors of an estimate from 30 pairs
    best = found.best
    told = [t.loss for t in found.trials if t.hparams == best.hparams]
    assert len(told) > 2
    fair = told[1:]  # for the first it was picked
    assert best.loss == pytest.approx(sum(fair) / len(fair))
    assert found.error == pytest.approx(found.noise / math.sqrt(len(fair)))
    assert bowl(best.hparams) < 1  # less than one value can tell
    assert any("noise" in line for line in found.explain())


# Mixed spaces -----------------------------------------------------------------------------

MIXED = Space(
    kind=Choice(["round", "steep", "flat"]),
    count=Int(1, 40),
    x=Real(-5, 5),
    depth=Real(0, 1, when="kind == 'steep'"),
    constraints=["count + x < 30"],
)


def mixed(config):
    extra = {"round": 3.0, "steep": config.get("depth", 9.0) ** 2, "flat": 5.0}[config["kind"]]
    return extra + (config["count"] - 26) ** 2 / 10 + (config["x"] - 2.5) ** 2


@pytest.mark.slow
def test_all_kinds_of_parameters_are_searched_together(tmp_path):
    found = _minimize(mixed, tmp_path / "p.db", MIXED, evaluations=600)
    best = found.best.hparams
    assert (best["kind"], best["count"]) == ("steep", 26)
    assert found.best.loss < 1e-3
    for trial in found.trials:
        assert MIXED.check(trial.hparams) == trial.hparams
    assert "CatCMAES" in found.method


@pytest.mark.slow
def test_no_configuration_is_tried_twice_and_none_is_left_out(tmp_path):
    """A space of 24 points is searched to its end, and one point is asked for again."""
    space = Space(a=Choice(list("pqrs")), n=Int(0, 2), b=Bool())
    value = lambda c: 10 * "rspq".index(c["a"]) + abs(c["n"] - 1) + c["b"]  # noqa: E731
    found = _minimize(value, tmp_path / "p.db", space, evaluations=25)
    assert len({tuple(trial.hparams.items()) for trial in found.trials}) == 24
    assert found.best.loss == 0


@pytest.mark.slow
def test_a_narrow_region_of_feasible_points_is_found(tmp_path):
    space = Space(x=Real(0, 1), y=Real(0, 1), constraints=["x - y < 0.01", "y - x < 0.01"])
    found = _minimize(
        lambda c: (c["x"] - 0.7) ** 2 + c["y"] ** 2, tmp_path / "p.db", space, evaluations=200
    )
    assert found.best.loss == pytest.approx(0.245, abs=0.01)  # x about y about 0.35


# Many workers -----------------------------------------------------------------------------


def test_no_worker_waits_and_a_replay_rebuilds_the_search():
    """Five workers end in any order and one of them hangs; the search goes on and finds it."""
    import random

    from parafree.study._search import Search

    draw, log, running = random.Random(0), [], {}
    search = Search(PLANE, 0, 10)
    for trial in range(400):
        running[trial] = search.ask(trial)
        log.append((trial, running[trial], None))
        if len(running) == 5:
            done = draw.choice([each for each in running if each != 7])  # trial 7 hangs
            value = bowl(running.pop(done))
            search.tell(done, value)
            log.append((done, None, value))
    assert 7 in running
    assert bowl(search.values.configs[search.values.best()]) < 1e-6
    again = Search(PLANE, 0, 10)
    for trial, config, value in log:
        if value is None:
            assert again.ask(trial) == config
        else:
            again.tell(trial, value)
    assert again.values == search.values
