"""Evaluations with several figures that count: objectives, and limits.

The journal of such a study gets a loss only from a point that may be a result, so that whatever
reads losses never recommends another one. All figures stand beside it, and the search reads these.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from parafree.study._goals import Goals
from parafree.study._printed import Place, Program
from parafree.study._records import find_or_create
from parafree.study.budget import Budget, Interrupt, Stopwatch, require_end
from parafree.study.history import History
from parafree.study.progress import Progress
from parafree.study.store import Store
from parafree.study.study import Study
from parafree.study.trainables import Source
from parafree.study.tune import _given, _Session
from parafree.tune.random_search import RandomSearch


@dataclass(frozen=True)
class Judged:
    """A function of a configuration whose figures are read as goals want it.

    Args:
        source: how a worker process gets the function.
        goals: what its figures are for.
    """

    source: Source
    goals: Goals

    @cached_property
    def _f(self) -> Any:
        return self.source.load()

    def value(
        self, config: Mapping[str, Any], place: Place
    ) -> tuple[float | None, dict[str, float | None]]:
        """Return what the workbench takes for the loss, and all figures."""
        f = self._f
        return self.goals.read(f.run(config, place) if isinstance(f, Program) else f(dict(config)))


class _Told:
    """A sampler that is told an evaluation's figures beside its loss."""

    learns = True

    def __init__(self, sampler: Any, history: Callable[[], History]) -> None:
        self._sampler, self._history = sampler, history
        self.init, self.ask = sampler.init, sampler.ask

    def tell(self, state: Any, trial: int, units: int, loss: float) -> None:
        """Pass on the value of a trial's configuration, with its figures."""
        # Nothing is repeated in a minimisation, so the sampler's numbers are the study's.
        self._sampler.tell(state, trial, units, loss, self._history().trials[trial].metrics)


def describe(f: Any, space: Any, goals: Goals, sampler: Any, seed: int | None) -> dict[str, Any]:
    """Return what a call says about a study; what it leaves open is absent."""
    name = {"objective": goals.objectives[0]} if goals.objectives != ("loss",) else {}
    given = _given(f, "function", space, None, None, seed, RandomSearch(max_units=1), sampler)
    return given | name | goals.to_spec()


def run_judged(
    evaluation: Any,
    given: dict[str, Any],
    sampler: Any,
    budget: Budget,
    *,
    store: Store,
    name: str,
    workers: int | None,
    quiet: bool,
) -> Study:
    """Minimise in worker processes until the budget is spent.

    Args:
        evaluation: asks the function.
        given: what the call says about the study.
        sampler: a minimizer with the same goals.
        budget: its ``trials`` are evaluations.
        store: an open store.
        name: the study's name.
        workers: processes that evaluate.
        quiet: whether to show nothing.

    Returns:
        The study, with the fold of its journal.
    """
    clock = Stopwatch()
    if name not in store:
        require_end(budget)
    record = find_or_create(store, name, given, None)
    objective = record.spec["objective"]
    with store.lock(record.id), Interrupt() as interrupt:
        told = _Told(sampler, lambda: session.fold.history)
        session = _Session(store, record, evaluation, RandomSearch(max_units=1), told, clock)
        with Progress(name, budget, quiet=quiet, objective=objective) as shown:
            fixed = {"lanes": None, "chunk": None, "workers": workers, "memory": None}
            session.run(budget, interrupt, shown, repeats=0, **fixed)
    study = Study(store, name)
    study._history, study._fold = session.fold.history, session.fold
    return study
