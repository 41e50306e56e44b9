"""Where models keep their limits and the first is lowest, against SciPy's SLSQP."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import minimize

from parafree.blackbox import Region
from parafree.blackbox._frame import frame
from parafree.blackbox._multipliers import aim_within
from parafree.blackbox._quadratic import Quadratic

D, LIMITS, RADIUS = 4, 6, 3.0


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


def _models(seed):
    """A bowl beside limits that are kept at 0: half of them curve, all differ in their units."""
    rng = np.random.default_rng(seed)
    half = rng.normal(size=(1 + LIMITS, D, D))
    curvature = np.einsum("nij,nkj->nik", half, half)
    curvature[1 : 1 + LIMITS // 2] = 0
    slope = np.concatenate([6 * rng.normal(size=(1, D)), rng.normal(size=(LIMITS, D))])
    unit = 10.0 ** rng.uniform(-3, 3, 1 + LIMITS)
    offset = unit * np.concatenate([[5.0], -rng.uniform(0.1, 1, LIMITS)])
    parts = np.zeros(D), np.eye(D), np.zeros(1 + LIMITS), slope, curvature, offset, unit
    return Quadratic(*map(jnp.asarray, parts))


def _reference(models, axes, bound):
    """The best of ten starts."""
    expected = jax.jit(lambda x: models.expected(x[None])[0] / models.unit)
    slopes = jax.jit(jax.jacobian(expected))
    within = [
        {
            "type": "ineq",
            "fun": lambda x: -np.asarray(expected(x))[1:],
            "jac": lambda x: -np.asarray(slopes(x))[1:],
        },
        {"type": "ineq", "fun": lambda x: RADIUS**2 - np.sum(np.linalg.solve(axes, x) ** 2)},
    ]
    rng, found = np.random.default_rng(0), []
    for _ in range(10):
        ended = minimize(
            lambda x: float(expected(x)[0]), 0.1 * rng.normal(size=D), method="SLSQP",
            jac=lambda x: np.asarray(slopes(x))[0], constraints=within,
            bounds=[(-bound, bound)] * D, options={"ftol": 1e-12, "maxiter": 500},
        )  # fmt: skip
        if ended.success:
            found.append(ended.fun)
    return min(found)


@pytest.mark.parametrize("seed", range(4))
def test_reference_it_is_as_low_as_slsqp_within_all_limits(seed):
    assert _missed(seed, 100.0) == pytest.approx((0, 0), abs=1e-3)


@pytest.mark.parametrize("seed", range(4))
def test_reference_it_is_about_as_low_where_bounds_are_in_the_way(seed):
    """A coordinate at its bound is found from step to step, which may not settle in so few."""
    assert _missed(seed, 0.4) == pytest.approx((0, 0), abs=3e-2)


def _missed(seed, bound):
    """How far the first figure is from the lowest one, and how far others are beyond limits."""
    models, where = _models(seed), frame(Region(jnp.zeros(D), low=-bound, high=bound, scale=1.0))
    axes = np.linalg.qr(np.random.default_rng(seed).normal(size=(D, D)))[0]
    x = aim_within(models, where, jnp.zeros(D), jnp.asarray(axes), RADIUS)
    figures = np.asarray(models.expected(x[None])[0] / models.unit)
    assert np.abs(x).max() <= bound
    return figures[0] - _reference(models, axes, bound), max(0.0, figures[1:].max())
