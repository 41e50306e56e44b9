"""How much of the loss each hyperparameter explains, and how sure that is.

A forest learns the loss from the unit points of the trials and the logarithm of the units they
had. The forest is then averaged over everything but one hyperparameter: what still varies is that
hyperparameter's first-order share of the variance (functional ANOVA; Hutter, Hoos and
Leyton-Brown 2014, and Sobol' before them). Shares need not add up to one; the rest belongs to
combinations. Repeating this on resampled trials gives a 90% interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from sklearn.ensemble import ExtraTreesRegressor

    from parafree.study._view import StudyView

FEWEST = 10
"""With fewer trials than this, nothing is computed."""

MOST = 1000
"""More trials than this are thinned out at random: the shares settle long before."""

MOST_PARAMETERS = 50
"""Of more hyperparameters than this those are looked at that go most closely with the loss."""

_GRID = 24  # places along the hyperparameter that is looked at
_REST = 96  # random points for all the others, in each place
_TREES = 24
_HEAVY = 8  # a bad tail so many times longer than the good one hides everything else


class Importance(NamedTuple):
    """One hyperparameter's share of the variance of the loss, with a 90% interval."""

    name: str
    share: float
    low: float
    high: float


@dataclass(frozen=True)
class Importances:
    """The shares of all hyperparameters, and what they rest on.

    Args:
        records: one per hyperparameter, the largest share first; empty if there is a ``note``.
        trials: how many trials were used.
        scale: ``"loss"`` or, where a few very bad trials would hide all else, ``"rank"``.
        note: why there are no shares; empty if there are.
        parameters: how many hyperparameters there are; records are of 50 at most.
    """

    records: tuple[Importance, ...]
    trials: int
    scale: Literal["loss", "rank"]
    note: str = ""
    parameters: int = 0


def importance(study: StudyView, *, repeats: int = 20, seed: int = 0) -> Importances:
    """Measure how important each hyperparameter of a study is.

    Each trial counts with its first report and its last. The first one keeps the comparison
    fair, since every trial has it, however early it was stopped. A trial that diverged counts
    as the worst that was seen.

    Args:
        study: anything that keeps the protocol of ``_view.StudyView``.
        repeats: how many times the trials are resampled for the interval.
        seed: for the forest and the resampling.

    Returns:
        The shares; with fewer than 10 trials only a note that says so.
    """
    trials = [t for t in study.trials if t.repeats is None and t.units > 0]
    space = study.space
    if len(trials) < FEWEST:
        return Importances((), len(trials), "loss", _too_few(len(trials)))
    rng = np.random.default_rng(seed)
    if len(trials) > MOST:
        picked = np.sort(rng.choice(len(trials), MOST, replace=False))
        trials = [trials[i] for i in picked]
    points = np.array([space.point(t.hparams) for t in trials], dtype=float)
    row, units, loss = _observations(study, np.array([t.id for t in trials]))
    return shares(space.names, points[row], units, loss, trial=row, repeats=repeats, seed=seed)


def shares(
    names: Sequence[str],
    points: np.ndarray,
    units: np.ndarray,
    loss: np.ndarray,
    *,
    trial: np.ndarray | None = None,
    repeats: int = 20,
    seed: int = 0,
) -> Importances:
    """Compute first-order shares of variance from points of the unit cube and their losses.

    Args:
        names: of the columns of ``points``.
        points: shape ``(n, d)``, in [0, 1].
        units: shape ``(n,)``; their distribution is averaged over.
        loss: shape ``(n,)``; not finite means diverged, which counts as the worst seen.
        trial: shape ``(n,)``; observations of one trial are resampled together. All are their
            own trial by default.
        repeats: how many times the trials are resampled.
        seed: for the forest and the resampling.

    Returns:
        The shares, largest first.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x = rng.random((200, 2))
        >>> found = shares(["a", "b"], x, np.ones(200), x[:, 0], repeats=4)
        >>> [record.name for record in found.records]
        ['a', 'b']
    """
    trial = np.arange(len(loss)) if trial is None else np.asarray(trial)
    _, trial = np.unique(trial, return_inverse=True)
    count = int(trial.max()) + 1 if len(trial) else 0
    if count < FEWEST:
        return Importances((), count, "loss", _too_few(count))
    target, scale = _target(np.asarray(loss, dtype=float))
    if target is None:
        return Importances((), count, "loss", "All trials have the same loss, or none has one.")
    chosen = _closest(points, target)
    names, parameters = [names[i] for i in chosen], len(names)
    features = np.column_stack([points[:, chosen], np.log(np.maximum(units, 1e-9))])
    members = np.argsort(trial, kind="stable")
    starts = np.searchsorted(trial[members], np.arange(count + 1))
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(max(repeats, 2)):
        drawn = rng.integers(0, count, count)
        rows = np.concatenate([members[starts[i] : starts[i + 1]] for i in drawn])
        found.append(_first_order(features[rows], target[rows], rng))
    each = np.array(found)
    low, middle, high = np.quantile(each, [0.05, 0.5, 0.95], axis=0)
    records = [
        Importance(*r)
        for r in zip(names, middle.tolist(), low.tolist(), high.tolist(), strict=True)
    ]
    records.sort(key=lambda record: -record.share)
    return Importances(tuple(records), count, scale, parameters=parameters)


