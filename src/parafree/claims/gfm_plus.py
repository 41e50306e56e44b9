"""GFM+ (arXiv:2301.06428): fewer values than GFM to a Goldstein-stationary point."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from parafree.blackbox.gfm import GFM
from parafree.blackbox.gfm_plus import GFMPlus, card
from parafree.claims import _convex
from parafree.claims._claim import Claim, Measurement, Progress
from parafree.claims._power_law import exponent
from parafree.claims._spread import spread

_SEEDS = 3
_RATIO = 1.0  # values of GFM over those of GFM+, at the smallest accuracy, above this
_ORDER = 3.3  # the paper: 3, of GFM+ in the accuracy
_DIMENSION_ORDER = 1.6  # the paper: 3/2
_RADIUS = 0.1
_TARGETS = (0.1, 0.03, 0.01)  # of the norm at the start
_RATES = (0.001, 0.004, 0.016, 0.064, 0.256)
_PLAIN = (1, 10, 100)  # pairs of a step of GFM
_PLUS = ((10, 10, 1), (100, 10, 10))  # b', m and b of GFM+; the first is published
_PERIODS = (3,)  # m, where b = m d and b' = m b, as the theory has them up to constants
_LOOKS = 40  # evenly spaced in the logarithm of the values
_SAMPLES = 100  # gradients in the ball for each look
_WIDER = (1, 4, 16)  # times the features
_ALPHA, _LAMBDA = 2.0, 1e-5  # of the capped penalty


class Task(NamedTuple):
    """A support vector machine on a table."""

    name: str
    x: np.ndarray  # (n, features)
    y: np.ndarray  # (n,), 1 and -1
    dimension: int  # parameters; those beyond the features have no effect but on the penalty


def task(name: str, wider: int = 1) -> Task:
    """Return a task with classes 1 and -1, of ``"breast cancer"`` or ``"digits"``.

    Of the first table ten features are taken; with more the classes can be told apart without any
    loss, and single rows give no noise at the minimum.
    """
    x, y = _convex.rows(name)
    x = np.c_[x[:, :10], x[:, -1]] if name == "breast cancer" else x
    return Task(name, x.astype(np.float32), y.astype(np.float32), wider * x.shape[1])


def loss(p: Any, rows: Any) -> Any:
    """Return the hinge loss of every row with the paper's penalty, capped at 2."""
    import jax.numpy as jnp

    x, y, penalty = rows
    capped = jnp.sum(jnp.minimum(jnp.abs(p), _ALPHA))
    return jnp.maximum(1 - y * (x @ p[: x.shape[-1]]), 0) + penalty * capped


class Size(NamedTuple):
    """How much is measured."""

    names: tuple[str, ...]  # of the tables
    rates: tuple[float, ...]
    plain: tuple[int, ...]  # batches of GFM
    plus: tuple[tuple[int, int, int], ...]  # settings of GFM+
    periods: tuple[int, ...]  # of further settings of GFM+
    wider: tuple[int, ...]  # times the features
    values: int  # that a run may ask for


_FULL = Size(("breast cancer", "digits"), _RATES, _PLAIN, _PLUS, _PERIODS, _WIDER, 300_000)
_FAST = Size(("breast cancer",), _RATES[:4], _PLAIN[:2], _PLUS[:1], _PERIODS, (), 50_000)


