"""Certificates, against SciPy and where the true radius is known."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from parafree.blackbox import Smoothed
from parafree.blackbox.smoothed import ABSTAIN, deviations, lower_bound
from parafree.core.errors import MethodError


def linear(p: Any, x: Any) -> Any:
    """Two classes, with a plane between them: p is its normal and its offset."""
    normal, offset = p
    side = x @ normal + offset
    return jnp.stack([side, -side], axis=-1)


def certify(each: Smoothed, f: Any, p: Any, x: Any, seed: int = 0) -> Any:
    return jax.jit(lambda key: each.estimate(key, f, p, x))(jax.random.key(seed))


@pytest.mark.parametrize("failure", [0.001, 0.05, 0.4])
@pytest.mark.parametrize("draws", [1, 10, 1000])
def test_reference_the_bound_is_that_of_scipy(draws: int, failure: float) -> None:
    hits = np.unique(np.linspace(0, draws, 12, dtype=int))
    found = lower_bound(hits, draws, failure)
    for k, low in zip(hits, found, strict=True):
        test = stats.binomtest(int(k), draws, alternative="greater")
        exact = test.proportion_ci(1 - failure, method="exact").low
        assert low == pytest.approx(exact, abs=1e-10)
    some = hits[hits > 0]
    np.testing.assert_allclose(found[hits > 0], stats.beta.ppf(failure, some, draws - some + 1))


@settings(deadline=None, max_examples=50)
@given(
    draws=st.integers(1, 300),
    failure=st.floats(1e-4, 0.5),
    p=st.floats(0.01, 0.99),
)
def test_the_bound_is_above_the_truth_no_more_often_than_promised(
    draws: int, failure: float, p: float
) -> None:
    """Exactly, not by simulation: the sum over all counts that would put it above."""
    hits = np.arange(draws + 1)
    wrong = lower_bound(hits, draws, failure) > p * (1 + 1e-12)
    assert stats.binom.pmf(hits, draws, p)[wrong].sum() <= failure * (1 + 1e-9)


def test_deviations_are_never_above_the_exact_ones() -> None:
    found = deviations(500, 0.01).astype(float)
    exact = stats.norm.ppf(lower_bound(np.arange(501), 500, 0.01))
    assert found[0] == exact[0] == -np.inf
    assert (found <= exact).all()
    np.testing.assert_allclose(found[1:], exact[1:], rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("noise", [0.25, 1.0])
def test_reference_a_linear_classifier_is_certified_up_to_its_margin(noise: float) -> None:
    """A plane stays where it is under noise, so the true radius is the distance from it."""
    normal, offset = np.array([0.6, -0.8, 0.0, 2.0]), 0.3
    x = np.random.default_rng(0).normal(size=(40, 4))
    margin = (x @ normal + offset) / np.linalg.norm(normal)
    p = jnp.asarray(normal, jnp.float32), jnp.float32(offset)
    each = Smoothed(noise, first=5000, draws=20_000, block=1000)
    found, info = certify(each, linear, p, jnp.asarray(x, jnp.float32))
    sure = np.asarray(found.label) != ABSTAIN
    assert (np.asarray(found.label)[sure] == (margin < 0)[sure]).all()
    assert (np.asarray(found.radius) <= np.abs(margin)).all()  # 40 at 0.001: all but surely
    assert (np.abs(margin)[~sure] < 0.1 * noise).all()
    # Within 1.5 deviations the bound is so tight that little of the margin is lost.
    near = sure & (np.abs(margin) < 1.5 * noise)
    assert near.sum() >= 5
    assert (np.asarray(found.radius)[near] > np.abs(margin)[near] - 0.1 * noise).all()
    far = np.abs(margin) > 5 * noise
    most = noise * stats.norm.ppf(0.001 ** (1 / 20_000))
    np.testing.assert_allclose(np.asarray(found.radius)[far], most, rtol=1e-5)
    assert int(info.calls) == 25_000
    assert (np.asarray(info.hits) <= 20_000).all()


def test_certificates_are_wrong_no_more_often_than_promised() -> None:
    """Few draws and a failure of a fifth: the radius is above the margin that seldom."""
    each = Smoothed(1.0, first=5, draws=40, failure=0.2, block=40)
    margins = jnp.linspace(0.05, 1.5, 8)
    x = jnp.repeat(margins, 500)[:, None]
    found, _ = certify(each, linear, (jnp.ones(1), jnp.float32(0)), x)
    wrong = (found.label == 1) | (found.radius > x[:, 0])
    share = np.asarray(wrong).reshape(8, 500).mean(axis=1)
    assert (share <= 0.2 + 3 * np.sqrt(0.2 * 0.8 / 500)).all()
    assert share.max() > 0.05  # a bound that never fails would be too careful


def test_what_is_even_or_not_a_number_is_left_undecided() -> None:
    x = jnp.array([[0.0], [3.0], [jnp.nan]])
    found, info = certify(Smoothed(0.5, draws=200), linear, (jnp.ones(1), jnp.float32(0)), x)
    np.testing.assert_array_equal(found.label, [ABSTAIN, 0, ABSTAIN])
    np.testing.assert_array_equal(found.radius[jnp.array([0, 2])], 0)
    assert int(info.hits[1]) == 200 and int(info.hits[2]) == 0


def test_draws_do_not_depend_on_how_they_are_cut_into_blocks() -> None:
    x = jnp.linspace(-1, 1, 6)[:, None]
    p = jnp.ones(1), jnp.float32(0)
    one, other = (Smoothed(1.0, 10, 73, block=b) for b in (7, 64))
    a, b = certify(one, linear, p, x), certify(other, linear, p, x)
    np.testing.assert_array_equal(a[0].label, b[0].label)
    np.testing.assert_array_equal(a[1].hits, b[1].hits)


@pytest.mark.parametrize("bad", [{"draws": 0}, {"first": 1.5}, {"failure": 1.0}, {"failure": 0.0}])
def test_bad_settings_are_refused(bad: Any) -> None:
    with pytest.raises(MethodError):
        Smoothed(**bad)
