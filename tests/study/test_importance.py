import math
from types import SimpleNamespace

import numpy as np
import pytest

from parafree import Choice, Real, Space
from parafree.study.importance import importance, shares

REPORT = np.dtype([("trial", "i8"), ("units", "i8"), ("loss", "f8"), ("seq", "i8")])


def by_name(found):
    return {record.name: record for record in found.records}


def test_shares_of_an_additive_function_are_its_sobol_indices():
    # The variance of a * u is a**2 / 12, and the terms are independent.
    slopes = np.array([2.0, 1.0, 0.5, 0.0])
    sobol = slopes**2 / (slopes**2).sum()
    points = np.random.default_rng(0).random((1000, 4))
    found = shares("abcd", points, np.ones(1000), points @ slopes)
    assert [r.name for r in found.records] == ["a", "b", "c", "d"]
    for record, true in zip(found.records, sobol, strict=True):
        assert record.share == pytest.approx(true, abs=0.05)
        assert record.low <= record.share <= record.high
    assert found.scale == "loss" and found.note == ""


def test_shares_of_the_g_function_are_its_sobol_indices():
    # Sobol's g function: first-order variances are 1 / (3 (1 + a)^2).
    a = np.array([0.0, 1.0, 9.0])
    points = np.random.default_rng(1).random((1000, 3))
    value = np.prod((np.abs(4 * points - 2) + a) / (1 + a), axis=1)
    first = 1 / (3 * (1 + a) ** 2)
    sobol = first / (np.prod(1 + first) - 1)
    found = by_name(shares("abc", points, np.ones(1000), value))
    for name, true in zip("abc", sobol, strict=True):
        assert found[name].share == pytest.approx(true, abs=0.08)


def test_what_matters_only_in_combination_has_no_share_of_its_own():
    points = np.random.default_rng(2).random((800, 2))
    value = np.where((points[:, 0] > 0.5) == (points[:, 1] > 0.5), 0.0, 1.0)
    assert all(r.share < 0.1 for r in shares("ab", points, np.ones(800), value).records)


def test_units_are_not_counted_among_the_hyperparameters():
    rng = np.random.default_rng(3)
    points, units = rng.random((600, 2)), rng.choice([1, 3, 9, 27], 600)
    found = by_name(shares("ab", points, units, 5 / units + points[:, 0]))
    assert found["a"].share > 0.85 and found["b"].share < 0.05


def test_diverged_trials_do_not_dominate():
    rng = np.random.default_rng(4)
    points = rng.random((400, 2))
    loss = points[:, 0].copy()
    loss[:3] = 1e12  # by bad luck, not by any hyperparameter
    found = shares("ab", points, np.ones(400), loss)
    assert found.scale == "rank"
    assert by_name(found)["a"].share > 0.8
    loss[:3] = [math.inf, math.nan, math.nan]
    assert by_name(shares("ab", points, np.ones(400), loss))["a"].share > 0.8


def test_where_trials_diverge_is_part_of_what_matters():
    points = np.random.default_rng(5).random((400, 2))
    loss = np.where(points[:, 1] > 0.6, np.nan, 0.5)
    assert by_name(shares("ab", points, np.ones(400), loss))["b"].share > 0.9


def test_more_trials_make_the_interval_narrower():
    rng = np.random.default_rng(6)

    def width(count):
        points = rng.random((count, 2))
        loss = points @ np.array([1.0, 0.7]) + rng.normal(0, 0.2, count)
        record = by_name(shares("ab", points, np.ones(count), loss))["a"]
        return record.high - record.low

    assert width(800) < width(20)


def test_the_same_seed_gives_the_same_shares():
    points = np.random.default_rng(7).random((50, 2))
    once, again = (shares("ab", points, np.ones(50), points[:, 0], seed=3) for _ in range(2))
    assert once == again


@pytest.mark.parametrize("count", [0, 1, 9])
def test_too_few_trials_are_told_so(count):
    found = shares("ab", np.zeros((count, 2)), np.ones(count), np.arange(count, dtype=float))
    assert found.records == () and f"{count} trial" in found.note and "10" in found.note


@pytest.mark.parametrize("value", [1.0, math.nan])
def test_losses_that_do_not_differ_are_told_so(value):
    found = shares("ab", np.random.rand(20, 2), np.ones(20), np.full(20, value))
    assert found.records == () and "same loss" in found.note


def study_of(count, space, loss_of, seed=0):
    """Successive halving on a made-up study: bad trials have only one report."""
    rng = np.random.default_rng(seed)
    configs = [space.config(u) for u in rng.random((count, space.dimension))]
    trials = [
        SimpleNamespace(id=i, hparams=c, repeats=None, units=1) for i, c in enumerate(configs)
    ]
    rows = [(i, 1, loss_of(c), i) for i, c in enumerate(configs)]
    for i, _, loss, _ in sorted(rows, key=lambda row: row[2])[: count // 3]:
        trials[i].units = 9
        rows.append((i, 9, loss / 2, len(rows)))
    repeat = SimpleNamespace(id=count, hparams=configs[0], repeats=0, units=9)
    rows.append((count, 9, 1e9, len(rows)))
    return SimpleNamespace(space=space, trials=[*trials, repeat], reports=np.array(rows, REPORT))


def test_a_study_that_stopped_its_bad_trials_early():
    space = Space(
        lr=Real(1e-4, 1.0, log=True),
        x=Real(0, 1),
        opt=Choice(["a", "b"]),
        m=Real(0, 1, when="opt == 'a'"),
        fixed=3,
    )
    study = study_of(200, space, lambda c: abs(math.log10(c["lr"]) + 2) + 0.2 * c.get("m", 0.5))
    found = importance(study)
    assert found.trials == 200  # the repeat is left out
    assert found.records[0].name == "lr" and len(found.records) == 4
    assert found.records[0].share > 0.8
    assert by_name(found)["x"].share < 0.05


def test_many_trials_are_thinned_out():
    study = study_of(3000, Space(a=Real(0, 1), b=Real(0, 1)), lambda c: c["a"])
    found = importance(study, repeats=4)
    assert found.trials == 1000 and found.records[0].name == "a"