def costs(each: Task, method: Any, per_step: float, size: Size, shares: Sequence[float]) -> Any:
    """Return the values until the norm is this share of that at the start.

    Args:
        each: the task.
        method: GFM or GFM+; its rate is replaced by every rate of the grid.
        per_step: values that a step asks for on average.
        size: the rates, and how many values a run may ask for.
        shares: of the norm of the gradient of the mean over the ball.

    Returns:
        float (rates, shares, seeds); infinite where a run did not get there.
    """
    import equinox as eqx
    import jax
    import jax.numpy as jnp

    from parafree import run
    from parafree.blackbox import Goldstein
    from parafree.core.objective import FiniteSum

    n = len(each.x)
    rows = jnp.asarray(each.x), jnp.asarray(each.y), jnp.full(n, _LAMBDA / n)
    terms = FiniteSum(loss, rows)
    measure = Goldstein(_RADIUS, _SAMPLES, gradients=True)
    norm = lambda p: measure.estimate(jax.random.key(9), lambda p, a: terms(p), p, None)[0]  # noqa: E731
    steps = int(size.values / per_step)
    looks = np.unique(np.geomspace(max(1, 50 / per_step), steps, _LOOKS).astype(int)) - 1
    start = jnp.ones(each.dimension)

    def one(rate: Any, key: Any) -> Any:
        search = eqx.tree_at(lambda m: m.rate, method, rate)
        found = run(search, terms, start, key, steps=steps,
                    record=lambda state, info: (state.x, info.calls))  # fmt: skip
        x, calls = found.history
        return jax.lax.map(norm, start + x[looks]), jnp.cumsum(calls)[looks]

    keys = jax.random.split(jax.random.key(0), _SEEDS)
    runs = jax.jit(lambda r: jax.lax.map(lambda r: jax.lax.map(lambda k: one(r, k), keys), r))
    norms, asked = (
        np.asarray(found, float) for found in runs(jnp.asarray(size.rates, jnp.float32))
    )
    first = float(jax.jit(norm)(start))
    return np.stack([passage(norms, asked, share * first) for share in shares], axis=1)


def passage(norms: np.ndarray, asked: np.ndarray, target: float) -> np.ndarray:
    """Return what had been asked when norms (..., looks) first kept a target; infinite for never.

    Example:
        >>> print(passage(np.array([3.0, 1.0, 2.0]), np.array([10.0, 20.0, 30.0]), 1.5))
        20.0
    """
    good = norms <= target
    at = np.argmax(good, axis=-1)[..., None]
    return np.where(good.any(axis=-1), np.take_along_axis(asked, at, axis=-1)[..., 0], np.inf)


def tuned(found: Sequence[np.ndarray]) -> np.ndarray:
    """Return for every share the costs (shares, seeds) of the setting with the least median.

    Args:
        found: costs (rates, shares, seeds), for every batch.
    """
    stacked = np.concatenate(found)
    best = np.argmin(np.median(stacked, axis=-1), axis=0)
    return stacked[best, np.arange(stacked.shape[1])]


def compare(each: Task, size: Size, progress: Progress) -> tuple[np.ndarray, np.ndarray]:
    """Return the costs (shares, seeds) of GFM and of GFM+, both tuned for every share."""
    progress(f"{each.name}: GFM")
    plain = tuned([costs(each, GFM(_RADIUS, 1.0, b), 2 * b, size, _TARGETS) for b in size.plain])
    progress(f"{each.name}: GFM+")
    return plain, recursive(each, size, _TARGETS)


def recursive(each: Task, size: Size, shares: Sequence[float]) -> np.ndarray:
    """Return the costs (shares, seeds) of GFM+, tuned for every share."""
    d, found = each.dimension, []
    for large, period, small in [*size.plus, *((m * m * d, m, m * d) for m in size.periods)]:
        per_step = (2 * large + 4 * small * (period - 1)) / period
        method = GFMPlus(_RADIUS, 1.0, float(period), large, small)
        found.append(costs(each, method, per_step, size, shares))
    return tuned(found)


