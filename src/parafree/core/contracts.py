"""The contracts: the few shapes that every method takes.

This list is closed. A new contract needs a paragraph in ``docs/architecture.md`` that says why
none of these fits. Gradient transforms use optax's own contract and modules use equinox's, so
neither is declared again here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol, TypeVar, runtime_checkable

Hparams = Mapping[str, Any]
"""One point of a search space in the user's own values: ``{"lr": 0.1, "act": "relu"}``."""

S = TypeVar("S")


class Job(NamedTuple):
    """A scheduler's decision: train ``trial`` until it has had ``units`` units in all.

    A trial whose number equals the number of trials asked for so far is a new one.
    """

    trial: int
    units: int


@runtime_checkable
class Scheduler(Protocol[S]):
    """Decides which trial gets the next units of resource.

    Plain Python on the host; knows nothing of storage, processes or configurations. ``ask`` and
    ``tell`` change ``state`` in place, and both are deterministic, so a state is a fold over the
    journal: replaying the same asks and tells in the same order rebuilds it exactly.
    Decisions take amortised O(log n) time in the number of trials.
    """

    @property
    def min_units(self) -> int | None:
        """Units before the first comparison; every job's units are a multiple of it.

        ``None`` means: the driver measures what is cheap and replaces the field before ``init``.
        """
        ...

    @property
    def finite(self) -> bool:
        """Whether it comes to an end by itself; one that does not needs a budget."""
        ...

    def init(self) -> S:
        """Return the state in which nothing has been asked yet."""
        ...

    def ask(self, state: S, new: bool = True) -> Job | None:
        """Return the next job, or ``None`` when nothing can start before a running job ends.

        With ``new=False`` no new trial may start: the answer is the first job of a known trial
        in the same order of preference, or ``None`` (and then nothing has changed).
        """
        ...

    def tell(self, state: S, job: Job, loss: float) -> None:
        """Take in that ``job`` has ended with ``loss`` (smaller is better).

        A loss that is NaN or infinite means that the trial diverged or failed; it is never
        promoted.
        """
        ...

    def done(self, state: S) -> bool:
        """Whether ``ask`` will never return a job again, whatever is told."""
        ...


@runtime_checkable
class Sampler(Protocol[S]):
    """Decides which configuration a new trial gets.

    Like a scheduler it lives on the host and its state is a fold over the journal. One that learns
    from what it is told has ``learns = True``: ``tell`` gets the mapping of all the trial's figures
    as well, and ``adopt(state, trial, config)`` takes in what an earlier version chose.
    """

    def init(self, space: Any, seed: int) -> S:
        """Return the state for a :class:`parafree.Space` and a seed."""
        ...

    def ask(self, state: S, trial: int) -> dict[str, Any]:
        """Return the configuration of trial number ``trial``; trials are asked for in order."""
        ...

    def tell(self, state: S, trial: int, units: int, loss: float) -> None:
        """Take in that ``trial`` had ``loss`` after ``units``; model-free samplers ignore it."""
        ...


Objective = Callable[[Any], Any]
"""``objective(p) -> scalar``: pure, and traceable by JAX wherever the method needs it to be."""


@runtime_checkable
class Search(Protocol[S]):
    """Puts its own questions to the objective. Pure functions on pytrees, ready for ``jit``."""

    def init(self, key: Any, p: Any, objective: Objective) -> S:
        """Return the state of a search that starts at ``p``."""
        ...

    def step(self, key: Any, state: S, objective: Objective) -> tuple[S, Any]:
        """Take one step; return the new state and an info record."""
        ...

    def best(self, state: S) -> Any:
        """Return the best parameters known to ``state``."""
        ...


@runtime_checkable
class AskTell(Protocol[S]):
    """Black box, in batches: proposes candidates and takes in their values."""

    def init(self, key: Any, p: Any) -> S:
        """Return the state of a search around ``p`` (a pytree, or a space)."""
        ...

    def ask(self, key: Any, state: S) -> tuple[Any, S]:
        """Return a batch of candidates (a leading axis on every leaf) and the new state."""
        ...

    def tell(self, key: Any, state: S, candidates: Any, values: Any) -> tuple[S, Any]:
        """Take in the candidates' values; return the new state and an info record."""
        ...

    def best(self, state: S) -> Any:
        """Return the best parameters known to ``state``."""
        ...


@runtime_checkable
class Estimator(Protocol):
    """Answers a question about ``f`` at ``p``."""

    def estimate(self, key: Any, f: Callable[..., Any], p: Any, a: Any) -> tuple[Any, Any]:
        """Return the value and an info record."""
        ...


@runtime_checkable
class Surgery(Protocol):
    """Changes a trained model without retraining it."""

    def apply(self, key: Any, model: Any, data: Any) -> tuple[Any, Any]:
        """Return the changed model and an info record."""
        ...
