"""Hyperband (arXiv:1603.06560): an order of magnitude less resource than random search."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from parafree.claims import _curves
from parafree.claims._claim import Claim, Measurement, Progress
from parafree.claims._spread import spread
from parafree.tune._simulate import simulate
from parafree.tune.hyperband import Hyperband, card

_THRESHOLD = 10.0  # the paper's "order of magnitude"
_R = 81
_FULL = _curves.Size(trials=715, points=_R, chunk=8)
_FAST = _curves.Size(trials=429, points=_R, chunk=4)


class Comparison(NamedTuple):
    """Hyperband on one set of configurations against random search on all the others."""

    speedup: float  # random search's resource over Hyperband's, at the quality of Hyperband
    bound: bool  # random search never got there, so the speed-up is at least this
    whole: float  # the same when all of Hyperband's sweep is paid, also what came afterwards
    scratch: float  # the first when Hyperband pays for every rung from the first unit on
    good: float  # fraction of random configurations that reach the quality in a full training
    exchange: float  # configurations seen per full training, over the whole sweep


def compare(curves: np.ndarray, own: slice, max_units: int, eta: int = 3) -> Comparison:
    """Run one sweep of Hyperband on some rows of a table, and random search on the rest.

    Random search is credited with every point of a curve, Hyperband with its rungs alone.

    Args:
        curves: (trials, points) of losses.
        own: Hyperband's rows; random search draws from the others.
        max_units: R, in points.
        eta: of Hyperband.
    """
    mine, others = curves[own], np.delete(curves, own, axis=0)[:, :max_units]
    hyperband = Hyperband(max_units, eta=eta, sweeps=1)
    trace, anew = simulate(hyperband, mine), simulate(hyperband, mine, resume=False)
    quality = float(trace.best[-1])
    needed, good = random_search_cost(others, quality)
    trials = len({evaluation.trial for evaluation in trace.evaluations})
    return Comparison(
        speedup=needed / trace.used_until(quality),
        bound=good == 0,
        whole=needed / float(trace.used[-1]),
        scratch=needed / anew.used_until(quality),
        good=good,
        exchange=trials * max_units / float(trace.used[-1]),
    )


def random_search_cost(curves: np.ndarray, quality: float) -> tuple[float, float]:
    """Return the units that random search needs on average, and how many rows are good enough.

    Rows are drawn without replacement until one reaches ``quality``. With m good ones among n, the
    mean number of others before the first good one is (n - m) / (m + 1); each costs its whole
    curve, and a good one costs what it takes to reach the quality.

    Returns:
        Units (where no row is good, those of the whole table, which is a lower bound), and the
        fraction of good rows.

    Example:
        >>> random_search_cost(np.array([[0.9, 0.1], [0.9, 0.8], [0.9, 0.7]]), quality=0.2)
        (4.0, 0.3333333333333333)
    """
    rows, units = curves.shape
    reached = curves <= quality
    good = reached.any(axis=1)
    count = int(good.sum())
    if count == 0:
        return float(rows * units), 0.0
    first = reached[good].argmax(axis=1) + 1
    return (rows - count) / (count + 1) * units + float(first.mean()), count / rows


def _measure(fast: bool, progress: Progress) -> Measurement:
    size = _FAST if fast else _FULL
    found = {
        data: compare_all(_curves.record(data, size, progress))
        for data in (["digits"] if fast else ["digits", "mnist"])
    }
    values = {
        f"{data}: {label}": [float(getattr(each, name)) for each in comparisons]
        for data, comparisons in found.items()
        for label, name in (
            ("speed-up", "speedup"),
            ("speed-up if the whole sweep is paid", "whole"),
            ("speed-up if every rung starts from scratch", "scratch"),
            ("fraction of random configurations as good", "good"),
        )
    }
    holds = {data: _median(each) >= _THRESHOLD for data, each in found.items()}
    return Measurement(
        values=values,
        summary="; ".join(_summary(data, each) for data, each in found.items()),
        holds=all(holds.values()),
        reason=" ".join(_reason(data, each) for data, each in found.items()),
    )


def compare_all(curves: np.ndarray, max_units: int = _R, eta: int = 3) -> list[Comparison]:
    """Cut a table into as many independent sets as Hyperband can use, and compare on each."""
    sweep = simulate(Hyperband(max_units, eta=eta, sweeps=1), curves)
    need = len({evaluation.trial for evaluation in sweep.evaluations})
    sets = [slice(i * need, (i + 1) * need) for i in range(len(curves) // need)]
    return [compare(curves, own, max_units, eta) for own in sets]


def _median(comparisons: list[Comparison]) -> float:
    return float(np.median([each.speedup for each in comparisons]))


def _summary(data: str, comparisons: list[Comparison]) -> str:
    bounds = sum(each.bound for each in comparisons)
    text = f"{data}: {spread([each.speedup for each in comparisons], 'x')} less resource"
    if bounds:
        text += f"; for {bounds} of them a lower bound, as random search never got there"
    return text


def _reason(data: str, comparisons: list[Comparison]) -> str:
    good = float(np.median([each.good for each in comparisons]))
    exchange = float(np.median([each.exchange for each in comparisons]))
    whole = float(np.median([each.whole for each in comparisons]))
    median = _median(comparisons)
    verdict = "reaches" if median >= _THRESHOLD else "stays below"
    return (
        f"On {data} the median {verdict} {_THRESHOLD:g}x: {good:.1%} of random configurations are "
        f"as good as Hyperband's best, while a sweep looks at {exchange:.1f} configurations for "
        "the price of one full training. Nobody knows when the best has been seen, though: with "
        f"the whole sweep paid, the median is {whole:.1f}x."
    )


claim = Claim(
    name="hyperband",
    card=card,
    paper=(
        "Over an order of magnitude (10x) faster than its competitors, random search among them, "
        "to equal quality; a convolutional network on CIFAR-10 and other data, eight "
        "hyperparameters, R = 300 units of 100 minibatches, eta = 4."
    ),
    setting=(
        "Learning curves of a network with one hidden layer, seven hyperparameters with the "
        "paper's ranges, on scikit-learn's digits and on MNIST (fast: digits alone), with the same "
        "random configurations on both. Hyperband "
        f"with eta = 3 and R = {_R} points of 8 updates (fast: 4), one sweep over 143 "
        "configurations; five independent sets of them (fast: three). Quality is the best "
        "held-out cross-entropy that the sweep has seen; the resource is what was spent until "
        "then. Random search trains each configuration to R, stops at the first point of any "
        "curve that is as good, and draws from the configurations of the other sets; its "
        "resource is the mean over all orders of drawing."
    ),
    threshold=(
        f"the median over the sets of random search's resource over Hyperband's is at least "
        f"{_THRESHOLD:g}, on each data set"
    ),
    measure=_measure,
)