def _closest(points: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the columns whose values, or whose distances from the middle, go with the target."""
    dimension = points.shape[1]
    if dimension <= MOST_PARAMETERS:
        return np.arange(dimension)
    y = target - target.mean()
    x = points - points.mean(axis=0)
    found = np.zeros(dimension)
    for column in (x, x**2 - (x**2).mean(axis=0)):
        size = np.sqrt((column**2).sum(axis=0)) * np.sqrt(y @ y)
        found = np.maximum(found, np.abs(y @ column) / np.where(size > 0, size, 1))
    return np.sort(np.argsort(-found, kind="stable")[:MOST_PARAMETERS])


def _observations(study: StudyView, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """First and last report of each trial: the trial's row, units, loss."""
    reports = study.reports
    number, units = reports["trial"], reports["units"].astype(float)
    order = np.lexsort((units, number))
    first = np.searchsorted(number[order], ids, side="left")
    last = np.searchsorted(number[order], ids, side="right") - 1
    rows = np.arange(len(ids))
    some = last >= first
    again = last > first
    row = np.concatenate([rows[some], rows[again]])
    take = order[np.concatenate([first[some], last[again]])]
    loss = reports["loss"][take]
    return row, units[take], loss


def _target(loss: np.ndarray) -> tuple[np.ndarray | None, Literal["loss", "rank"]]:
    """What the forest learns: the losses, or their ranks if the bad tail is much the longer."""
    finite = np.isfinite(loss)
    seen = loss[finite]
    if seen.size == 0 or (seen.max() == seen.min() and finite.all()):
        return None, "loss"
    low, middle, high = np.quantile(seen, [0.0, 0.5, 1.0])
    heavy = high - middle > _HEAVY * (middle - low)
    if not heavy and finite.all():
        return loss, "loss"
    # Equal losses share a rank, and all that diverged share the worst one.
    _, ranks, counts = np.unique(
        np.where(finite, loss, np.inf), return_inverse=True, return_counts=True
    )
    middle_rank = np.cumsum(counts) - (counts - 1) / 2
    return middle_rank[ranks] / len(loss), "rank"


def _first_order(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Fit one forest, and return each hyperparameter's first-order share of its variance."""
    forest = _forest(x, y, int(rng.integers(2**31)))
    dimension = x.shape[1] - 1
    rest = rng.random((_REST, dimension))
    units = rng.choice(x[:, -1], _REST)
    grid = (np.arange(_GRID) + 0.5) / _GRID
    questions = np.empty((dimension, _GRID, _REST, dimension + 1))
    questions[..., :-1] = rest
    questions[..., -1] = units
    for j in range(dimension):
        questions[j, :, :, j] = grid[:, None]
    answers = forest.predict(questions.reshape(-1, dimension + 1))
    answers = answers.reshape(dimension, _GRID, _REST)
    total = _variance_without_units(forest, x, rng)
    # The same random rest in every place of the grid: its effect cancels in the differences.
    main = answers.mean(axis=2).var(axis=1)
    return np.clip(main / max(total, 1e-30), 0.0, 1.0)


def _variance_without_units(
    forest: ExtraTreesRegressor, x: np.ndarray, rng: np.random.Generator
) -> float:
    """Return the variance over the hyperparameters of the forest averaged over the units."""
    points = rng.random((512, x.shape[1] - 1))
    levels = np.quantile(x[:, -1], [0.1, 0.3, 0.5, 0.7, 0.9])
    if np.ptp(levels) == 0:
        levels = levels[:1]
    each = [forest.predict(np.column_stack([points, np.full(512, v)])) for v in levels]
    return float(np.mean(each, axis=0).var())


def _forest(x: np.ndarray, y: np.ndarray, seed: int) -> ExtraTreesRegressor:
    from sklearn.ensemble import ExtraTreesRegressor

    forest = ExtraTreesRegressor(_TREES, random_state=seed)
    forest.fit(x, y)
    return forest


def _too_few(count: int) -> str:
    trials = "trial" if count == 1 else "trials"
    return f"{count} {trials} with a result are too few to tell; at least {FEWEST} are needed."
