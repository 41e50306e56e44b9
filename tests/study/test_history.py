"""The history: any way of folding a journal gives the same, and the best is the one to trust."""

from __future__ import annotations

import itertools
import math
import statistics
import tempfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parafree.core.errors import StudyError
from parafree.study.events import Event, report
from parafree.study.history import History
from parafree.study.store import Store


def new(trial, repeats=None, **hparams):
    data = {"hparams": hparams} | ({} if repeats is None else {"repeats": repeats})
    return Event("trial", trial, data=data)


@st.composite
def journals(draw):
    """Journals as a driver writes them: trials are made, get jobs, report, end."""
    events, targets, units, alive = [Event("plan", data={"lanes": 4})], [], [], []
    for _ in range(draw(st.integers(0, 40))):
        kind = draw(st.sampled_from(["trial", "start", "report", "report", "end", "confirm"]))
        if kind == "trial" or not alive:
            alive.append(len(targets))
            repeats = draw(st.none() | st.integers(0, len(targets) - 1)) if targets else None
            events.append(new(len(targets), repeats, lr=draw(st.floats(0, 1))))
            targets.append(0)
            units.append(0)
            continue
        trial = draw(st.sampled_from(alive))
        if kind == "start":
            targets[trial] = units[trial] + draw(st.integers(1, 9))
            events.append(Event("start", trial, targets[trial]))
        elif kind == "report":
            units[trial] += draw(st.integers(0, 5))
            loss = draw(st.floats(-10, 10) | st.just(math.nan))
            metrics = draw(st.none() | st.just({"accuracy": 0.5}))
            events.append(report(trial, units[trial], loss, metrics))
        elif kind == "end":
            alive.remove(trial)
            status = draw(st.sampled_from(["failed", "finished"]))
            data = {"status": status, "message": "why"}
            events.append(Event("end", trial, units[trial], None, data))
        else:
            events.append(Event("confirm", data={"trial": trial, "units": units[trial]}))
    return events


def shifted(events, by):
    """Make the events be about trials whose numbers are larger."""
    return [
        event if event.kind == "confirm"
        else new(event.trial + by) if event.kind == "trial"
        else event._replace(trial=event.trial + by)
        for event in events
    ]  # fmt: skip


@given(journals(), st.integers(0, 40))
def test_folding_a_prefix_and_then_the_rest_is_folding_all(journal, cut):
    history = History.from_events(journal[:cut])
    history.best()
    for event in journal[cut:]:
        history.apply(event)
    whole = History.from_events(journal)
    assert history == whole
    assert history.best() == whole.best()
    assert history.seq == len(journal)


@settings(max_examples=60, deadline=None)
@given(journals(), journals())
def test_folding_by_columns_is_folding_event_by_event(journal, more):
    with tempfile.TemporaryDirectory() as folder, Store.open(f"{folder}/s.db") as store:
        study = store.create("any", {})
        store.append(study.id, 1, journal)
        loaded = History.load(store, study.id)
        assert loaded == History.from_events(store.journal(study.id))
        assert loaded == History.from_events(journal)
        # What was loaded goes on like what was folded, and the database counts the same.
        more = shifted(more[1:], len(loaded.trials))
        for event in more:
            loaded.apply(event)
        assert loaded == History.from_events(journal + more)
        store.append(study.id, len(journal) + 1, more)
        summary, best = store.summary(study.id), loaded.best()
        assert summary.best_trial == (None if best is None else best.id)
        assert summary.best_loss == (None if best is None else best.loss)
        assert summary.units == loaded.units == sum(trial.units for trial in loaded.trials)
        assert (summary.trials, summary.reports) == (len(loaded.trials), len(loaded.reports))


@given(journals())
def test_trials_agree_with_a_slow_reading_of_the_journal(journal):
    history = History.from_events(journal)
    for trial in history.trials:
        own = [e for e in journal if e.kind == "report" and e.trial == trial.id]
        finite = [e.loss for e in own if e.loss is not None]
        assert trial.units == (own[-1].units if own else 0)
        assert trial.loss == (own[-1].loss if own else None)
        assert trial.best_loss == (min(finite) if finite else None)
        units, losses = history.curve(trial.id)
        assert units.tolist() == [e.units for e in own]
        np.testing.assert_array_equal(losses, [np.nan if e.loss is None else e.loss for e in own])


