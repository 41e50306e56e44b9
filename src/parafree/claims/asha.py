"""Asynchronous successive halving (arXiv:1810.05934): scales linearly with the workers."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from parafree.claims import _curves
from parafree.claims._claim import Claim, Measurement, Progress
from parafree.claims._spread import spread
from parafree.tune._simulate import Trace, simulate
from parafree.tune.asha import ASHA, card

_WORKERS = 25
_THRESHOLD = 12.5  # half of linear
_R = 27
_ORDERS = 9
_FULL = _curves.Size(trials=715, points=81, chunk=8)  # the table of the claim of Hyperband
_FAST = _curves.Size(trials=429, points=81, chunk=4)


class Scaling(NamedTuple):
    """Many workers against one, on the same configurations in the same order."""

    speedup: float  # time of one worker over that of many, to the quality that both reach
    trainings: float  # time of many workers, over that of one full training
    busy: float  # fraction of the workers' time in which they train, until then


def compare(curves: np.ndarray, workers: int) -> Scaling:
    """Run ASHA on a table with one worker and with ``workers``.

    The quality is the worse of the best losses of both runs, so that both reach it.

    Args:
        curves: (trials, units) of losses; new trials start from the top of the table.
        workers: how many.
    """
    units = curves.shape[1]
    asha = ASHA(min_units=1, max_units=units)
    one, many = simulate(asha, curves), simulate(asha, curves, workers=workers)
    quality = max(float(one.best[-1]), float(many.best[-1]))
    took = time_until(many, quality)
    spent = sum(max(0.0, min(each.end, took) - each.begin) for each in many.evaluations)
    return Scaling(time_until(one, quality) / took, took / units, spent / (workers * took))


def time_until(trace: Trace, quality: float) -> float:
    """Return the time at which a run first had a loss of at most ``quality``.

    Example:
        >>> time_until(simulate(ASHA(min_units=1, max_units=1), np.array([[3.0], [1.0]])), 2.0)
        2.0
    """
    return trace.evaluations[int(np.argmax(trace.best <= quality))].end


def _measure(fast: bool, progress: Progress) -> Measurement:
    found: dict[str, list[Scaling]] = {}
    for data in ["digits"] if fast else ["digits", "mnist"]:
        curves = _curves.record(data, _FAST if fast else _FULL, progress)
        points = curves.shape[1] // _R
        table = curves[:, points - 1 :: points]
        rng = np.random.default_rng(0)
        found[data] = [compare(rng.permutation(table), _WORKERS) for _ in range(_ORDERS)]
    medians = {data: _median(each, "speedup") for data, each in found.items()}
    labels = {
        "speedup": f"speed-up with {_WORKERS} workers",
        "trainings": "time, in full trainings",
        "busy": "workers busy",
    }
    return Measurement(
        values={
            f"{data}: {label}": [float(getattr(each, field)) for each in scalings]
            for data, scalings in found.items()
            for field, label in labels.items()
        },
        summary="; ".join(
            f"{data}: {spread([each.speedup for each in scalings], 'x')} faster"
            for data, scalings in found.items()
        ),
        holds=min(medians.values()) >= _THRESHOLD,
        reason=" ".join(_reason(data, scalings) for data, scalings in found.items()),
    )


def _median(scalings: list[Scaling], field: str) -> float:
    return float(np.median([getattr(each, field) for each in scalings]))


def _reason(data: str, scalings: list[Scaling]) -> str:
    return (
        f"On {data} the workers are busy {_median(scalings, 'busy'):.0%} of the time and need the "
        f"time of {_median(scalings, 'trainings'):.1f} full trainings; less than one is impossible "
        "where the best configuration must be trained in full."
    )


claim = Claim(
    name="asha",
    card=card,
    paper=(
        "Scales linearly with the number of workers, in distributed settings with 25 and with 500 "
        "of them; the time to a good configuration, with networks on CIFAR-10 and a language model."
    ),
    setting=(
        "Learning curves of a network with one hidden layer and seven hyperparameters on "
        "scikit-learn's digits and on MNIST (fast: digits alone), replayed with one worker and "
        f"with {_WORKERS} whose time is simulated; 715 configurations (fast: 429), R = {_R} "
        f"units, eta = 3; {_ORDERS} random orders of the same configurations. Time until the best "
        "held-out cross-entropy that both runs reach."
    ),
    threshold=(
        f"the median speed-up over the orders with {_WORKERS} workers is at least {_THRESHOLD}, "
        "half of linear, on each data set"
    ),
    measure=_measure,
)