def _measure(fast: bool, progress: Progress) -> Measurement:
    size = _FAST if fast else _FULL
    values: dict[str, list[float]] = {}
    failed, told = [], []
    for name in size.names:
        plain, plus = compare(task(name), size, progress)
        for share, a, b in zip(_TARGETS, plain, plus, strict=True):
            values[f"{name}: values of GFM to {share:g}"] = _finite(a)
            values[f"{name}: values of GFM+ to {share:g}"] = _finite(b)
        finer = [1 / share for share in _TARGETS]
        orders = [exponent(finer, np.median(each, axis=1)) for each in (plain, plus)]
        ratios = _ratios(plain[-1], plus[-1])
        told.append(
            f"{name}: GFM needs {spread(ratios, 'x')} the values of GFM+ to {_TARGETS[-1]:g} of "
            f"the norm; its values grow {_power(orders[1])} (those of GFM {_power(orders[0])})"
        )
        failed += [f"values beside GFM on {name}"] if not np.median(ratios) > _RATIO else []
        failed += [f"the order in the accuracy on {name}"] if not orders[1] <= _ORDER else []
    if size.wider:
        progress("more dimensions")
        wide = [task("breast cancer", k) for k in size.wider]
        found = [recursive(each, size, _TARGETS[:1])[0] for each in wide]
        in_d = exponent([each.dimension for each in wide], np.median(found, axis=1))
        for each, row in zip(wide, found, strict=True):
            values[f"d = {each.dimension}: values of GFM+ to {_TARGETS[0]:g}"] = _finite(row)
        told.append(f"values of GFM+ grow as d^{in_d:.2f}")
        failed += ["the order in the dimension"] if not in_d <= _DIMENSION_ORDER else []
    return Measurement(
        values=values, summary="; ".join(told), holds=not failed, reason=_reason(failed)
    )


def _ratios(plain: np.ndarray, plus: np.ndarray) -> list[float]:
    """Return how many times the values of GFM+ GFM needs; 0 where GFM+ never got there."""
    return [float(a / b) if np.isfinite(b) else 0.0 for a, b in zip(plain, plus, strict=True)]


def _power(exponent: float) -> str:
    if np.isinf(exponent):
        return "beyond what a run may ask for"
    return f"as accuracy^-{exponent:.2f}"


def _finite(numbers: Any) -> list[float]:
    """Return the numbers with 0 for what never ended."""
    return [float(x) if np.isfinite(x) else 0.0 for x in np.ravel(numbers)]


def _reason(failed: list[str]) -> str:
    return (f"Not as claimed: {'; '.join(failed)}. " if failed else "Every part holds. ") + (
        "Both methods have the best of as many settings for every accuracy. The published program "
        "takes both points of a correction at the same place, so that its corrections are 0 and a "
        "large batch serves for a whole period; here they are taken as in the paper. A first run "
        "with all features of breast cancer, where the loss can be 0, and down to 0.05 of the norm "
        "did not hold: GFM was there after 150 values. A second one, without the settings that the "
        "theory wants, did not either, and a third one with five of each kind had both methods at "
        "about 79,000 values on breast cancer, and neither at the finest norm on digits."
    )


claim = Claim(
    name="gfm_plus",
    card=card,
    paper=(
        "O(d^(3/2) D L^2 / (delta epsilon^3)) values to a (delta, epsilon)-Goldstein stationary "
        "point, where GFM takes epsilon^-4; faster than GFM on support vector machines with a "
        "capped penalty, on six tables (delta = 0.001)."
    ),
    setting=(
        "The same machine, alpha = 2 and lambda = 1e-5 / n, from weights that are all 1, on ten "
        "features of scikit-learn's breast cancer and (not fast) the parity of its digits, with "
        f"delta = {_RADIUS:g}. Values asked for until the norm of the gradient of the mean over "
        f"the ball, from {_SAMPLES} exact gradients, is "
        f"{', '.join(f'{share:g}' for share in _TARGETS)} of that at the start; at most "
        f"{_FULL.values:,} (fast: {_FAST.values:,}). {len(_RATES)} rates for each of {len(_PLAIN)} "
        f"batches of GFM and as many settings of GFM+ (fast: {len(_FAST.rates)} and "
        f"{len(_FAST.plain)}); {_SEEDS} seeds. For the dimension (not fast) parameters that only "
        f"the penalty sees are added, up to {max(_WIDER)} times the features."
    ),
    threshold=(
        "as medians over the seeds, on each table: GFM needs more values than GFM+ to the smallest "
        f"norm, and those of GFM+ grow at most as accuracy^-{_ORDER:g}; in the dimension at most "
        f"as d^{_DIMENSION_ORDER:g}"
    ),
    measure=_measure,
)
