"""`parafree.minimize`: find where a function that can only be asked for values is smallest."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from parafree.core.errors import StudyError
from parafree.core.space import Space
from parafree.study import _spec
from parafree.study._evaluation import Evaluation
from parafree.study._goals import Goals
from parafree.study._jax_setup import use_compilation_cache
from parafree.study._minimizer import Minimizer
from parafree.study._threads import one_thread
from parafree.study.budget import Budget, Stopwatch, require_end, seconds
from parafree.study.events import plain
from parafree.study.minimum import Minimum, of_compiled, of_search
from parafree.study.store import Store
from parafree.study.study import Study
from parafree.study.trainables import StopImport, in_worker, space_of
from parafree.study.tune import describe, run_study
from parafree.tune.random_search import RandomSearch

COMPILED = "compiled"  # the kind of a study that ran on the device
_SHARE = 2  # candidates in a batch for each worker, at least


def minimize(
    f: Any,
    space: Space | None = None,
    *,
    time: str | float | None = None,
    evaluations: int | None = None,
    target: float | None = None,
    name: str | None = None,
    store: str | os.PathLike[str] | None = None,
    first: Sequence[Mapping[str, Any]] | None = None,
    seed: int | None = None,
    workers: int | None = None,
    timeout: float | None = None,
    compiled: bool | None = None,
    objectives: Sequence[str] | None = None,
    constraints: Mapping[str, float] | Sequence[str] | None = None,
    progress: bool | Callable[..., Any] = True,
) -> Minimum:
    """Find the configuration at which a function is smallest, asking for nothing but values.

    There is no method to choose and no population or step size to set. Called again with the same
    name and store, it goes on where it stopped, after a crash too.

    Args:
        f: ``f(config)`` returns a number, or a mapping with ``loss`` and further numbers to be
            kept; or a program, as ``Command.parse`` makes it. It runs in worker processes. Where
            it raises, or returns NaN or infinity, the point counts as worse than any other.
        space: what may vary; by default ``space`` beside the function.
        time: wall-clock of this call, in seconds or as ``"10m"``.
        evaluations: calls of ``f`` in the whole study.
        target: stop at the first value at most this large.
        name: the study's name; the function's by default.
        store: path or URL of the database; ``parafree.db`` in this folder by default.
        first: configurations to try first; the search begins around the first of them.
        seed: of everything random in the study; 0 by default.
        workers: processes that evaluate; the number of cores by default.
        timeout: seconds after which an evaluation counts as hung, and as failed.
        compiled: whether ``f`` is written in JAX and runs compiled on the device, in whole batches;
            its options then arrive as numbers, as in a JAX trainable. Found out by default.
        objectives: names of the figures to be made small, where ``f`` returns a mapping; with
            several of them ``found.front`` holds what cannot be improved in all of them at once.
        constraints: limits of figures that ``f`` returns beside its loss, which only an evaluation
            shows: ``{"latency": 0.1}`` for at most 0.1; or names (at most 0) and texts such as
            ``["weight", "latency <= 0.1", "speed >= 3"]``. No point that breaks one is
            recommended as long as any other is known.
        progress: whether to show progress.

    Returns:
        A study that also says what the search did: ``found.best``, ``found.evaluations``,
        ``found.explain()``.

    Raises:
        SpaceError: the space is impossible.
        TrainableError: the function cannot be sent to a worker process.
        StudyError: no budget is given, the study is in use, or differs from what is asked.
        StoreError: the database cannot be used.

    Example:
        >>> import tempfile
        >>> import parafree
        >>> from parafree import Real, Space
        >>> found = parafree.minimize(
        ...     lambda config: (config["x"] - 0.3) ** 2, Space(x=Real(0, 1)), evaluations=60,
        ...     workers=1, store=tempfile.mkdtemp() + "/studies.db", progress=False)
        >>> abs(found.best.hparams["x"] - 0.3) < 0.01
        True
    """
    if in_worker():
        raise StopImport
    clock = Stopwatch()
    space = space if space is not None else space_of(f)
    if isinstance(space, Space) and not space.dimension:
        raise StudyError(
            "there is nothing to search: nothing in the space varies",
            where="space",
            fix="give at least one parameter a range, for example x=Real(0, 1)",
        )
    name = _spec.name_of(f) if name is None else name
    known = _known(store, name)
    goals = _goals(known, objectives, constraints, target)
    if compiled is None:
        free = first is None and workers is None and timeout is None and not goals.several
        compiled = known.get("kind") == COMPILED if known else free and _in_jax(f, space)
    use_compilation_cache()
    if compiled:
        budget = Budget(None if time is None else seconds(time), evaluations, None, target)
        return _on_device(f, space, goals, budget, name, store, seed, quiet=not progress)
    scheduler = RandomSearch(max_units=1)
    sampler = _sampler(known, workers, space, first, goals)
    named = goals.objectives[0] if goals.objectives != ("loss",) else None
    with one_thread():
        study = run_study(
            Evaluation(f, timeout, goals),
            describe(f, "function", space, named, None, seed, scheduler, sampler) | goals.to_spec(),
            Budget(None if time is None else seconds(time), None, evaluations, target),
            store=Store.open(store),
            name=name,
            first=None,
            scheduler=scheduler,
            sampler=sampler,
            clock=clock,
            quiet=not progress,
            repeats=0,
            workers=workers,
        )
    return of_search(study, study._fold._sampling, goals)


def _known(store: Any, name: str) -> Mapping[str, Any]:
    """Return what a study of that name was created with; nothing where there is none."""
    with Store.open(store) as opened:
        return opened.find(name).spec if name in opened else {}


def _goals(
    known: Mapping[str, Any],
    objectives: Sequence[str] | None,
    constraints: Mapping[str, float] | Sequence[str] | None,
    target: float | None,
) -> Goals:
    """Return what the figures are for: as this call says, and else as the study has it."""
    before = Goals.from_spec(known)
    given = Goals.of(objectives, constraints)
    goals = Goals(
        before.objectives if objectives is None else given.objectives,
        before.limits if constraints is None else given.limits,
    )
    if goals.several and target is not None:
        raise StudyError(
            "a target is one number, and there are several objectives",
            where="target",
            fix="give a limit to each instead, with constraints, or leave target out",
        )
    return goals


def _sampler(
    known: Mapping[str, Any],
    workers: int | None,
    space: Any,
    first: Sequence[Mapping[str, Any]] | None,
    goals: Goals,
) -> Minimizer:
    """Return the sampler that a study has, or a new one's."""
    settings: dict[str, Any] = {"batch": _SHARE * (workers or os.cpu_count() or 1)}
    described = known.get("sampler", {})
    if described.get("name") == Minimizer.__name__:
        settings = dict(described["settings"])
    if first is not None and isinstance(space, Space):
        settings["first"] = [plain(space.check(config)) for config in first]
    return Minimizer(**settings, goals=goals)


def _in_jax(f: Any, space: Any) -> bool:
    from parafree.study._traceable import written_in_jax

    return isinstance(space, Space) and written_in_jax(f, space)


def _on_device(
    f: Any,
    space: Any,
    goals: Goals,
    budget: Budget,
    name: str,
    store: Any,
    seed: int | None,
    *,
    quiet: bool,
) -> Minimum:
    """Run a function compiled."""
    from parafree.study._compiled_session import describe, run_compiled

    if goals.several:
        raise StudyError(
            "several objectives are not searched on the device",
            where="compiled",
            fix="leave compiled out: the function then runs in worker processes",
        )
    given = describe(f, space, goals, seed)
    require_end(budget)
    opened = Store.open(store)
    search = run_compiled(f, given, goals, budget, store=opened, name=name, quiet=quiet)
    return of_compiled(Study(opened, name), search, goals)
