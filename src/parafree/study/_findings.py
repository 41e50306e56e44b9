"""What the trials of a minimisation amount to: the best, the front, and how far values differ.

Read from the trials alone, so that a study that was opened says the same as one that just ran.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from parafree.blackbox._pareto import dominated, hypervolume
from parafree.study._goals import Goals
from parafree.study._values import Values, text_of
from parafree.study.history import Trial

if TYPE_CHECKING:
    from parafree.study.study import Study

_BEYOND = 0.1  # of the front's extent: how far beyond its ends its hypervolume reaches


def minimises(spec: Mapping[str, Any]) -> bool:
    """Whether a study is a minimisation, by what it was created with."""
    name = spec.get("sampler", {}).get("name")
    return name == "Minimizer" or spec.get("kind") == "compiled"


def evaluations(trials: Sequence[Trial], spec: Mapping[str, Any]) -> int:
    """Return how often the function was asked, or is being asked."""
    return sum(t.units for t in trials) if spec.get("kind") == "compiled" else len(trials)


def values_of(trials: Sequence[Trial], spec: Mapping[str, Any]) -> Values:
    """Return the values of all configurations, as the search knew them."""
    values = Values()
    if spec.get("kind") != "compiled":  # there a trial is the best of many
        for trial in trials:
            if trial.units:
                loss = math.inf if trial.loss is None else trial.loss
                values.add(text_of(trial.hparams), trial.hparams, loss)
    return values


def recommended(study: Study, values: Values | None = None) -> Trial | None:
    """Return the trial to recommend, with the value that is to be expected of it.

    Args:
        study: the minimisation.
        values: of its configurations, where they are known already.
    """
    trials, spec = study.trials, study.spec
    goals, best = Goals.from_spec(spec), None
    if goals.several:
        best = knee(front(trials, goals), goals)
    elif spec.get("kind") == "compiled":
        best = trials[-1] if trials and trials[-1].loss is not None else None
    elif (key := (values := values or values_of(trials, spec)).best()) is not None:
        told = set(values.told[key])
        trial = next((t for t in trials if t.loss in told and text_of(t.hparams) == key), None)
        # A search that a processor with another rounding has rebuilt knows other last digits.
        trial = trial or next(t for t in trials if t.loss in told)
        best = replace(trial, loss=values.mean(key))
    return nearest(trials, goals) if best is None and goals.limits else best


def nearest(trials: Sequence[Trial], goals: Goals) -> Trial | None:
    """Return the trial that is the least beyond the limits, for where none keeps them all.

    Its loss is its first objective.
    """
    known = [(goals.outcome(t.metrics), t) for t in trials if t.metrics]
    measured = [(goals.violation(o), o[0], t.id, t) for o, t in known]
    finite = [each for each in measured if math.isfinite(each[0])]
    if not finite:
        return None
    best = min(finite, key=lambda each: each[:3])[-1]
    return replace(best, loss=best.metrics[goals.objectives[0]])


def front(trials: Sequence[Trial], goals: Goals) -> list[Trial]:
    """Return the trials of which no other is better in all objectives, within all limits.

    Where a configuration was asked for several times its figures are means over all times but the
    first, for which it was picked. Where that shows noise, no other configurations count: those
    that were asked for once are in the front by luck.
    """
    groups: dict[str, list[Trial]] = {}
    for trial in trials:
        if trial.metrics:
            groups.setdefault(text_of(trial.hparams), []).append(trial)
    again = [group for group in groups.values() if len(group) > 1]
    noisy = any(each.metrics != group[0].metrics for group in again for each in group)
    means = [_mean(group) for group in (again if noisy else groups.values())]
    outcomes = [goals.outcome(trial.metrics) for trial in means]
    count = len(goals.objectives)
    good = [i for i, o in enumerate(outcomes) if goals.kept(o) and all(map(math.isfinite, o))]
    if not good:
        return []
    points = np.array([outcomes[i][:count] for i in good])
    kept = [i for i, worse in zip(good, dominated(points), strict=True) if not worse]
    best = [(outcomes[i], means[i]) for i in kept]
    best.sort(key=lambda each: (each[0], each[1].id))
    return [replace(trial, loss=outcome[0]) for outcome, trial in best]


def _mean(group: list[Trial]) -> Trial:
    fair = group[1:] or group
    names = group[0].metrics
    figures = {name: _average([trial.metrics.get(name) for trial in fair]) for name in names}
    return replace(group[0], metrics=figures)


def _average(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if len(known) == len(values) else None


def points_of(trials: Sequence[Trial], goals: Goals) -> np.ndarray:
    """Return the objectives (n, m) of trials."""
    count = len(goals.objectives)
    rows = [goals.outcome(trial.metrics)[:count] for trial in trials]
    return np.array(rows, float).reshape(len(rows), count)


def knee(found: Sequence[Trial], goals: Goals) -> Trial | None:
    """Return the compromise of a front.

    Of its losses against the best in each objective, as shares of the front's extent, the largest
    is smaller than any other's.
    """
    if not found:
        return None
    points = points_of(found, goals)
    low, high = points.min(axis=0), points.max(axis=0)
    share = (points - low) / np.where(high > low, high - low, 1)
    return found[int(np.argmin(share.max(axis=1)))]


def volume(found: Sequence[Trial], goals: Goals, corner: Sequence[float] | None = None) -> float:
    """Return the hypervolume of a front, by default up to a tenth beyond its ends."""
    if not found:
        return 0.0
    points = points_of(found, goals)
    if corner is None:
        high = points.max(axis=0)
        corner = high + _BEYOND * (high - points.min(axis=0))
    return hypervolume(points, np.asarray(corner, float))
