"""The quadratic model against least squares, refitting and random search."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import kendalltau

from parafree.blackbox import Region
from parafree.blackbox._frame import frame
from parafree.blackbox._quadratic import (
    Prior,
    Quadratic,
    agreement,
    aim,
    fit,
    prior_of,
    without_strays,
)

D = 3
COEFFICIENTS = (D + 1) * (D + 2) // 2


@pytest.fixture(autouse=True)
def double():
    with jax.enable_x64(True):
        yield


PRIORS = [prior_of(D, float, learned=learned) for learned in (True, False)]


def features(q: np.ndarray, prior: Prior) -> np.ndarray:
    """The monomials and |q|^2, weighted so that their inner product is the kernel.

    It is 1000 + 20 d ab + (ab)^2 + 100 |a|^2 |b|^2 or, where axes are not learned,
    1000 + 10 ab + (ab)^2.
    """
    slope, even = (20 * D, 100) if prior == PRIORS[0] else (10, 0)
    pairs = [np.sqrt(2) * q[:, i] * q[:, j] for i, j in combinations(range(D), 2)]
    squares = [q[:, i] ** 2 for i in range(D)]
    round_ = np.sqrt(even) * np.sum(q**2, axis=1)
    first = np.full(len(q), np.sqrt(1000))
    return np.stack([first, *np.sqrt(slope) * q.T, *squares, *pairs, round_], axis=1)


def data(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, D)), rng.normal(size=n), rng.normal(size=(D, D))


def fitted(
    x: Any, values: Any, axes: Any, judged: Any = None, prior: Prior = PRIORS[0]
) -> tuple[Quadratic, Any]:
    """The model of one figure, and what it says of points that are left out."""
    values = jnp.asarray(values)
    x, inverse = jnp.asarray(x), jnp.asarray(np.linalg.inv(axes))
    model, left_out = fit(x, values[:, None], values, inverse, prior, judged)
    return model.figure(0), left_out[:, 0]


@pytest.mark.parametrize("prior", PRIORS)
def test_reference_weighted_ridge_regression_on_monomials(prior: Prior) -> None:
    """With fewer, as many and more points than coefficients."""
    for n in (5, COEFFICIENTS, 30):
        x, values, axes = data(n)
        q = (x - x[values.argmin()]) @ np.linalg.inv(axes).T
        z, order = features(q, prior), values.argsort().argsort()
        weights = (20 - 19 * order / (n - 1)) / (1e-9 * np.sum(z[:, :-1] ** 2, axis=1))
        coefficients = np.linalg.solve(
            z.T * weights @ z + np.eye(z.shape[1]), z.T * weights @ values
        )
        model, _ = fitted(x, values, axes, prior=prior)
        new = np.random.default_rng(1).normal(size=(6, D))
        at = (new - x[values.argmin()]) @ np.linalg.inv(axes).T
        expected = features(at, prior) @ coefficients
        # The constant is shrunk towards the lowest value, which is 0 for the model.
        found = model.offset + model.unit * model.guess(jnp.asarray(new))
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


def test_a_quadratic_is_found_as_far_as_the_ridge_allows() -> None:
    x, _, axes = data(25)
    curvature = np.diag([1.0, 10.0, 100.0])
    values = np.einsum("ni,ij,nj->n", x - 0.5, curvature, x - 0.5) + 7
    model, _ = fitted(x, values, axes)
    back = np.asarray(model.inverse).T @ np.asarray(model.curvature) @ np.asarray(model.inverse)
    np.testing.assert_allclose(back * float(model.unit) / 2, curvature, rtol=1e-4, atol=1e-4)
    found = model.lowest(jnp.zeros(D), jnp.eye(D), 10.0)
    # A billionth of a kernel of about a thousand, against a curvature of one.
    np.testing.assert_allclose(found, 0.5, atol=1e-5)


def test_what_curves_evenly_is_found_from_few_points() -> None:
    """A sphere in 20 dimensions from 42 points, fewer than a fifth of the 231 coefficients."""
    d, axes = 20, np.eye(20)
    rng = np.random.default_rng(0)
    x, goal = rng.normal(size=(2 * d + 2, d)), rng.normal(size=d)
    values = np.sum((x - goal) ** 2, axis=1)
    away = []
    for learned in (True, False):
        model, _ = fitted(x, values, axes, prior=prior_of(d, float, learned=learned))
        found = model.lowest(jnp.zeros(d), jnp.eye(d), np.sqrt(d))
        away.append(np.sum((found - goal) ** 2) / np.sum(goal**2))
    assert away[0] < 0.03 < 0.3 < away[1]


def test_a_quadratic_is_found_among_strays() -> None:
    """A fifth of the values is far off, both ways."""
    x, _, axes = data(60)
    rng = np.random.default_rng(1)
    off = np.where(rng.random(60) < 0.2, rng.choice([-1e4, 1e4], 60), 0)
    values = jnp.asarray(np.sum((x - 0.5) ** 2, axis=1) + off)
    kept = without_strays(values)
    assert not np.isfinite(kept[off != 0]).any()
    assert np.isfinite(kept[off == 0]).mean() > 0.9
    inverse = jnp.asarray(np.linalg.inv(axes))
    found = [
        fit(jnp.asarray(x), values[:, None], worth, inverse, PRIORS[0])[0].figure(0)
        .lowest(jnp.zeros(D), jnp.eye(D), 10.0)
        for worth in (kept, values)
    ]  # fmt: skip
    np.testing.assert_allclose(found[0], 0.5, atol=1e-5)
    assert np.linalg.norm(found[1] - 0.5) > 1


def test_values_of_which_most_are_the_same_have_no_strays() -> None:
    values = jnp.array([1.0, 1.0, 1.0, 7.0, jnp.inf])
    np.testing.assert_array_equal(without_strays(values), values)


@pytest.mark.parametrize("prior", PRIORS)
def test_what_is_left_out_is_what_the_other_points_say(prior: Prior) -> None:
    x, values, axes = data(8)
    known = jnp.asarray(np.append(values, np.inf))  # a point that does not count changes nothing
    x = jnp.asarray(np.concatenate([x, np.full((1, D), 9.0)]))
    model, left_out = fitted(x, known, axes, prior=prior)
    q = (np.asarray(x)[:8] - np.asarray(model.centre)) @ np.asarray(model.inverse).T
    y, order = values - values.min(), values.argsort().argsort()
    kernel = features(q, prior) @ features(q, prior).T
    own = np.sum(features(q, prior)[:, :-1] ** 2, axis=1)  # its even part asks for no ridge
    kernel += np.diag(own * 1e-9 / (20 - 19 * order / 7))
    for i in range(8):
        others = np.delete(np.arange(8), i)
        said = kernel[i, others] @ np.linalg.solve(kernel[np.ix_(others, others)], y[others])
        assert float(left_out[i] - values.min()) == pytest.approx(said, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize(("points", "accuracy"), [(8, 1e-7), (14, 1e-4)])
def test_several_figures_are_modelled_each_as_if_it_were_alone(
    points: int, accuracy: float
) -> None:
    """With the weights of the first.

    Beyond the ten coefficients the kernel's matrix has no full rank, and its condition is that of
    the ridge: of sixteen digits some nine are lost, more or fewer by how a processor adds.
    """
    x, values, axes = data(points)
    other = np.sin(x.sum(axis=1)) * 1e3 + 5
    figures = jnp.asarray(np.stack([values, other], axis=1))
    x, values, inverse = jnp.asarray(x), jnp.asarray(values), jnp.asarray(np.linalg.inv(axes))
    models, left_out = fit(x, figures, values, inverse, PRIORS[0])
    new = jnp.asarray(np.random.default_rng(1).normal(size=(6, D)))
    for i in range(2):
        alone, said = fit(x, figures[:, i : i + 1], figures[:, 0], inverse, PRIORS[0])
        one = alone.figure(0)
        expected = one.offset + one.unit * one.guess(new)
        np.testing.assert_allclose(models.expected(new)[:, i], expected, accuracy)
        np.testing.assert_allclose(left_out[:, i], said[:, 0], accuracy)


@pytest.mark.parametrize("judged", [5, 32, 33, 40])
def test_of_those_that_are_judged_it_says_what_it_says_of_all(judged: int) -> None:
    x, values, axes = map(jnp.asarray, data(40))
    whole, all_of_them = fitted(x, values, axes)
    model, some = fitted(x, values, axes, jnp.int32(judged))
    np.testing.assert_allclose(some[:judged], all_of_them[:judged], rtol=1e-6)
    np.testing.assert_array_equal(model.curvature, whole.curvature)


@pytest.mark.parametrize("seed", range(4))
def test_nothing_within_reach_is_lower(seed: int) -> None:
    """Whether the curvature is positive or not."""
    rng = np.random.default_rng(seed)
    half = rng.normal(size=(D, D))
    model = Quadratic(
        jnp.asarray(rng.normal(size=D)), jnp.eye(D), jnp.zeros(()), jnp.asarray(rng.normal(size=D)),
        jnp.asarray(half + half.T), jnp.zeros(()), jnp.ones(()),
    )  # fmt: skip
    axes, mean = rng.normal(size=(D, D)), rng.normal(size=D)
    best = np.asarray(model.lowest(jnp.asarray(mean), jnp.asarray(axes), 2.0))
    z = rng.normal(size=(20000, D))
    z *= 2 * rng.random((20000, 1)) ** (1 / D) / np.linalg.norm(z, axis=1, keepdims=True)
    tried = model.guess(jnp.asarray(mean + z @ axes.T))
    assert float(model.guess(jnp.asarray(best[None]))[0]) <= float(tried.min()) + 1e-9
    assert np.linalg.norm(np.linalg.solve(axes, best - mean)) <= 2 + 1e-6


def test_a_slope_leads_into_the_corner() -> None:
    where = frame(Region(jnp.zeros(D), low=-1.0, high=1.0))
    slope = jnp.asarray([1.0, -10.0, 100.0])
    zero = jnp.zeros((D, D))
    one = jnp.ones(())
    model = Quadratic(jnp.zeros(D), jnp.eye(D), 0 * one, slope, zero, 0 * one, one)
    found = aim(model, where, jnp.zeros(D), jnp.eye(D), 4.0)
    np.testing.assert_allclose(where.point(found), [-1, 1, -1])


def test_reference_kendalls_tau_of_scipy() -> None:
    a, b = np.random.default_rng(0).normal(size=(2, 12))
    counted = np.arange(12) < 9
    expected = kendalltau(a[:9], b[:9])[0]
    assert float(agreement(*map(jnp.asarray, (a, b, counted)))) == pytest.approx(expected)
    assert float(agreement(*map(jnp.asarray, (a, b, counted & (a > 9))))) == -1
