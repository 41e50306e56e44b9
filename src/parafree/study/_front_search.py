"""A search with several objectives: every point of the front so far has descendants of its own.

Krause, Glasmachers, Hansen, Igel, "Unbounded Population MO-CMA-ES for the Bi-Objective BBOB Test
Suite", GECCO 2016: the population is the front itself; a parent is chosen by how much of the
hypervolume is its own, or as one of the front's ends; a descendant that no other point dominates
joins, and succeeds if it gets no less of the hypervolume than most. Half of the descendants go, in
some coordinates, in the direction in which two other points differ instead, or to where another one
is (Storn and Price 1997): a front is a surface, and differences lie along it. Options and whole
numbers come from one of these points, or change at random.

A point that keeps all limits is better than any that does not, and of two that do not the one that
is less beyond them (Deb 2000). Where a step left the limits for values that the front does not
dominate, a later one goes as far along it as the excesses of its two ends say that limits reach.

Where asking again gives something else there is noise; then every fourth question is about a point
of the front that has been asked for least.

A function of the questions and answers in their order, as any search. Nothing waits for a batch.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from parafree.blackbox._pareto import contributions, crowding, dominated
from parafree.core.keys import integer_from_names, key_from_names
from parafree.core.space import Bool, Choice, Int, Space
from parafree.study._front_shares import shares
from parafree.study._goals import Goals
from parafree.study._steps import Steps
from parafree.study._values import text_of

_SIZE = 0.2  # of the first steps, as a share of the distance between bounds
_ENDS = 0.2  # of the descendants are those of an end of the front
_MOST = 256  # points of the front that have descendants
_BEYOND = 0.1  # of the front's extent that its ends are given as their own
_FORMER = 20  # points that keep giving differences after they have left the front
_EDGE = 0.2  # of the descendants go to the edge of the limits, where a step has passed one
_CROSSED = 20  # steps beyond a limit that are remembered
_TRIES = 20  # draws before one is made evenly
_AGAIN = 100  # evaluations before the second question about noise, and ten times that each


@dataclass(eq=False)
class _Point:
    """A configuration, what it gave, and the steps of its descendants."""

    u: np.ndarray
    config: dict[str, Any]
    key: str
    steps: Steps
    parent: _Point | None = None  # whose step led here; None where no normal step did
    origin: _Point | None = None  # from where it was drawn, by whatever step
    told: list[tuple[float, ...]] = field(default_factory=list)
    outcome: np.ndarray = field(default_factory=lambda: np.zeros(0))  # its mean
    violation: float = math.inf

    def take(self, outcome: tuple[float, ...], goals: Goals) -> None:
        """Take in what it gave; the first time counts no more where there are others."""
        self.told.append(outcome)
        self.outcome = np.mean(self.told[1:] or self.told, axis=0)
        self.violation = goals.violation(self.outcome.tolist())


class FrontSearch:
    """The state of a minimisation with several objectives.

    Args:
        space: where to search.
        seed: of everything random.
        goals: the objectives, and the limits.
        first: configurations to try first.
    """

    method = "the front's own descendants"

    def __init__(
        self, space: Space, seed: int, goals: Goals, first: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        self.points: list[_Point] = []  # the front, or the point that is least beyond the limits
        self.asked_again = 0
        self.noisy = False
        self._space, self._seed, self._goals = space, seed, goals
        self._first = deque(dict(config) for config in first)
        self._begin = 2 * space.dimension + 2  # points drawn evenly
        self._known: dict[str, _Point] = {}
        self._out: dict[int, _Point] = {}
        self._again: deque[_Point] = deque()
        self._next_doubt = self._begin
        self._weights = np.zeros(0)
        self._former: deque[_Point] = deque(maxlen=_FORMER)  # that were in the front
        self._crossed: deque[_Point] = deque(maxlen=_CROSSED)  # beyond the limits, and promising
        kinds = list(space.parameters.values())
        self._unordered = np.array([isinstance(p, Choice | Bool) for p in kinds])
        self._whole = np.array([isinstance(p, Int) for p in kinds])
        self._cells = np.array([getattr(p, "cardinality", 0) for p in kinds])

    def ask(self, trial: int) -> dict[str, Any]:
        """Return the configuration of a trial."""
        rng = np.random.default_rng(integer_from_names(self._seed, "front", trial))
        point = self._next(trial, rng)
        self._out[trial] = point
        return point.config

    def adopt(self, trial: int, config: dict[str, Any]) -> None:
        """Let a trial have another configuration than was asked for: the one in a journal."""
        known = self._known.get(text_of(config))
        self._out[trial] = known or self._point(self._space.point(config), None)

    def tell(self, trial: int, value: float, figures: Mapping[str, float | None]) -> None:
        """Take in what a trial's configuration gave; a figure that is not known is infinite."""
        point = self._out.pop(trial)
        outcome = self._goals.outcome(figures)
        if point.told:
            self.asked_again += 1
            self.noisy = self.noisy or outcome != point.told[0]
        point.take(outcome, self._goals)
        if len(point.told) == 1:
            self._known[point.key] = point
            joined = self._join(point)
            if point.parent is not None:
                self._learn(point, point.parent, joined)
                point.parent = None
        elif outcome != point.told[0] and point in self.points:
            self.points.remove(point)
            if not self._join(point):
                self._weights = self._weighed()
        self._doubt()

    # What to ask ----------------------------------------------------------------------------

    def _next(self, trial: int, rng: np.random.Generator) -> _Point:
        if self._first:
            return self._point(self._space.point(self._first.popleft()), None)
        if self._again:
            return self._again.popleft()
        if self.noisy and trial % 4 == 3 and self.points:
            return min(self.points, key=lambda point: len(point.told))
        for _ in range(_TRIES if trial >= self._begin and self.points else 0):
            point = self._descend(rng)
            if point is not None and self._is_new(point):
                return point
        points = [self._point(u, None) for u in self._even(trial)]
        return next(filter(self._is_new, points), points[0])

    def _is_new(self, point: _Point) -> bool:
        out = any(point.key == each.key for each in self._out.values())
        return not out and point.key not in self._known

    def _descend(self, rng: np.random.Generator) -> _Point | None:
        """Draw a descendant; ``None`` where it would break a constraint of the space."""
        if self._crossed and rng.random() < _EDGE:
            return self._at_edge(self._crossed[int(rng.integers(len(self._crossed)))], rng)
        pool = [*self.points, *self._former]
        parent, (a, b) = self._parent(rng), rng.integers(len(pool), size=2)
        one, other = pool[a], pool[b]
        differs = rng.random() < 0.5 and a != b
        if differs:
            some = rng.random(len(one.u)) < rng.random()
            towards = one.u - parent.u if rng.random() < 0.5 else rng.random() * (one.u - other.u)
            step = np.where(some, towards, 0.0)
        else:
            step = parent.steps.draw(rng)
        u = np.clip(parent.u + step, 0.0, 1.0)
        u = self._jumped(np.where(self._unordered, parent.u, u), parent, one, rng)
        if not np.all(self._space.feasible(self._space.decode(u))):
            return None
        return replace(self._point(u, None if differs else parent, parent.steps), origin=parent)

    def _at_edge(self, beyond: _Point, rng: np.random.Generator) -> _Point | None:
        """Draw a point at the edge of the limits, on the way to one that is beyond them."""
        within, m = beyond.origin, len(self._goals.objectives)
        assert within is not None
        inner, outer = within.outcome[m:], beyond.outcome[m:]
        broken = outer > 0
        share = float(np.min(-inner[broken] / (outer - inner)[broken]))  # as if they were linear
        step = share * (1 - 0.1 * rng.random() ** 2) * (beyond.u - within.u)
        u = within.u + np.where(self._unordered, 0.0, step)
        if not np.all(self._space.feasible(self._space.decode(u))):
            return None
        return replace(self._point(u, None, within.steps), origin=within)

    def _parent(self, rng: np.random.Generator) -> _Point:
        ends = np.isinf(self._weights)
        inner = np.where(ends, 0.0, self._weights)
        if rng.random() < _ENDS or not inner.any():
            return self.points[int(rng.choice(np.flatnonzero(ends)))]
        return self.points[int(rng.choice(len(self.points), p=inner / inner.sum()))]

    def _jumped(
        self, u: np.ndarray, parent: _Point, other: _Point, rng: np.random.Generator
    ) -> np.ndarray:
        """Return a point whose options and whole numbers may have changed."""
        n = int(np.sum(self._unordered | self._whole))
        if not n:
            return u
        lot = rng.random((4, len(u)))
        crossed = self._unordered & (rng.random() < 0.5) & (lot[0] < 0.5)
        u = np.where(crossed, other.u, u)
        changed = lot[1] < 1 / n
        cells = np.maximum(self._cells, 1)
        far = np.ceil(np.log1p(-lot[2]) / math.log(0.5)) / cells  # geometric, at least one
        jumped = _mirrored(u + np.where(lot[3] < 0.5, -far, far))
        u = np.where(self._whole & changed, jumped, u)
        return np.where(self._unordered & changed, lot[2], u)

    def _even(self, trial: int) -> np.ndarray:
        key = key_from_names(self._seed, "front", "even", trial)
        return np.asarray(self._space.sample(key, 8), float)

    def _point(self, u: np.ndarray, parent: _Point | None, steps: Steps | None = None) -> _Point:
        config = self._space.config(u)
        begun = steps or Steps.begin(self._space.dimension, _SIZE)
        return _Point(self._space.point(config), config, text_of(config), begun, parent)

    # What was learned -----------------------------------------------------------------------

    def _join(self, point: _Point) -> bool:
        """Let a point join the front, if no other one is better; return whether it did."""
        if not np.isfinite(point.outcome).all():
            return False
        violation = point.violation
        least = min((each.violation for each in self.points), default=math.inf)
        if violation > least or (violation == least > 0):
            self._remember(point, least)
            return False
        points = [point] if violation < least else [*self.points, point]
        out = dominated(self._objectives(points))
        if out[-1]:
            return False
        self._former.extend(each for each, worse in zip(points, out, strict=True) if worse)
        self.points = [each for each, worse in zip(points, out, strict=True) if not worse]
        self._weights = self._weighed()
        if len(self.points) > _MOST:
            del self.points[int(np.argmin(self._weights))]
            self._weights = self._weighed()
        return point in self.points

    def _remember(self, point: _Point, least: float) -> None:
        """Note a point beyond the limits that was drawn within them, and would have joined."""
        within = point.origin
        if least == 0 and within is not None and within.violation == 0:
            points = self._objectives([*self.points, point])
            if not dominated(points)[-1]:
                self._crossed.append(point)

    def _objectives(self, points: Sequence[_Point]) -> np.ndarray:
        return np.array([point.outcome[: len(self._goals.objectives)] for point in points])

    def _weighed(self) -> np.ndarray:
        """Return how much of the front is each point's own; infinite at the ends."""
        if not self.points:
            return np.zeros(0)
        values = self._objectives(self.points)
        low, high = values.min(axis=0), values.max(axis=0)
        values = (values - low) / np.where(high > low, high - low, 1)
        weights = crowding(values)
        if values.shape[1] == 2:
            own = contributions(values, np.full(2, 1 + _BEYOND))
        else:
            own = shares(values, 1 + _BEYOND)
        return np.where(np.isinf(weights), weights, own)

    def _learn(self, point: _Point, parent: _Point, joined: bool) -> None:
        size, step = parent.steps.size, point.u - parent.u
        succeeded = joined and self._counts(point)
        parent.steps = parent.steps.judged(succeeded)
        point.steps = point.steps.judged(succeeded)
        if succeeded:
            point.steps = point.steps.learned(step, size)

    def _counts(self, point: _Point) -> bool:
        """Whether a point of the front is an end of it, or no less of its own than most."""
        own = self._weights[self.points.index(point)]
        return bool(np.isinf(own) or own >= np.median(self._weights[np.isfinite(self._weights)]))

    def _doubt(self) -> None:
        """Queue a point of the front to be asked for again, now and then."""
        if not self.noisy and len(self._known) >= self._next_doubt and self.points:
            self._next_doubt = max(_AGAIN, 10 * self._next_doubt)
            self._again.append(self.points[0])


def _mirrored(u: np.ndarray) -> np.ndarray:
    """Return a point reflected into the unit cube."""
    way = np.mod(u, 2.0)
    return np.minimum(way, 2.0 - way)
