"""One call of ``minimize`` for a function that runs compiled: the loop, and what it writes down."""

from __future__ import annotations

import math
from typing import Any

from parafree.core.space import Space
from parafree.study import _spec
from parafree.study._compiled import Compiled
from parafree.study._compiled_limits import with_loss
from parafree.study._driver import Journal
from parafree.study._goals import Goals
from parafree.study._jax_setup import use_compilation_cache
from parafree.study._records import find_or_create, versions
from parafree.study._traceable import require_traceable
from parafree.study.budget import Budget, Interrupt, Stopwatch
from parafree.study.events import Event, report
from parafree.study.history import History
from parafree.study.progress import Best, Progress
from parafree.study.store import Store, StudyRecord

_FILE = "search.safetensors"
_SAVE_S = 10.0  # the state is saved this often
_NUMBERS = 20_000  # in the journal make the time between two of its trials a second longer


def describe(f: Any, space: Any, goals: Goals, seed: int | None) -> dict[str, Any]:
    """Return what a call says about a study that runs compiled.

    Raises:
        TrainableError: the function cannot be traced, or gives no figure that has a limit.
    """
    given: dict[str, Any] = {
        "kind": "compiled",
        "trainable": _spec.name_of(f),
        "scheduler": {"name": "RandomSearch", "settings": {"max_units": 1}},
        "sampler": {"name": "Auto", "settings": {}},
    }
    if isinstance(space, Space):
        require_traceable(with_loss(f, goals), space)
        given["space"] = space.to_dict()
    given |= goals.to_spec()
    return given if seed is None else given | {"seed": seed}


def run_compiled(
    f: Any,
    given: dict[str, Any],
    goals: Goals,
    budget: Budget,
    *,
    store: Store,
    name: str,
    quiet: bool,
) -> Compiled:
    """Minimise on the device until the budget is spent.

    Args:
        f: the function.
        given: what the call says about the study.
        goals: what the function's figures are for.
        budget: its ``units`` are evaluations.
        store: an open store.
        name: the study's name.
        quiet: whether to show nothing.

    Returns:
        The search as it was left.
    """
    clock = Stopwatch()
    use_compilation_cache()
    record = find_or_create(store, name, given, None)
    progress = Progress(name, budget, quiet=quiet)
    with store.lock(record.id), Interrupt() as interrupt, progress as shown:
        return _run(f, goals, store, record, budget, interrupt, shown, clock)


def _run(
    f: Any,
    goals: Goals,
    store: Store,
    record: StudyRecord,
    budget: Budget,
    interrupt: Interrupt,
    shown: Progress,
    clock: Stopwatch,
) -> Compiled:
    events = list(store.journal(record.id))
    history = History.from_events(events, goals)
    session = store.begin_session(record.id, versions())
    reason, search, begin = "failed", None, 0.0
    try:
        shown.announce("compiling")
        file = store.folder(record.name) / "states" / _FILE
        space = Space.from_dict(record.spec["space"])
        search = Compiled(f, space, record.spec["seed"], file, goals)
        shown.announce("")
        journal = Journal(store, record.id, session, history, len(events) + 1)
        if not events:
            journal.write(Event("plan", data={"executor": "compiled", "batch": search.size}))
        search.catch_up(history.units)
        begin = saved = written = clock()
        goal = -math.inf if budget.target is None else budget.target
        while (found := _reason(search, budget, interrupt, clock)) is None:
            search.advance(_most(search, budget), goal)
            if clock() - written >= len(history.trials) * space.dimension / _NUMBERS:
                _write(journal, history, search, clock())
                written = clock()
                if written - saved > _SAVE_S:
                    search.save()
                    saved = clock()
            _show(shown, search, history)
        reason = found
        _write(journal, history, search, clock())
        search.save()
    except KeyboardInterrupt:
        reason = "interrupted"
        raise
    finally:
        compile_s, work_s = (search.compile_s, search.work_s) if search else (0.0, 0.0)
        overhead = max(0.0, clock() - begin - work_s) if begin else 0.0
        store.end_session(session, reason, compile_s, 1.0, overhead)
    return search


def _reason(search: Compiled, budget: Budget, interrupt: Interrupt, clock: Stopwatch) -> str | None:
    if interrupt.reason is not None:
        return interrupt.reason
    if budget.target is not None and search.value <= budget.target:
        return "target"
    if budget.seconds is not None and clock() >= budget.seconds:
        return "time"
    if budget.units is not None and search.evaluations >= budget.units:
        return "evaluations"
    return None


def _most(search: Compiled, budget: Budget) -> int:
    """Return how many batches there may be in all; the last one is made whole."""
    most = 2**31 - 1
    return most if budget.units is None else min(most, -(-budget.units // search.size))


def _write(journal: Journal, history: History, search: Compiled, now: float) -> None:
    """Write down what was done since the last time: a trial with the best configuration so far."""
    trial, evaluations = len(history.trials), search.evaluations - history.units
    if not evaluations:
        return
    data = {"restarts": search.restarts, "population": search.population, **search.figures()}
    journal.write(Event("trial", trial, data={"hparams": search.config()}))
    journal.write(Event("start", trial, evaluations))
    journal.write(report(trial, evaluations, search.value, data))
    journal.flush(now, force=True)


def _show(shown: Progress, search: Compiled, history: History) -> None:
    last = history.trials[-1]
    best = None if last.loss is None else Best(last.loss, last.id, last.units, last.hparams)
    shown.update(units=search.evaluations, trials=len(history.trials), best=best)
