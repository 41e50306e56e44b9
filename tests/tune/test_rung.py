"""The heaps against a list that is sorted anew at every question."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from parafree.tune._rung import Rung

LOSSES = st.one_of(
    st.integers(0, 5).map(float),  # many ties
    st.floats(allow_nan=True, allow_infinity=True),
)


def promotable_in_a_list(losses: list[float], promoted: set[int], eta: int) -> int | None:
    finite = sorted((loss, trial) for trial, loss in enumerate(losses) if math.isfinite(loss))
    best = [trial for _, trial in finite[: len(losses) // eta]]
    return next((trial for trial in best if trial not in promoted), None)


@given(
    eta=st.integers(2, 5),
    steps=st.lists(st.tuples(LOSSES, st.integers(0, 3)), max_size=80),
)
def test_promotes_whom_a_sorted_list_promotes(eta: int, steps: list[tuple[float, int]]) -> None:
    rung, losses, promoted = Rung(), [], set()
    for trial, (loss, promotions) in enumerate(steps):
        before = rung.promotable()
        rung.add(trial, loss, eta)
        losses.append(loss)
        assert rung.promotable() or not before  # a new entry never takes a promotion away
        for _ in range(promotions):
            expected = promotable_in_a_list(losses, promoted, eta)
            assert rung.promotable() == (expected is not None)
            if expected is None:
                break
            assert rung.promote() == expected
            promoted.add(expected)


def test_a_diverged_trial_counts_but_is_never_promoted() -> None:
    rung = Rung()
    for trial, loss in enumerate([math.nan, math.inf, 1.0]):
        rung.add(trial, loss, 3)
    assert rung.promotable()
    assert rung.promote() == 2
    for trial in range(3, 12):
        rung.add(trial, math.nan, 3)
    assert not rung.promotable()
