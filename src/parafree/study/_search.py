"""A black-box search that hands out candidates one by one: the state of :class:`Minimizer`.

A method asks for candidates in batches and wants all their values. Here a batch is handed out one
candidate at a time, to as many workers as there are, and values come back in any order. When
the whole batch is out and a worker is free, one more candidate is drawn from the same distribution:
the first values to arrive make the batch, and one that comes too late counts for the best alone. So
no worker waits for another one, and an evaluation that hangs holds up nothing but itself.

Whether there is noise is found by asking again: for the best point of the first batch, and now and
then for the best of all. Where there is none, no other configuration is evaluated twice. Where
there is, after every other ten values or so one asks again for a point that looks good, or for the
mean of the distribution. Populations grow where candidates differ no more than noise does, unless
values at the mean fall all the same. Where most values have no noise and a few have very much, a
model is told to leave those out.

Where figures have limits, the method is told values and how far figures are beyond their limits.

Everything is a function of the questions and answers in their order, so a replay of them rebuilds
it to the last bit.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from parafree.blackbox import Status
from parafree.blackbox.auto import Auto
from parafree.core.space import Space
from parafree.study._goals import PLAIN, Goals
from parafree.study._on_cube import OnCube
from parafree.study._values import Values, text_of

_DRAWS = 8  # batches drawn to find candidates that keep the constraints
_LOT = 10  # values, at least, between two turns of asking again, and of looking for noise
_MIDDLES = 3  # values of the mean of the distribution, asked for together
_UNCLEAR = 6  # lots drowned in noise, more than not, after which populations grow
_AGAIN = 100  # configurations before the second question about noise, and ten times that each
_BARREN = 20  # batches in a row without a new configuration, after which one is drawn evenly


@dataclass(eq=False)
class _Candidate:
    """A point that the method has drawn."""

    draws: Any  # (draws,), what it is made of; None where the method did not draw it
    config: dict[str, Any]
    key: str  # the configuration as text


@dataclass
class _Batch:
    """The candidates that the method waits for."""

    number: int
    size: int
    drawn: int = 0  # how often candidates were drawn for it
    pending: dict[str, list[_Candidate]] = field(default_factory=dict)  # handed out or to be
    draws: list[Any] = field(default_factory=list)  # of those whose value is known
    outcomes: list[tuple[float, ...]] = field(default_factory=list)  # a value, and excesses


@dataclass
class Run:
    """From one start of the method to the next."""

    best: float = math.inf
    level: float = math.inf  # the lowest median of the values at a mean, where there is noise
    evaluations: int = 0
    ended: str = ""  # why the method began again after it


class Search:
    """The state of a minimisation.

    Args:
        space: where to search.
        seed: of everything random.
        batch: candidates in a batch at least.
        first: configurations to try first; the method begins around the first of them.
        goals: a figure to be made small, and the limits of others.
    """

    def __init__(
        self,
        space: Space,
        seed: int,
        batch: int,
        first: Sequence[Mapping[str, Any]] = (),
        goals: Goals = PLAIN,
    ) -> None:
        self.values = Values()
        self.runs = [Run()]
        self.population = 0
        self._space, self._seed, self._goals = space, seed, goals
        self._outcomes: dict[str, tuple[float, ...]] = {}  # the last of each configuration
        self._tools = OnCube(Auto(batch, len(goals.limits)), space, seed)
        self._queue: deque[_Candidate] = deque()  # to be handed out
        self._out: dict[int, _Candidate] = {}  # trial -> what it evaluates
        self._batches = self._strays = self._unclear = self._turn = 0
        self._lot: list[float] = []  # values of the latest batches
        self._middle = ""  # the mean of the distribution that was asked for last
        self._next_doubt = 1  # configurations after which noise is asked about
        self._batch = self._new_batch()
        self._queue.extend(self._named(dict(config)) for config in first)
        if first:
            self._tools.move(space.point(first[0]))

    @property
    def method(self) -> str:
        """The name of the method that searches."""
        return self._tools.name

    def ask(self, trial: int) -> dict[str, Any]:
        """Return the configuration of a trial."""
        while not self._queue:
            self._draw_more()
        candidate = self._queue.popleft()
        self._out[trial] = candidate
        return candidate.config

    def adopt(self, trial: int, config: dict[str, Any]) -> None:
        """Let a trial have another configuration than was asked for: the one in a journal."""
        self._out[trial] = self._named(config)

    def tell(
        self, trial: int, value: float, figures: Mapping[str, float | None] | None = None
    ) -> None:
        """Take in what a trial's configuration is worth; not finite is worse than anything.

        Args:
            trial: its number.
            value: infinite where a limit is broken.
            figures: all that is known, where figures have limits.
        """
        candidate = self._out.pop(trial)
        quiet = not self.values.noisy
        self.values.add(candidate.key, candidate.config, value)
        outcome = (value,) if not self._goals.limits else self._goals.outcome(figures or {})
        self._outcomes[candidate.key] = outcome
        run = self.runs[-1]
        run.evaluations += 1
        run.best = min(run.best, value if math.isfinite(value) else math.inf)
        for twin in self._batch.pending.pop(candidate.key, []):
            self._arrive(twin, outcome)
        self._close_if_whole()
        if quiet and self.values.noisy:
            self._queue.appendleft(self._again(candidate.key))  # a pair tells how much

    # One batch ----------------------------------------------------------------------------

    def _new_batch(self) -> _Batch:
        self._batches += 1
        return _Batch(self._batches, self._tools.size)

    def _draw_more(self) -> None:
        """Draw candidates until one is new; give way to an even draw where none is."""
        for _ in range(_BARREN):
            if self._queue:
                return
            self._draw()
            self._close_if_whole()
        if not self._queue:
            self._stray()

    def _draw(self) -> None:
        """Draw a batch of candidates, or one where only free workers need it."""
        batch = self._batch
        first = batch.drawn == 0
        u, draws, feasible = self._tools.propose(batch.number, batch.drawn)
        batch.drawn += 1
        wanted = batch.size if first else 1
        good = np.flatnonzero(feasible)[:wanted]
        while first and len(good) < wanted and batch.drawn < _DRAWS:
            more = self._tools.propose(batch.number, batch.drawn)
            batch.drawn += 1
            u, draws = np.concatenate([u, more[0]]), np.concatenate([draws, more[1]])
            feasible = np.concatenate([feasible, more[2]])
            good = np.flatnonzero(feasible)[:wanted]
        for i in good:
            self._take(self._candidate(u[i], draws[i]))
        if first and not len(good):
            # The method stands where nothing is feasible; it begins again where something is.
            self._tools.move(self._tools.even(batch.number, 1)[0])
            batch.size = batch.drawn = 0

    def _take(self, candidate: _Candidate) -> None:
        """Queue a candidate, unless its value is known or on its way."""
        if self.values.exact(candidate.key) is not None:
            self._arrive(candidate, self._outcomes[candidate.key])
            return
        twins = self._batch.pending.setdefault(candidate.key, [])
        twins.append(candidate)
        if len(twins) == 1 and all(each.key != candidate.key for each in self._out.values()):
            self._queue.append(candidate)

    def _arrive(self, candidate: _Candidate, outcome: tuple[float, ...]) -> None:
        if candidate.draws is not None:
            self._batch.draws.append(candidate.draws)
            self._batch.outcomes.append(outcome)

    def _close_if_whole(self) -> None:
        """Tell the method when as many values are there as it asked for."""
        batch = self._batch
        if len(batch.outcomes) < batch.size:
            return
        if batch.size:
            n = batch.size
            outcomes = np.array(batch.outcomes[:n])
            draws, strays = np.stack(batch.draws[:n]), self.values.strays
            told = self._tools.learn(batch.number, draws, outcomes, strays)
            self.population = int(told.population)
            if int(told.restarts) >= len(self.runs):
                self.runs[-1].ended = Status(int(told.status)).name
                self.runs.append(Run())
                self._middle, self._unclear = "", 0  # of the run that is over
            self._lot.extend(outcomes[:, 0])
        self._queue.clear()
        self._batch = self._new_batch()
        if not self.values.noisy or len(self._lot) >= _LOT:
            self._turn += 1
            if self.values.noisy:
                self._listen(np.array(self._lot))
            self._lot = []
            self._doubt()

    def _doubt(self) -> None:
        """Queue what is asked to learn about noise, before anything else."""
        turn, key = self._turn % 4, None
        if not self.values.noisy:
            if len(self.values.told) >= self._next_doubt:
                self._next_doubt = max(_AGAIN, 10 * self._next_doubt)
                key = self.values.lowest()
        elif turn == 1:
            u = self._tools.mean()
            if np.all(self._space.feasible(self._space.decode(u))):
                middle = self._candidate(u, None)
                self._queue.extend([middle] * _MIDDLES)
                self._middle = middle.key
        elif turn == 3:
            key = self.values.doubtful()
        if key is not None:
            self._queue.extend([self._again(key)] * (2 if self.values.noisy else 1))

    def _listen(self, values: np.ndarray) -> None:
        """Let populations grow while values differ no more than noise does, and do not fall."""
        finite = values[np.isfinite(values)]
        if len(finite) < 2:
            return
        gaps = np.abs(finite[:, None] - finite)[np.triu_indices(len(finite), 1)]
        drowned = np.median(gaps) < math.sqrt(2) * self.values.gap
        self._unclear = max(0, self._unclear + (1 if drowned else -1))
        if self._fell():
            self._unclear = 0
        if self._unclear >= _UNCLEAR:
            self._unclear = 0
            self._tools.widen()

    def _fell(self) -> bool:
        """Whether the latest mean of the distribution has lower values than those before it."""
        known = self.values.told.get(self._middle, [])
        if len(known) < _MIDDLES:
            return False
        run, level, self._middle = self.runs[-1], float(np.median(known)), ""
        fell, run.level = level < run.level, min(level, run.level)
        return fell

    def _stray(self) -> None:
        """Queue a point that the method did not draw: one that is new, if there is any."""
        self._strays += 1
        points = [self._candidate(u, None) for u in self._tools.even(-self._strays, 64)]
        known = {each.key for each in self._out.values()} | self.values.told.keys()
        new = [each for each in points if each.key not in known]
        self._queue.append((new or points)[0])

    def _candidate(self, u: np.ndarray, draws: Any) -> _Candidate:
        return self._named(self._space.config(u), draws)

    def _again(self, key: str) -> _Candidate:
        return _Candidate(None, self.values.configs[key], key)

    def _named(self, config: dict[str, Any], draws: Any = None) -> _Candidate:
        return _Candidate(draws, config, text_of(config))
