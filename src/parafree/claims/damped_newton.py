"""Damped Newton (arXiv:2405.18926): global convergence of order 3, without a constant to know."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from parafree.claims import _data
from parafree.claims._claim import Claim, Measurement, Progress
from parafree.claims._power_law import exponent
from parafree.optim.damped_newton import DampedNewton, card

_ORDER = 3.0
_HIGH, _LOW = 1e-1, 1e-6  # of the gap at the start: the phase in which the order is measured
_RIDGE = 1e-4
_START = 2.0  # every weight, on standardised features: far from the minimum
_STEPS = 80
_FIRST_ORDER_STEPS = 5000
_FAST_STEPS = 2000


class Problem(NamedTuple):
    """A regularised logistic regression; rows are features times labels of +1 and -1."""

    name: str
    rows: np.ndarray  # (n, d)


class Path(NamedTuple):
    """A method's way on one problem."""

    order: float  # minus the slope of log gap over log step, between both ends of the phase
    steps: float  # to a gap of _LOW; infinite where it never got there
    gap: float  # at the end, over that at the start; NaN or infinite: it diverged


def problems(fast: bool) -> list[Problem]:
    """Return tasks from scikit-learn's breast cancer and digits."""
    from sklearn.datasets import load_breast_cancer

    x, y = load_breast_cancer(return_X_y=True)
    digits = _data.digits()
    found = [
        ("breast cancer", x, y == 1),
        ("digits: even or odd", digits.train_x, digits.train_y % 2 == 0),
        ("digits: is it 8", digits.train_x, digits.train_y == 8),
        ("digits: is it 1", digits.train_x, digits.train_y == 1),
    ]
    return [Problem(name, _rows(x, label)) for name, x, label in found[: 3 if fast else 4]]


def _rows(x: np.ndarray, label: np.ndarray) -> np.ndarray:
    x = np.asarray(x, float)
    x = (x - x.mean(0)) / np.where(x.std(0) > 0, x.std(0), 1)
    return np.c_[x, np.ones(len(x))] * np.where(label, 1.0, -1.0)[:, None]


def measure_path(values: np.ndarray, least: float) -> Path:
    """Return a path's order and length from the objective at its steps, the start first.

    Example:
        >>> path = measure_path(1 / np.arange(1.0, 2000.0) ** 2.5, 0.0)
        >>> round(path.order, 2), path.steps
        (2.5, 251.0)
    """
    gap = (values - least) / (values[0] - least)
    inside = np.flatnonzero((gap <= _HIGH) & (gap >= _LOW))
    # From the last step before the phase to the first one after it, so that two are there always.
    reached = gap < _LOW
    end = int(np.argmax(reached)) if reached.any() else len(gap) - 1
    begin = max(1, int(inside[0]) - 1) if len(inside) else max(1, end - 1)
    steps = np.arange(begin, end + 1)
    usable = steps[gap[steps] > 0]
    order = 0.0
    if len(usable) > 1 and np.isfinite(gap[usable]).all():
        order = -exponent(usable + 1, gap[usable])
    return Path(order, float(end) if reached.any() else np.inf, float(gap[-1]))


def _newton(problem: Problem) -> tuple[np.ndarray, np.ndarray]:
    """Return the objective along damped Newton's path, and along that of plain Newton."""
    import jax
    import jax.numpy as jnp

    from parafree import run

    rows = jnp.asarray(problem.rows)

    def objective(p: Any) -> Any:
        return jnp.mean(jnp.logaddexp(0.0, -rows @ p)) + _RIDGE / 2 * p @ p

    start = jnp.full(rows.shape[1], _START)
    found = run(
        DampedNewton(), objective, start, jax.random.key(0), steps=_STEPS,
        record=lambda state, info: state.value,
    )  # fmt: skip

    def step(p: Any, _: Any) -> Any:
        p = p - jnp.linalg.solve(jax.hessian(objective)(p), jax.grad(objective)(p))
        return p, objective(p)

    plain = jax.jit(lambda p: jax.lax.scan(step, p, length=_STEPS)[1])(start)
    first = np.asarray(objective(start))
    return np.r_[first, found.history], np.r_[first, np.asarray(plain)]


