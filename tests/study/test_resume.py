"""A study that is stopped anywhere goes on to the same journal, bit for bit."""

import contextlib

import numpy as np
import pytest

import parafree
from parafree.study.store import Store


def _journal(path):
    store = Store.open(path)
    return store.export_dump(store.find("bowl").id)


def _tune(bowl, path, units, **options):
    options = {"lanes": 4, "chunk": 2, "seed": 3, "repeats": 3} | options
    return parafree.tune(bowl, name="bowl", store=path, units=units, progress=False, **options)


@pytest.fixture(scope="module")
def whole(bowl, tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "p.db"
    study = _tune(bowl, path, 900)
    return study, _journal(path)


class _Stop(Exception):
    pass


@pytest.mark.parametrize("ticks", [1, 2, 5, 17, 40, 70, 90, 103, 110])
def test_a_killed_run_goes_on_to_the_same_journal(bowl, whole, tmp_path, monkeypatch, ticks):
    """Kill in the middle of a tick: nothing after the last flush is kept, no state is saved."""
    from parafree.study.lanes import Lanes

    real, left = Lanes.advance, iter(range(ticks))

    def advance(self):
        if next(left, None) is None:
            raise _Stop
        return real(self)

    path = tmp_path / "p.db"
    with monkeypatch.context() as patched:
        patched.setattr(Lanes, "advance", advance)
        with contextlib.suppress(_Stop):
            _tune(bowl, path, 900)
    _tune(bowl, path, 900)
    assert _journal(path) == whole[1]


def test_a_larger_budget_goes_on_where_the_smaller_one_stopped(bowl, tmp_path):
    path = tmp_path / "p.db"
    first = _tune(bowl, path, 300)
    second = _tune(bowl, path, 600)
    tick = 4 * 2  # the budget is looked at between ticks
    assert abs(first.units - 300) < tick
    assert abs(second.units - 600) < tick
    old, new = first.reports, second.reports
    assert (new[: len(old)] == old).all()


def test_the_winner_is_repeated_with_fresh_seeds(whole):
    study, _ = whole
    repeats = study.history.repeats_of(study.best.id)
    assert len(repeats) == 3
    assert {each.units for each in repeats} == {study.best.units}
    mean, error, count, units = study.uncertainty
    losses = [each.loss for each in repeats]
    assert (count, units) == (3, study.best.units)
    assert mean == pytest.approx(np.mean(losses))
    assert error == pytest.approx(np.std(losses, ddof=1) / np.sqrt(3))


def test_state_gives_the_trained_parameters_back(bowl, whole):
    study, _ = whole
    best = study.best
    state = study.state()
    assert float(bowl.evaluate(state, best.hparams)["loss"]) == pytest.approx(best.loss, rel=1e-6)
