"""`parafree.tune`: find the values of a program's parameters."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from parafree.core.contracts import Sampler, Scheduler
from parafree.core.errors import StudyError
from parafree.core.space import Space
from parafree.study import _spec
from parafree.study._driver import Driver, Journal
from parafree.study._executor import Executor, Usage
from parafree.study._fold import Fold
from parafree.study._goals import Goals
from parafree.study._records import find_or_create, versions
from parafree.study.budget import Budget, Interrupt, Stopwatch, require_end, seconds
from parafree.study.events import Event
from parafree.study.history import Trial
from parafree.study.progress import Progress
from parafree.study.store import Store, StudyRecord
from parafree.study.study import Study
from parafree.study.trainables import StopImport, in_worker, instance_of, kind_of, space_of


def tune(
    trainable: Any,
    *,
    space: Space | None = None,
    time: str | float | None = None,
    units: int | None = None,
    trials: int | None = None,
    target: float | None = None,
    name: str | None = None,
    store: str | os.PathLike[str] | None = None,
    objective: str | None = None,
    maximize: bool | None = None,
    scheduler: Scheduler[Any] | None = None,
    sampler: Sampler[Any] | None = None,
    first: Sequence[Mapping[str, Any]] | None = None,
    seed: int | None = None,
    repeats: int = 4,
    lanes: int | None = None,
    chunk: int | None = None,
    workers: int | None = None,
    memory: int | None = None,
    progress: bool | Callable[..., Any] = True,
) -> Study:
    """Search for the hyperparameters that make a trainable's loss small.

    Called again with the same name and store, it goes on where it stopped, after a crash too.

    Args:
        trainable: a JAX trainable, a function of ``trial``, or a command.
        space: what may vary; by default the trainable's own, or ``space`` beside the function.
        time: wall-clock of this call, in seconds or as ``"10m"``; compiling is included.
        units: units of resource of the whole study.
        trials: number of trials of the whole study.
        target: stop at the first report at least this good, in the objective's own sign.
        name: the study's name; the trainable's by default.
        store: path or URL of the database; ``parafree.db`` in this folder by default.
        objective: the metric to search for; ``"loss"`` by default.
        maximize: whether larger is better.
        scheduler: which trial gets the next units; :class:`parafree.tune.Deepening` by default,
            which needs no maximum budget.
        sampler: which configuration comes next; scrambled Sobol points by default.
        first: configurations to try first, for example the ones that served so far.
        seed: of everything random in the study; 0 by default.
        repeats: fresh-seed runs of the winner at the end, for an honest loss; 0 for none.
        lanes: trials that a JAX trainable runs at once; measured by default.
        chunk: units of a JAX trainable between reports; measured by default.
        workers: processes for functions and commands; the number of cores by default.
        memory: bytes for the states of paused trials on each device.
        progress: whether to show progress.

    Returns:
        The study: ``study.best``, ``study.trials``, ``study.to_dataframe()``, ``study.report()``.

    Raises:
        SpaceError: the space is impossible.
        TrainableError: the trainable does not keep its contract.
        StudyError: no budget is given, the study is in use, or differs from what is asked.
        StoreError: the database cannot be used.

    Example:
        >>> import tempfile
        >>> import parafree
        >>> from parafree import Real, Space
        >>> def train(trial):
        ...     while True:
        ...         trial.report(loss=(trial.hparams["x"] - 0.3) ** 2)
        >>> study = parafree.tune(
        ...     train, space=Space(x=Real(0, 1)), trials=30, workers=1,
        ...     store=tempfile.mkdtemp() + "/studies.db", progress=False)
        >>> abs(study.best.hparams["x"] - 0.3) < 0.1
        True
    """
    if in_worker():
        raise StopImport
    clock = Stopwatch()
    trainable = instance_of(trainable)
    budget = Budget(None if time is None else seconds(time), units, trials, target)
    kind = kind_of(trainable)
    given = describe(trainable, kind, space, objective, maximize, seed, scheduler, sampler)
    return run_study(
        trainable,
        given,
        budget,
        store=Store.open(store),
        name=_spec.name_of(trainable) if name is None else name,
        first=first,
        scheduler=scheduler,
        sampler=sampler,
        clock=clock,
        quiet=not progress,
        repeats=repeats,
        lanes=lanes,
        chunk=chunk,
        workers=workers,
        memory=memory,
    )


def run_study(
    trainable: Any,
    given: dict[str, Any],
    budget: Budget,
    *,
    store: Store,
    name: str,
    first: Sequence[Mapping[str, Any]] | None,
    scheduler: Scheduler[Any] | None,
    sampler: Sampler[Any] | None,
    clock: Stopwatch,
    quiet: bool,
    repeats: int,
    **fixed: Any,
) -> Study:
    """Run a study until its budget is spent: what `tune` and `minimize` have in common.

    Args:
        trainable: what is run.
        given: what the call says about the study.
        budget: when to stop.
        store: an open store.
        name: the study's name.
        first: configurations to try first.
        scheduler: ``None`` for the study's own.
        sampler: ``None`` for the study's own.
        clock: runs since the call began.
        quiet: whether to show nothing.
        repeats: fresh-seed runs of the winner at the end.
        **fixed: what is measured otherwise: lanes, chunk, workers, memory.

    Returns:
        The study, with the fold of its journal.
    """
    if name not in store:
        _require_end(budget, scheduler)
    record = find_or_create(store, name, given, first)
    with store.lock(record.id), Interrupt() as interrupt:
        session = _Session(store, record, trainable, scheduler, sampler, clock)
        with Progress(
            record.name,
            budget,
            quiet=quiet,
            objective=record.spec["objective"],
            maximize=record.spec["maximize"],
        ) as shown:
            session.run(budget, interrupt, shown, repeats=repeats, **fixed)
    study = Study(store, record.name)
    study._history, study._fold = session.fold.history, session.fold
    study._executor = session.state_of if given["kind"] == "jax" else None
    return study


def _require_end(budget: Budget, scheduler: Scheduler[Any] | None) -> None:
    if not (scheduler is not None and scheduler.finite):
        require_end(budget)


def describe(
    trainable: Any,
    kind: str,
    space: Space | None,
    objective: str | None,
    maximize: bool | None,
    seed: int | None,
    scheduler: Any,
    sampler: Any,
) -> dict[str, Any]:
    """Return what this call says about the study; what it leaves open is absent."""
    space = space or space_of(trainable)
    given: dict[str, Any] = {"kind": kind, "trainable": _spec.name_of(trainable)}
    if space is not None:
        if not isinstance(space, Space):
            raise StudyError(f"space is a {type(space).__name__}, not a parafree.Space")
        given["space"] = space.to_dict()
    open_or = {
        "objective": objective,
        "maximize": maximize,
        "seed": seed,
        "scheduler": scheduler and _spec.describe(scheduler),
        "sampler": sampler and _spec.describe(sampler),
    }
    return given | {key: value for key, value in open_or.items() if value is not None}


class _Session:
    """One call of ``tune``: rebuilds the study's state, runs the loop, writes down the cost."""

    def __init__(
        self,
        store: Store,
        record: StudyRecord,
        trainable: Any,
        scheduler: Scheduler[Any] | None,
        sampler: Sampler[Any] | None,
        clock: Stopwatch,
    ) -> None:
        self._store, self._record, self._trainable, self._clock = store, record, trainable, clock
        self._space = Space.from_dict(record.spec["space"])
        self._scheduler = scheduler or _spec.rebuild(record.spec["scheduler"])
        self._sampler = sampler or _spec.rebuild(record.spec["sampler"])
        self.fold: Fold
        self._plan: dict[str, Any] = {}

    def run(
        self, budget: Budget, interrupt: Interrupt, shown: Progress, *, repeats: int, **fixed: Any
    ) -> None:
        """Run until the budget is spent."""
        _require_end(budget, self._scheduler)
        spec, events = self._record.spec, list(self._store.journal(self._record.id))
        if events:
            self._plan = dict(events[0].data or {})
            _check_fixed(self._plan, fixed)
        session = self._store.begin_session(self._record.id, versions())
        reason, executor, loop_s = "failed", None, 0.0
        try:
            executor = self._make_executor(shown.announce, **fixed)
            self._plan = self._plan or executor.plan
            scheduler = self._scheduler
            if scheduler.min_units is None:
                scheduler = replace(scheduler, min_units=self._plan.get("chunk", 1))  # type: ignore[type-var]
            self.fold = Fold(
                scheduler,
                self._sampler,
                self._space,
                spec["seed"],
                spec.get("first", []),
                Goals.from_spec(spec),
            )
            self.fold.replay(events)
            executor.recall(self.fold.history)
            journal = Journal(self._store, self._record.id, session, self.fold, len(events) + 1)
            if not events:
                journal.write(Event("plan", data=self._plan))
            driver = Driver(
                self.fold,
                executor,
                journal,
                budget,
                repeats=repeats,
                session=session,
                clock=self._clock,
                progress=shown,
                interrupt=interrupt,
                sign=-1.0 if spec["maximize"] else 1.0,
            )
            begin = self._clock()
            compiled = executor.usage().compile_s
            try:
                reason = driver.run()
            finally:
                loop_s = self._clock() - begin - (executor.usage().compile_s - compiled)
            shown.announce("saving states")
            executor.save()
        except KeyboardInterrupt:
            reason = "interrupted"
            raise
        finally:
            used = executor.usage() if executor else Usage(0.0, 0.0, 0.0)
            overhead = max(0.0, loop_s - used.work_s)
            self._store.end_session(session, reason, used.compile_s, used.busy, overhead)
            if executor is not None:
                executor.close()

    def state_of(self, trial: Trial) -> Any:
        """Compute a JAX trial's state again, from its file or from nothing."""
        executor: Any = self._make_executor(lambda text: None)
        seed = self.fold.trial_seed(trial.id)
        try:
            return executor.state(trial.id, trial.hparams, seed, trial.units)
        finally:
            executor.close()

    def _make_executor(self, announce: Callable[[str], None], **fixed: Any) -> Executor:
        spec, folder = self._record.spec, self._store.folder(self._record.name)
        if spec["kind"] != "jax":
            from parafree.study.workers import WorkerExecutor

            return WorkerExecutor(
                self._trainable,
                folder,
                fixed.get("workers") or self._plan.get("workers"),
                objective=spec["objective"],
                maximize=spec["maximize"],
            )
        from parafree.study._jax_setup import use_all_cores, use_compilation_cache
        from parafree.study._plan import Plan
        from parafree.study.lanes import Lanes

        use_all_cores()
        use_compilation_cache()
        plan = {key: value for key, value in self._plan.items() if key != "executor"}
        return Lanes(
            self._trainable,
            self._space,
            folder / "states",
            objective=spec["objective"],
            maximize=spec["maximize"],
            plan=Plan(**plan) if plan else None,
            lanes=fixed.get("lanes"),
            chunk=fixed.get("chunk"),
            multiple=self._scheduler.min_units,
            memory=fixed.get("memory"),
            announce=announce,
        )


def _check_fixed(plan: dict[str, Any], fixed: dict[str, Any]) -> None:
    for key in ("lanes", "chunk"):
        planned = plan.get(key, 0) * (plan.get("devices", 1) if key == "lanes" else 1)
        if fixed.get(key) is not None and planned and fixed[key] != planned:
            raise StudyError(
                f"the study was planned with {key}={planned}, not {fixed[key]}",
                where=key,
                fix="leave it out: the plan is part of the study",
            )
