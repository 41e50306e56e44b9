"""What the figures of a function are for: objectives and limits."""

import math

import pytest

from parafree.core.errors import StudyError, TrainableError
from parafree.study._findings import front, knee, nearest, volume
from parafree.study._goals import PLAIN, Goals, Limit
from parafree.study.history import Trial


def _trial(number, x=0, **figures):
    return Trial(number, {"x": x}, units=1, metrics=figures)


@pytest.mark.parametrize(
    ("text", "value", "excess"),
    [
        ("weight", 2.0, 2.0),
        ("weight <= 4", 5.0, 0.25),
        ("weight<=4e0", 3.0, -0.25),
        ("speed >= 4", 5.0, -0.25),
        ("heat >= -2", -3.0, 0.5),
    ],
)
def test_an_excess_is_a_share_of_the_limit(text, value, excess):
    limit = Limit.parse(text)
    assert limit.excess(value) == pytest.approx(excess)
    assert limit.value(excess) == pytest.approx(value)
    assert Limit.parse(str(limit)) == limit


@pytest.mark.parametrize(
    "text", ["", "a < 3", "a <= b", "a = 3", "a <= inf", "<= 3", "a <= 1 <= 2"]
)
def test_what_is_no_constraint_is_refused(text):
    with pytest.raises(StudyError, match="is no constraint"):
        Limit.parse(text)


def test_goals_are_kept_in_a_study_only_where_they_are_not_plain():
    assert PLAIN.to_spec() == {}
    goals = Goals.of(("a", "b"), {"c": 0.5})
    assert Goals.from_spec(goals.to_spec()) == goals
    assert Goals.of(constraints=["c <= 0.5"]) == Goals.of(constraints={"c": 0.5})
    assert Goals.of("cost") == Goals.of(["cost"])
    with pytest.raises(StudyError, match="not names that differ"):
        Goals.of(("a", "a"))


def test_only_a_point_that_keeps_all_limits_has_a_loss():
    goals = Goals.of(constraints=["c <= 1", "d >= 0"])
    assert goals.read({"loss": 3, "c": 1, "d": 0})[0] == 3.0
    assert goals.read({"loss": 3, "c": 1.1, "d": 0})[0] is None
    assert goals.read({"loss": math.nan, "c": 0, "d": 0})[0] is None
    loss, figures = goals.read({"loss": 3, "c": math.nan, "d": 0, "more": 7})
    assert loss is None
    assert figures == {"loss": 3.0, "c": None, "d": 0.0, "more": 7.0}
    assert goals.broken(figures) == ["c is not finite, not <= 1.0"]


@pytest.mark.parametrize("found", [3.0, {"loss": 1.0}, {"loss": 1.0, "c": "much"}])
def test_a_figure_that_is_missing_or_no_number_is_told(found):
    with pytest.raises(TrainableError, match=r"'c'|c="):
        Goals.of(constraints=["c"]).read(found)


def test_the_nearest_is_least_beyond_all_limits_together():
    goals = Goals.of(constraints=["c <= 10", "d <= 1"])
    trials = [
        _trial(0, loss=0.0, c=15.0, d=1.0),  # half of a limit
        _trial(1, loss=9.0, c=12.0, d=1.1),  # three tenths
        _trial(2, loss=1.0, c=10.0, d=None),
    ]
    assert nearest(trials, goals).id == 1
    assert nearest([], goals) is None


def test_a_front_holds_what_keeps_the_limits_and_cannot_be_improved():
    goals = Goals.of(("a", "b"), ["c"])
    trials = [
        _trial(0, 0, a=0.0, b=4.0, c=0.0),
        _trial(1, 1, a=1.0, b=1.0, c=-1.0),
        _trial(2, 2, a=4.0, b=0.0, c=0.0),
        _trial(3, 3, a=2.0, b=2.0, c=0.0),  # dominated
        _trial(4, 4, a=0.0, b=0.0, c=0.1),  # beyond the limit
        _trial(5, 5, a=None, b=0.0, c=0.0),
    ]
    found = front(trials, goals)
    assert [trial.id for trial in found] == [0, 1, 2]
    assert [trial.loss for trial in found] == [0.0, 1.0, 4.0]
    assert knee(found, goals).id == 1
    assert volume(found, goals, (5, 5)) == 1 * 1 + 3 * 4 + 1 * 5  # strips beside each other


def test_noise_is_averaged_and_luck_left_out():
    """Of a configuration that was asked again the first values count no more."""
    goals = Goals.of(("a", "b"))
    trials = [
        _trial(0, 0, a=0.0, b=0.0),
        _trial(1, 1, a=1.0, b=3.0),
        _trial(2, 0, a=2.0, b=2.0),
        _trial(3, 0, a=4.0, b=2.0),
    ]
    found = front(trials, goals)
    assert [(t.id, t.metrics) for t in found] == [(0, {"a": 3.0, "b": 2.0})]