def test_status_follows_the_jobs():
    history = History()
    told = []
    for event in [
        new(0, lr=0.1),
        Event("start", 0, 9),
        report(0, 3, 0.5),
        report(0, 9, 0.25, {"accuracy": 0.9}),
        Event("start", 0, 27),
        report(0, 12, math.inf),
        Event("start", 0, 27),
        Event("end", 0, 12, None, {"status": "failed", "message": "killed"}),
    ]:
        history.apply(event)
        told.append(history.trials[0].status)
    assert told == [
        "paused", "running", "running", "paused", "running", "diverged", "running", "failed",
    ]  # fmt: skip
    assert history.trials[0].message == "killed"
    assert history.units == 12


def fold(*reports, repeats=()):
    """Make trials 0, 1, ... and give each its reports as (units, loss) pairs."""
    events = []
    for trial, curve in enumerate(reports):
        events.append(new(trial, dict(repeats).get(trial)))
        events += itertools.starmap(lambda units, loss, t=trial: report(t, units, loss), curve)
    return History.from_events(events)


@pytest.mark.parametrize(
    ("curves", "best"),
    [
        ([], None),
        ([[]], None),
        ([[(1, math.nan)]], None),
        ([[(1, 0.1)], [(9, 0.3)]], 1),  # a lucky short one does not win
        ([[(3, 0.1)], [(9, 0.3)]], 0),  # a third of the deepest is deep enough
        ([[(3, 0.3)], [(9, 0.3)]], 1),  # a tie goes to more units
        ([[(9, 0.3)], [(9, 0.3)]], 0),  # then to the earlier
        ([[(3, 0.1), (9, 0.5)], [(9, 0.3)]], 1),  # the last loss counts, not the lowest ever
        ([[(1, 0.1)], [(81, math.nan)]], 0),  # a diverged one does not raise the bar
        ([[(3, 0.1), (9, math.inf)], [(1, 0.3)]], 1),
    ],
)
def test_the_best_is_the_one_to_trust(curves, best):
    found = fold(*curves).best()
    assert (None if found is None else found.id) == best


def test_a_failed_trial_is_the_best_only_when_there_is_no_other():
    history = fold([(9, 0.1)], [(9, 0.2)])
    failed = {"status": "failed", "message": ""}
    history.apply(Event("end", 0, 9, 0.1, failed))
    assert history.best().id == 1
    history.apply(Event("end", 1, 9, 0.2, failed))
    assert history.best().id == 0


def test_uncertainty_comes_from_repeats_that_got_as_far():
    curves = [[(9, 0.1)], [(3, 0.0), (9, 0.3), (27, 0.2)], [(9, 0.5)], [(3, 0.0)], [(9, math.nan)]]
    history = fold(*curves, [(9, 0.0)], repeats={1: 0, 2: 0, 3: 0, 4: 0}.items())
    assert [trial.id for trial in history.repeats_of(0)] == [1, 2, 3, 4]
    assert history.best().id == 5
    mean, error, count, units = history.uncertainty(0)
    assert (count, units) == (2, 9)
    assert mean == pytest.approx(statistics.mean([0.3, 0.5]))
    assert error == pytest.approx(statistics.stdev([0.3, 0.5]) / math.sqrt(2))
    assert history.uncertainty(5) is None


def test_repeats_that_stopped_early_are_compared_where_two_of_them_are():
    curves = [[(3, 0.4), (9, 0.1)], [(3, 0.3), (9, 0.2)], [(3, 0.5)], [(1, 0.9)]]
    history = fold(*curves, repeats={1: 0, 2: 0, 3: 0}.items())
    mean, _, count, units = history.uncertainty(0)
    assert (count, units) == (2, 3)
    assert mean == pytest.approx(statistics.mean([0.3, 0.5]))


def test_repeats_do_not_compete():
    history = fold([(9, 0.2)], [(9, 0.1)], repeats=[(1, 0)])
    assert history.best().id == 0
    assert history.repeats == {1}


def test_a_damaged_journal_is_named():
    with pytest.raises(StudyError, match="never made"):
        History.from_events([report(0, 3, 0.1)])
    with pytest.raises(StudyError, match="trial 2 is made when 0 exist"):
        History.from_events([new(2)])
