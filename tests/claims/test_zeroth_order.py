"""The claims of the zeroth-order methods with guarantees, where the answer is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from parafree.blackbox import GFM, KWSA
from parafree.claims import _convex, gfm_plus, randomized_smoothing, zeroth_order_frank_wolfe

# Randomised smoothing -----------------------------------------------------------------------


def line(slope=2.0):
    """Absolute deviations of one feature from a line through the origin: |slope - p| on average."""
    x = np.array([[1.0], [-1.0], [0.5], [-1.5]])
    loss = _convex.deviations
    steep = float(np.linalg.norm(x, 2) / 2)
    at, least = randomized_smoothing.minimum("deviations", x, slope * x[:, 0])
    return randomized_smoothing.Problem("line", x, slope * x[:, 0], loss, least, at[0], steep)


def test_a_linear_program_finds_the_minimum_that_is_known():
    task = line()
    assert task.least == pytest.approx(0.0, abs=1e-9) and task.distance == pytest.approx(2.0)
    assert float(task.value(jnp.zeros(3))) == pytest.approx(2.0)  # the mean of |x| is 1
    x, y = np.array([[1.0], [1.0], [2.0]]), np.array([1.0, -1.0, 1.0])
    assert randomized_smoothing.minimum("hinge", x, y)[1] == pytest.approx(2 / 3)


def test_rounds_and_steps_to_a_gap_are_counted():
    task = line()
    assert randomized_smoothing.pairs(16, 0.1) == 80
    near, far = (randomized_smoothing.rounds(task, 2, each, 500) for each in (0.02, 0.4))
    assert np.isfinite(near).all() and (far <= near).all()
    assert np.isinf(randomized_smoothing.rounds(task, 2, 0.02, 2)).all()
    plain = randomized_smoothing.one_at_a_time(task, [0.02], 2000)
    assert plain.shape == (1, 3) and (plain % 10 == 0).all()


def test_the_first_look_that_keeps_a_gap_counts():
    paths = np.array([[3.0, 1.0, 2.0], [3.0, 3.0, np.nan]])
    np.testing.assert_array_equal(randomized_smoothing.reached(paths, 1.5), [20.0, np.inf])
    assert randomized_smoothing.order([1.0, 2.0], np.array([[1.0], [np.inf]])).middle == np.inf


# Zeroth-order Frank-Wolfe -------------------------------------------------------------------


def test_the_path_gives_the_minimum_on_the_ball():
    task = zeroth_order_frank_wolfe.lasso(1)
    least = zeroth_order_frank_wolfe.least(task)
    # Frank-Wolfe with exact gradients and exact line searches comes close from above.
    p = np.zeros(10)
    for _ in range(3000):
        g = task.x.T @ (task.x @ p - task.y) / len(task.y)
        i = np.argmax(np.abs(g))
        way = -p - task.radius * np.sign(g[i]) * np.eye(10)[i]
        p = p + np.clip(-g @ way / np.mean((task.x @ way) ** 2), 0, 1) * way
    value = 0.5 * np.mean((task.x @ p - task.y) ** 2)
    assert least - 1e-9 <= value <= least + 3e-4
    assert zeroth_order_frank_wolfe.lasso(3).x.shape == (442, 30)


def test_gaps_fall_and_orders_are_slopes():
    with jax.enable_x64(True):
        task = zeroth_order_frank_wolfe.lasso(1)
        found = zeroth_order_frank_wolfe.gaps(task, KWSA(), (50, 800))
        assert found.shape == (2, 10) and (found > -1e-9).all()
        assert found[1].mean() < found[0].mean()
        other = zeroth_order_frank_wolfe.frank_wolfe_gaps(task, KWSA(), (50, 800))
        assert (other.least > 0).all() and (other.least <= other.mean).all()
        assert other.mean[1].mean() < other.mean[0].mean()
    assert zeroth_order_frank_wolfe.falls([1, 16], np.array([[2.0], [1.0]])) == pytest.approx(
        [0.25]
    )


# GFM+ ---------------------------------------------------------------------------------------


def test_the_loss_is_that_of_the_paper_and_parameters_beyond_the_features_cost_little():
    rows = jnp.array([[1.0, 0.0], [0.0, 2.0]]), jnp.array([1.0, -1.0]), jnp.full(2, 0.5)
    found = gfm_plus.loss(jnp.array([3.0, 1.0, -0.5]), rows)
    np.testing.assert_allclose(found, [0 + 0.5 * 3.5, 3 + 0.5 * 3.5])
    assert gfm_plus.task("breast cancer", 4).dimension == 4 * 11


def test_values_are_counted_until_the_norm_is_small_and_the_best_setting_counts():
    each = gfm_plus.task("breast cancer")
    size = gfm_plus._FAST._replace(values=1000)
    found = gfm_plus.costs(each, GFM(0.1, 1.0, 10), 20, size, (2.0, 1e-6))
    assert found.shape == (4, 2, 3)
    assert (found[:, 0] <= 60).all() and np.isinf(found[:, 1]).all()
    slow, fast = np.full((1, 2, 3), 9.0), np.full((2, 2, 3), 4.0)
    fast[:, 1] = np.inf
    np.testing.assert_array_equal(gfm_plus.tuned([slow, fast]), [[4.0] * 3, [9.0] * 3])