def _descent(problem: Problem, steps: int) -> np.ndarray:
    """Return the objective along gradient descent with an adaptive step size, as in the paper."""
    import jax
    import jax.numpy as jnp

    rows = jnp.asarray(problem.rows)

    def objective(p: Any) -> Any:
        return jnp.mean(jnp.logaddexp(0.0, -rows @ p)) + _RIDGE / 2 * p @ p

    def step(carry: Any, _: Any) -> Any:
        p, smooth = carry
        value, grad = jax.value_and_grad(objective)(p)
        square = grad @ grad

        def short(smooth: Any) -> Any:
            return objective(p - grad / smooth) > value - square / (2 * smooth)

        smooth = jax.lax.while_loop(short, lambda smooth: 2 * smooth, smooth)
        p = p - grad / smooth
        return (p, jnp.maximum(smooth / 2, 1e-5)), objective(p)

    start = jnp.full(rows.shape[1], _START)
    path = jax.jit(lambda c: jax.lax.scan(step, c, length=steps)[1])
    return np.r_[np.asarray(objective(start)), np.asarray(path((start, jnp.float64(1.0))))]


def _measure(fast: bool, progress: Progress) -> Measurement:
    import jax

    damped, plain, descent = [], [], []
    names = []
    steps = _FAST_STEPS if fast else _FIRST_ORDER_STEPS
    with jax.enable_x64(True):
        for problem in problems(fast):
            progress(f"Newton and gradient descent on {problem.name}")
            ours, newton = _newton(problem)
            slow, least = _descent(problem, steps), float(np.min(ours))
            names.append(problem.name)
            damped.append(measure_path(ours, least))
            plain.append(measure_path(newton, least))
            descent.append(measure_path(slow, least))
    holds = all(
        ours.order >= _ORDER and ours.steps < slow.steps and slow.order < ours.order
        for ours, slow in zip(damped, descent, strict=True)
    )
    lost = [n for n, each in zip(names, plain, strict=True) if not each.gap < 1]
    return Measurement(
        values={
            "order of damped Newton": [each.order for each in damped],
            "order of gradient descent": [each.order for each in descent],
            "steps of damped Newton": [each.steps for each in damped],
            "steps of gradient descent (0: never)": [_finite(each.steps) for each in descent],
            "steps of plain Newton (0: never)": [_finite(each.steps) for each in plain],
        },
        summary=(
            f"order {_list(damped, 'order')} on {', '.join(names)}, in {_list(damped, 'steps')} "
            f"steps; gradient descent {_list(descent, 'order')}"
        ),
        holds=holds,
        reason=(
            "Damped Newton reaches a millionth of the first gap everywhere without a constant; "
            f"gradient descent needs {_list(descent, 'steps')} steps (of at most "
            f"{steps}), and plain Newton from the same point "
            + (f"diverges on {', '.join(lost)}." if lost else "converges too.")
        ),
    )


def _finite(number: float) -> float:
    return number if np.isfinite(number) else 0.0


def _list(paths: list[Path], field: str) -> str:
    return ", ".join(f"{getattr(each, field):.3g}" for each in paths)


claim = Claim(
    name="damped_newton",
    card=card,
    paper=(
        "Global convergence up to O(k^-3), with a backtracking that needs no smoothness constant; "
        "logistic regression and polytope feasibility, against gradient descent, AICN and "
        "regularised Newton."
    ),
    setting=(
        "Logistic regression on scikit-learn's breast cancer and on tasks with its digits (fast: "
        f"three problems, otherwise four), standardised, with a ridge of {_RIDGE:g}, from weights "
        f"that are all {_START:g}, in float64. The order is minus the slope of the gap over the "
        f"number of the step, in logarithms, from {_HIGH:g} to {_LOW:g} of the gap at the start."
    ),
    threshold=(
        f"the order is at least {_ORDER:g} on every problem, above that of gradient descent with "
        f"an adaptive step size, and {_LOW:g} is reached in fewer steps"
    ),
    measure=_measure,
)
