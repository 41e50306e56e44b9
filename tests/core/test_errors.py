"""Errors say what, where and how to fix it; they survive pickling and are caught by kind."""

import pickle

import pytest

from parafree.core import errors

KINDS = [
    errors.SpaceError,
    errors.TrainableError,
    errors.StoreError,
    errors.StudyError,
    errors.MethodError,
]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_caught_as_one(kind):
    with pytest.raises(errors.ParafreeError, match="wrong"):
        raise kind("wrong")


def test_the_kinds_here_are_all_there_are():
    assert set(errors.ParafreeError.__subclasses__()) == set(KINDS)


@pytest.mark.parametrize("kind", [errors.SpaceError, errors.MethodError])
def test_a_wrong_setting_is_also_a_value_error(kind):
    assert issubclass(kind, ValueError)


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ({}, "bad"),
        ({"where": "here"}, "bad\n  where: here"),
        ({"fix": "mend it"}, "bad\n  fix: mend it"),
        ({"where": "here", "fix": "mend it"}, "bad\n  where: here\n  fix: mend it"),
    ],
)
def test_the_text_leaves_out_what_is_not_known(parts, text):
    assert str(errors.StudyError("bad", **parts)) == text


@pytest.mark.parametrize("kind", KINDS)
def test_it_comes_back_whole_from_another_process(kind):
    error = kind("bad", where="here", fix="mend it")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert (again.what, again.where, again.fix) == ("bad", "here", "mend it")
    assert str(again) == str(error)
