"""Several objectives: fronts that are known, spaces of any kind, noise, and going on."""

import random

import numpy as np
import pytest

import parafree
from parafree import Bool, Choice, Int, Real, Space
from parafree.blackbox._pareto import dominated, hypervolume
from parafree.cli._summary import lines
from parafree.core.errors import StudyError
from parafree.study._front_search import FrontSearch
from parafree.study._goals import Goals
from parafree.study.store import Store
from parafree.study.study import Study

BOTH = Goals.of(("a", "b"))
BOX = Space({f"x{i}": Real(-2, 2) for i in range(3)})
UNIT = Space({f"x{i}": Real(0, 1) for i in range(5)})


def spheres(config):
    """Two bowls: the best compromises are the points between their centres."""
    x = np.array([*config.values()])
    return {"a": float(np.sum((x - 0.5) ** 2)), "b": float(np.sum((x + 0.5) ** 2))}


def zdt1(config):
    """Zitzler, Deb, Thiele 2000, T1."""
    first, *rest = config.values()
    g = 1 + 9 * sum(rest) / len(rest)
    return {"a": first, "b": g * (1 - (first / g) ** 0.5)}


def _drive(f, space, evaluations, goals=BOTH, seed=0, workers=1):
    search, running, log = FrontSearch(space, seed, goals), {}, []
    draw = random.Random(seed)
    for trial in range(evaluations):
        running[trial] = search.ask(trial)
        log.append((trial, running[trial], None))
        if len(running) == workers:
            done = draw.choice([*running])
            figures = f(running.pop(done))
            search.tell(done, 0.0, figures)
            log.append((done, None, figures))
    return search, log


def _volume(log, corner):
    points = [[figures[n] for n in "ab"] for _, _, figures in log if figures]
    return hypervolume(np.array(points), np.array(corner))


def test_the_front_of_two_spheres_is_the_segment_between_their_centres():
    search, log = _drive(spheres, BOX, 600)
    front = np.array([[*point.config.values()] for point in search.points])
    middle = front.mean(axis=1, keepdims=True)
    assert np.abs(front - middle).max() < 0.25  # from the line on which all coordinates are equal
    t = np.linspace(0, 1, 4001)
    ideal = np.stack([3 * t**2, 3 * (1 - t) ** 2], axis=1)
    share = _volume(log, (3.3, 3.3)) / hypervolume(ideal, np.array([3.3, 3.3]))
    assert share > 0.98


def test_the_front_of_zdt1_is_reached():
    _, log = _drive(zdt1, UNIT, 1000)
    assert _volume(log, (1.1, 1.1)) > 0.98 * (1.21 - 1 / 3)


def test_what_the_search_holds_is_the_front_of_all_that_it_asked():
    search, log = _drive(spheres, BOX, 150, workers=4)
    points = np.array([[f["a"], f["b"]] for _, _, f in log if f])
    held = np.array([point.outcome for point in search.points])
    best = np.unique(points[~dominated(points)], axis=0)
    assert held[np.lexsort(held.T[::-1])] == pytest.approx(best)


def test_any_number_of_workers_and_a_replay_comes_to_the_same_points():
    search, log = _drive(spheres, BOX, 200, workers=5, seed=3)
    again = FrontSearch(BOX, 3, BOTH)
    for trial, config, figures in log:
        if figures is None:
            assert again.ask(trial) == config
        else:
            again.tell(trial, 0.0, figures)
    assert [point.key for point in again.points] == [point.key for point in search.points]


MIXED = Space(
    kind=Choice(["p", "q", "r"]),
    n=Int(0, 30),
    deep=Bool(),
    x=Real(0, 1, when="deep"),
    constraints=["n < 25"],
)


def mixed(config):
    kind, x = "pqr".index(config["kind"]), config.get("x", 0.0)
    a = abs(config["n"] - 3) / 10 + kind + (1 - x if config["deep"] else 1.5)
    b = abs(config["n"] - 15) / 10 + 2 - kind + (x if config["deep"] else 1.5)
    return {"a": a, "b": b}


def test_options_whole_numbers_and_conditions_are_searched_together():
    _, log = _drive(mixed, MIXED, 500)
    configs = [config for _, config, figures in log if figures is None]
    assert len({str(config) for config in configs}) == len(configs) - 2  # asked again for noise
    for config in configs:
        assert MIXED.check(config) == config
    u = np.linspace(0, 1, 201)
    every = [
        mixed({"kind": k, "n": n, "deep": True, "x": float(x)})
        for k in "pqr" for n in range(25) for x in u
    ]  # fmt: skip
    ideal = hypervolume(np.array([[e["a"], e["b"]] for e in every]), np.array([6.0, 6.0]))
    assert _volume(log, (6, 6)) > 0.97 * ideal


