"""Zeroth-order Frank-Wolfe (arXiv:1810.03233): the order in T and in d, on a lasso and beyond."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from parafree.blackbox.zeroth_order_frank_wolfe import ZerothOrderFrankWolfe, card
from parafree.claims import _convex
from parafree.claims._claim import Claim, Measurement, Progress
from parafree.claims._power_law import exponent, exponents

_SEEDS = 10
_CONVEX_ORDER = 1 / 3  # of the gap in T, at least
_OTHER_ORDER = 1 / 4  # of the Frank-Wolfe gap in T, where the function is not convex
_DIMENSION_ORDER = 1 / 3  # of either gap in d, at most
_LENGTHS = (1_000, 4_000, 16_000, 64_000)
_OTHER_LENGTHS = (500, 2_000, 8_000, 32_000)
_FAST_LENGTHS = (250, 1_000, 4_000)
_WIDER = (1, 4, 16)  # times the number of features
_SHARE = 0.5  # of the l1 norm of least squares: the radius of the ball
_LOOKS = 50  # at the Frank-Wolfe gap along a run


class Problem(NamedTuple):
    """A mean over the rows of a table, on an l1 ball."""

    x: np.ndarray  # (n, d)
    y: np.ndarray  # (n,)
    radius: float


def lasso(wider: int) -> Problem:
    """Return scikit-learn's diabetes, with features beside it that are 0 everywhere.

    Those have no effect, so no constant of the bounds grows with the dimension, while whoever
    looks for the minimum has more to choose from.
    """
    x, y = _convex.rows("diabetes")
    x = x[:, :-1]  # both sides have mean 0
    radius = _SHARE * np.abs(np.linalg.lstsq(x, y, rcond=None)[0]).sum()
    return Problem(np.pad(x, ((0, 0), (0, (wider - 1) * x.shape[1]))), y, float(radius))


def least(task: Problem) -> float:
    """Return the minimum of half the mean squared residual on the ball, from the exact path."""
    from sklearn.linear_model import lars_path

    x = task.x[:, np.any(task.x != 0, axis=0)]
    _, _, path = lars_path(x, task.y, method="lasso")  # linear between its points
    norms = np.abs(path).sum(0)
    at = np.array([np.interp(task.radius, norms, row) for row in path])
    return float(0.5 * np.mean((x @ at - task.y) ** 2))


def squares(p: Any, rows: Any) -> Any:
    """Return half the squared residual of every row."""
    x, y = rows
    return 0.5 * (x @ p - y) ** 2


def bounded(p: Any, rows: Any) -> Any:
    """Return a loss that grows no further where the residual is large; it is not convex."""
    x, y = rows
    square = (x @ p - y) ** 2
    return square / (1 + square)


def gaps(task: Problem, differences: Any, lengths: Sequence[int]) -> np.ndarray:
    """Return the gap to the minimum after so many steps (lengths, seeds), of the lasso."""
    import jax
    import jax.numpy as jnp

    from parafree import run
    from parafree.blackbox import L1Ball
    from parafree.core.objective import FiniteSum

    terms = FiniteSum(squares, (jnp.asarray(task.x), jnp.asarray(task.y)))
    search = ZerothOrderFrankWolfe(L1Ball(task.radius), differences)
    start = jnp.zeros(task.x.shape[1])

    def one(key: Any) -> Any:
        found = run(search, terms, start, key, steps=max(lengths),
                    record=lambda state, info: state.x)  # fmt: skip
        return jax.lax.map(terms, found.history[jnp.asarray(lengths) - 1])

    keys = jax.random.split(jax.random.key(0), _SEEDS)
    return np.asarray(jax.jit(lambda keys: jax.lax.map(one, keys))(keys)).T - least(task)


class Gaps(NamedTuple):
    """Frank-Wolfe gaps along runs, each (lengths, seeds)."""

    mean: np.ndarray
    least: np.ndarray


def frank_wolfe_gaps(task: Problem, differences: Any, lengths: Sequence[int]) -> Gaps:
    """Return the Frank-Wolfe gaps over runs of so many steps, for a loss that is not convex.

    For each length the rate is the paper's, T^(-3/4). The gap is exact, with all rows, and looked
    at evenly along the run: the mean is that of a point drawn from the run.
    """
    import jax
    import jax.numpy as jnp

    from parafree import run
    from parafree.blackbox import L1Ball
    from parafree.core.objective import FiniteSum

    terms = FiniteSum(bounded, (jnp.asarray(task.x), jnp.asarray(task.y)))
    start = jnp.zeros(task.x.shape[1])

    def gap(p: Any) -> Any:
        g = jax.grad(terms)(p)
        return g @ p + task.radius * jnp.max(jnp.abs(g))

    def one(length: int, key: Any) -> Any:
        search = ZerothOrderFrankWolfe(L1Ball(task.radius), differences, rate=length**-0.75)
        found = run(search, terms, start, key, steps=length,
                    record=lambda state, info: state.x)  # fmt: skip
        looks = jax.lax.map(gap, found.history[:: length // _LOOKS])
        return jnp.mean(looks), jnp.min(looks)

    keys = jax.random.split(jax.random.key(0), _SEEDS)
    each = [
        jax.jit(lambda keys, n=n: jax.lax.map(lambda key: one(n, key), keys))(keys) for n in lengths
    ]
    return Gaps(*(np.stack([np.asarray(found[i]) for found in each]) for i in range(2)))


def falls(lengths: Sequence[float], gaps: np.ndarray) -> list[float]:
    """Return for each seed the power of the length by which gaps (lengths, seeds) fall."""
    return [-each for each in exponents(lengths, gaps)]


def _measure(fast: bool, progress: Progress) -> Measurement:
    import jax

    with jax.enable_x64(True):
        return _measured(fast, progress)


def _measured(fast: bool, progress: Progress) -> Measurement:
    from parafree.blackbox import IRDSA, KWSA, RDSA

    kinds = {"RDSA": RDSA()} if fast else {"RDSA": RDSA(), "I-RDSA": IRDSA(6), "KWSA": KWSA()}
    wider = _WIDER[:2] if fast else _WIDER
    lengths = _FAST_LENGTHS if fast else _LENGTHS
    others = _FAST_LENGTHS if fast else _OTHER_LENGTHS
    tasks = [lasso(k) for k in wider]
    dimensions = [float(task.x.shape[1]) for task in tasks]
    values: dict[str, list[float]] = {}
    convex, other = {}, {}
    found, along = {}, {}
    for name, kind in kinds.items():
        progress(f"a lasso with {name}")
        found[name] = gaps(tasks[0], kind, lengths)
        progress(f"a loss that is not convex with {name}")
        along[name] = frank_wolfe_gaps(tasks[0], kind, others)
        convex[name] = exponent(lengths, found[name].mean(axis=1))
        other[name] = exponent(others, along[name].mean.mean(axis=1))
        values[f"{name}: order of the gap in T"] = falls(lengths, found[name])
        values[f"{name}: order of the mean Frank-Wolfe gap in T"] = falls(others, along[name].mean)
        values[f"{name}: order of the least Frank-Wolfe gap in T"] = falls(
            others, along[name].least
        )
    progress("more dimensions")
    kind, more = kinds["RDSA"], tasks[1:]
    wide = np.stack([found["RDSA"][-1], *(gaps(t, kind, lengths[-1:])[0] for t in more)])
    others_wide = [frank_wolfe_gaps(t, kind, others[-1:]).mean[0] for t in more]
    wide_other = np.stack([along["RDSA"].mean[-1], *others_wide])
    in_d = exponent(dimensions, wide.mean(axis=1))
    other_in_d = exponent(dimensions, wide_other.mean(axis=1))
    for d, row, other_row in zip(dimensions, wide, wide_other, strict=True):
        values[f"d = {d:g}: gap, {lengths[-1]} steps of RDSA"] = row.tolist()
        values[f"d = {d:g}: mean Frank-Wolfe gap, {others[-1]} steps of RDSA"] = other_row.tolist()
    failed = _failed(convex, other, in_d, other_in_d)
    return Measurement(
        values=values
        | {
            "order of the gap in d": exponents(dimensions, wide),
            "order of the mean Frank-Wolfe gap in d": exponents(dimensions, wide_other),
        },
        summary=(
            "the gap falls as "
            + ", ".join(f"T^{slope:.2f} ({name})" for name, slope in convex.items())
            + f" and grows as d^{in_d:.2f}; where the function is not convex the Frank-Wolfe gap "
            + "falls as "
            + ", ".join(f"T^{slope:.2f} ({name})" for name, slope in other.items())
            + f" and grows as d^{other_in_d:.2f}"
        ),
        holds=not failed,
        reason=(
            (f"Not as claimed: {'; '.join(failed)}. " if failed else "Every part holds. ")
            + "The bounds are for the worst function; a gap that falls faster keeps them. Where "
            "the function is not convex the steps of a run add up to T^(1/4), a few times the way "
            "to a minimum, so the beginning of the run weighs in the mean of the gap; the least "
            "gap of a run, which decides nothing here, falls faster. A first run had shuffled "
            "copies of the features in place of zeros for the dimension; with them rows, and so "
            "the noise, grow as well, and the gap grew as d^0.78."
        ),
    )


def _failed(
    convex: dict[str, float], other: dict[str, float], in_d: float, other_in_d: float
) -> list[str]:
    parts = {
        **{f"the gap in T, {name}": slope <= -_CONVEX_ORDER for name, slope in convex.items()},
        **{
            f"the Frank-Wolfe gap in T, {name}": slope <= -_OTHER_ORDER
            for name, slope in other.items()
        },
        "the gap in d": in_d <= _DIMENSION_ORDER,
        "the Frank-Wolfe gap in d": other_in_d <= _DIMENSION_ORDER,
    }
    return [part for part, good in parts.items() if not good]


claim = Claim(
    name="zeroth_order_frank_wolfe",
    card=card,
    paper=(
        "The gap to the minimum is O((d / T)^(1/3)) with one directional derivative a step for "
        "convex functions; for others the Frank-Wolfe gap is O(d^(1/3) T^(-1/4)). Shown on a "
        "lasso, on Cox regression and on attacks on images."
    ),
    setting=(
        "Least squares on scikit-learn's diabetes, standardised, in an l1 ball of "
        f"{_SHARE:g} of the norm of its solution, one random row a step; the minimum is taken from "
        "the exact path of the lasso. Orders are slopes of the logarithm of the mean gap, over "
        f"{_SEEDS} seeds, at {', '.join(map(str, _LENGTHS))} steps. Not convex: the same with "
        f"r^2 / (1 + r^2) for the residual r, at {', '.join(map(str, _OTHER_LENGTHS))} steps with "
        "the rate T^(-3/4), the Frank-Wolfe gap averaged over the run. For the dimension features "
        f"that are 0 everywhere are added, up to {max(_WIDER)} times as many. Fast: RDSA alone, "
        f"{', '.join(map(str, _FAST_LENGTHS))} steps, up to {_WIDER[1]} times the features."
    ),
    threshold=(
        "on average over the seeds the gap falls at least as T^(-1/3) for RDSA, I-RDSA and KWSA, "
        "the Frank-Wolfe gap at least as T^(-1/4), and with RDSA neither grows faster than d^(1/3)"
    ),
    measure=_measure,
)