def test_a_small_space_is_asked_for_whole_and_the_search_goes_on():
    space = Space(n=Int(0, 3), b=Bool())
    _, log = _drive(lambda c: {"a": c["n"], "b": -c["n"] - c["b"]}, space, 30)
    assert len({str(config) for _, config, figures in log if figures is None}) == 8


def test_limits_are_kept_and_reached():
    goals = Goals.of(("a", "b"), ["c"])
    search, _ = _drive(lambda c: spheres(c) | {"c": 0.2 - c["x0"]}, BOX, 400, goals)
    front = np.array([[*point.config.values()] for point in search.points])
    assert (front[:, 0] >= 0.2).all()
    assert front[:, 0].min() < 0.21
    a = [point.outcome[0] for point in search.points]
    assert min(a) < 0.02  # the end that the limit does not touch


def test_values_that_are_not_known_are_passed_over():
    def patchy(config):
        return {"a": None, "b": 0.0} if config["x0"] > 0 else spheres(config)

    search, _ = _drive(patchy, BOX, 150)
    assert search.points
    assert all(point.config["x0"] <= 0 for point in search.points)


def test_noise_is_found_and_points_of_the_front_are_asked_again():
    draw = random.Random(5)
    noisy = lambda c: {n: v + draw.gauss(0, 0.1) for n, v in spheres(c).items()}  # noqa: E731
    search, _ = _drive(noisy, BOX, 300)
    assert search.noisy
    assert search.asked_again > 40
    quiet, _ = _drive(spheres, BOX, 300)
    assert not quiet.noisy
    assert quiet.asked_again == 2


def test_three_objectives_are_searched_too():
    goals = Goals.of(("a", "b", "c"))
    f = lambda c: {n: sum((x - (i == j)) ** 2 for j, x in enumerate(c.values()))  # noqa: E731
                   for i, n in enumerate("abc")}  # fmt: skip
    _, log = _drive(f, BOX, 500, goals)
    points = np.array([[figures[n] for n in "abc"] for _, _, figures in log if figures])
    w = np.random.default_rng(0).dirichlet(np.ones(3), 400)  # the triangle between the centres
    ideal = np.array([[np.sum((x - np.eye(3)[i]) ** 2) for i in range(3)] for x in w])
    corner = np.full(3, 2.2)
    assert hypervolume(points, corner) > 0.9 * hypervolume(ideal, corner)


# The whole of it --------------------------------------------------------------------------


def _minimize(path, **options):
    options = {"workers": 1, "progress": False, "name": "s", "objectives": ("a", "b")} | options
    return parafree.minimize(spheres, BOX, store=path, **options)


def test_a_study_of_fronts_goes_on_and_tells_what_it_found(tmp_path):
    whole = _minimize(tmp_path / "p.db", evaluations=60)
    front = whole.front
    values = [(trial.metrics["a"], trial.metrics["b"]) for trial in front]
    assert values == sorted(values)
    assert whole.best in front
    assert whole.hypervolume((4, 4)) > 0
    assert "in the front of a, b" in whole.explain()[1]
    assert whole.failures == []
    assert "The front of a and b" in whole.report().read_text()
    shown = "\n".join(lines(Study.open("s", tmp_path / "p.db")))
    assert f"{len(set(values))} different points: a, b" in shown
    assert "60 evaluations" in shown
    part = _minimize(tmp_path / "q.db", evaluations=25)
    assert part.evaluations == 25
    rest = _minimize(tmp_path / "q.db", evaluations=60, objectives=None)  # need not be said again
    dumps = []
    for path in (tmp_path / "p.db", tmp_path / "q.db"):
        store = Store.open(path)
        dumps.append(store.export_dump(store.find("s").id))
    assert dumps[0] == dumps[1]
    assert rest.front == front
    with pytest.raises(StudyError, match="another objective"):
        _minimize(tmp_path / "q.db", evaluations=61, objectives=("b", "a"))


def test_what_makes_no_sense_with_several_objectives_is_refused(tmp_path):
    with pytest.raises(StudyError, match="several objectives"):
        _minimize(tmp_path / "p.db", target=1.0)
    with pytest.raises(StudyError, match="not searched on the device"):
        _minimize(tmp_path / "p.db", evaluations=9, compiled=True, workers=None)
