"""The claims of the methods that estimate a distance, and the training that they share."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.optimize import minimize

from parafree import optim
from parafree.claims import _convex, _data, d_adapt, dog, u_dog
from parafree.claims._nets import classifier, convolutional, perceptron
from parafree.claims._training import Task, averaged, crossed, final, fit, train, tuned


def bowl(batch=0):
    """Half the squared distance to the mean of some rows, from the start (2, 2)."""
    rows = jnp.asarray([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]])
    return Task(
        "bowl",
        init=lambda key: jnp.full(2, 2.0),
        loss=lambda p, rows: 0.5 * jnp.mean(jnp.sum((p - rows[0]) ** 2, -1)),
        train=(rows,),
        held=(),
        evaluate=lambda p, held: {"loss": jnp.sum(p**2), "first": p[0]},
        batch=batch,
    )


def test_descent_on_a_bowl_follows_its_closed_form_for_every_rate():
    rates = (0.1, 0.5, 1.5)
    found = train(bowl(), optax.sgd, steps=6, settings=rates, points=3)
    steps = np.array([0, 2, 4, 6])
    expected = 2.0 * (1 - np.array(rates)[:, None]) ** steps
    assert found["first"].shape == (3, 3, 4)  # settings, seeds, points and the start
    np.testing.assert_allclose(found["first"], np.tile(expected[:, None], (1, 3, 1)), rtol=1e-5)
    assert tuned(found) == 1


def test_seeds_draw_different_batches_and_settings_the_same():
    found = train(bowl(batch=1), optax.sgd, steps=5, settings=(0.3, 0.3))["first"][:, :, -1]
    assert len(set(found[0])) == 3
    np.testing.assert_array_equal(found[0], found[1])


def test_a_run_that_diverges_is_infinite_and_alone():
    found = train(bowl(), optax.sgd, steps=400, settings=(3.0, 0.5))
    assert np.isinf(final(found, setting=0)).all()
    assert (final(found, setting=1) < 1e-9).all() and tuned(found) == 1


def test_an_average_is_that_of_the_iterates_with_polynomial_weights():
    gammas, steps, rate = np.array([0.0, 8.0, 1e30]), 7, 0.2
    found = train(
        bowl(),
        lambda gamma: averaged(optax.sgd(rate), gamma),
        steps=steps,
        settings=gammas.tolist(),
        seeds=1,
    )["first"][:, 0, -1]
    for gamma, value in zip(gammas, found, strict=True):
        mean = 0.0
        for t in range(1, steps + 1):
            mean += (1 + gamma) / (t + gamma) * (2 * (1 - rate) ** t - mean)
        assert value == pytest.approx(mean, rel=1e-5)
    assert found[2] == pytest.approx(2 * (1 - rate) ** steps, rel=1e-5)


def test_methods_that_average_are_evaluated_at_their_average_and_states_can_be_seen():
    found = train(
        bowl(),
        lambda _: optim.dog(),
        steps=20,
        seeds=1,
        look=lambda state: {"reach": state.method.reach[0]},
    )
    p = jnp.full(2, 2.0)
    method = optim.dog()
    state = method.init(p)
    for _ in range(20):
        updates, state = method.update(p, state, p)  # the mean of the rows is zero
        p = optax.apply_updates(p, updates)
    assert found["first"][0, 0, -1] == pytest.approx(float(optim.eval_params(state, p)[0]), 1e-4)
    assert found["reach"][0, 0, -1] == pytest.approx(float(state.method.reach[0]), rel=1e-4)


def test_settings_are_judged_on_other_rows_than_those_that_choose():
    figures = {
        "even error": np.array([[[0.1]], [[0.3]]]),  # chooses the first setting
        "odd error": np.array([[[0.8]], [[0.2]]]),  # chooses the second
    }
    assert crossed(figures) == pytest.approx([(0.8 + 0.3) / 2])


def test_steps_that_cannot_be_cut_are_refused():
    with pytest.raises(ValueError, match="3 equal parts"):
        train(bowl(), optax.sgd, steps=10, points=3)


def test_networks_are_what_they_say():
    x = np.random.default_rng(0).random((3, 36)).astype(np.float32)
    net = convolutional(6, 1, 4, outputs=5)
    p = net.init(jax.random.key(0))
    kernel = p[0]["w"].reshape(3, 3, 1, 4)
    seen = jax.lax.conv_general_dilated(
        x.reshape(3, 6, 6, 1), kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    pooled = np.maximum(seen, 0).reshape(3, 3, 2, 3, 2, 4).mean((2, 4)).reshape(3, -1)
    np.testing.assert_allclose(net.apply(p, x), pooled @ p[1]["w"], rtol=1e-4, atol=1e-5)
    assert not any(
        np.any(leaf) for leaf in jax.tree.leaves(perceptron(4, 3).init(jax.random.key(0)))
    )


def test_what_is_learnt_on_some_digits_stays_below_a_new_last_layer():
    data, net = dog.some(_data.digits(), range(5), 600, 200), perceptron(64, 32, 5)
    p = fit(classifier("digits 0-4", data, net), optax.adam(3e-3), steps=300)
    logits = np.maximum(data.valid_x @ p[0]["w"], 0) @ p[1]["w"]  # biases hardly count
    assert np.mean(np.argmax(logits, 1) != data.valid_y) < 0.06
    start = dog.on_top(p[:-1], net).init(jax.random.key(5))
    np.testing.assert_array_equal(start[0]["w"], p[0]["w"])
    assert not np.array_equal(start[1]["w"], p[1]["w"])
    hidden = np.maximum(data.valid_x @ p[0]["w"] + p[0]["b"], 0)
    np.testing.assert_allclose(
        dog.features(p[:-1], net, jnp.asarray(data.valid_x)), hidden, rtol=1e-4, atol=1e-5
    )


def test_some_classes_are_numbered_anew_and_split_without_overlap():
    split = dog.some(_data.digits(), range(5, 10), 300, 400)
    assert set(split.train_y) == set(range(5)) and len(split.valid_y) == 400
    train_rows = {row.tobytes() for row in split.train_x}
    assert not any(row.tobytes() in train_rows for row in split.valid_x)


def test_a_peers_grid_has_each_rate_averaged_and_with_cosine_decay():
    grid = dog.settings("SGD")
    count = len(grid["rate"])
    assert dog.describe(grid, 0).endswith("averaged") and dog.describe(grid, count - 1).endswith(
        "decay"
    )
    steps = 10
    make = dog.peer("SGD", steps)
    picked = {
        "rate": np.array([0.1, 0.1]),
        "fade": np.array([0.0, 1.0]),
        "gamma": np.array([1e30] * 2),
    }
    found = train(bowl(), make, steps=steps, settings=picked, seeds=1)["first"][:, 0, -1]
    fading = 0.1 * 0.5 * (1 + np.cos(np.pi * np.arange(steps) / steps))
    assert found == pytest.approx([2 * 0.9**steps, 2 * np.prod(1 - fading)], rel=1e-5)


def test_minima_are_minima():
    with jax.enable_x64(True):
        x, y = _convex.rows("breast cancer")
        x, y = x[:120, :6], y[:120]
        loss = _convex.logistic(0.01)
        f = jax.jit(lambda p: loss(p, (x, y)))
        peer = minimize(lambda p: float(f(p)), np.zeros(6), jac=jax.grad(f), tol=1e-12)
        assert _convex.least_smooth(loss, x, y) == pytest.approx(peer.fun, rel=1e-9)
    for kind, soft in (("hinge", soft_hinge), ("deviations", soft_deviations)):
        least = _convex.least_linear(kind, x, y)
        low = minimize(soft, np.zeros(6), args=(x, y), tol=1e-12)
        found = float(getattr(_convex, kind)(low.x, (x, y)))
        assert least <= found + 1e-6 and least == pytest.approx(found, rel=0.01)


def soft_hinge(p, x, y):
    return np.mean(np.logaddexp(0, 300 * (1 - y * (x @ p)))) / 300


def soft_deviations(p, x, y):
    return np.mean(np.sqrt((x @ p - y) ** 2 + 1e-5))


def test_nesterovs_method_is_of_second_order_and_descent_of_first():
    with jax.enable_x64(True):
        found = u_dog.orders(600, ["descent", "Nesterov's method"])
    assert np.median(found["descent"]) == pytest.approx(1.0, abs=0.15)
    assert np.median(found["Nesterov's method"]) == pytest.approx(2.0, abs=0.25)


def test_the_verdict_on_u_dog_needs_all_three_conditions():
    costs = {guess: [100.0, 110.0, 120.0] for guess in u_dog._GUESSES}
    slopes = {name: [1.9, 2.0, 2.1] for name in ("U-DoG", "DoG", "descent", "Nesterov's method")}
    both = {"U-DoG": 0.02, "DoG": 0.01}
    good = u_dog.Compared(costs, [50.0] * 3, [400.0] * 3, both, both)
    assert u_dog._judge({"a": good}, {"a": "SGD"}, slopes).holds
    slow = u_dog._judge({"a": good._replace(peer=[20.0] * 3)}, {"a": "SGD"}, slopes)
    assert not slow.holds and "a (5.5x the gradients)" in slow.reason
    guess = good._replace(ours=costs | {1e-8: [300.0] * 3})
    assert not u_dog._judge({"a": guess}, {"a": "SGD"}, slopes).holds
    assert not u_dog._judge({"a": good}, {"a": "SGD"}, slopes | {"U-DoG": [1.0] * 3}).holds
    never = good._replace(ours=costs | {u_dog._GUESSES[0]: [np.inf] * 3})
    lost = u_dog._judge({"a": never}, {"a": "SGD"}, slopes)
    assert not lost.holds and "not within" in lost.summary
    assert "2.0% of the gap is left, and 1.0% by DoG" in lost.reason


def test_d_adaptation_matches_within_a_point_or_a_row():
    def pair(mine, theirs, rows):
        peer = np.full(3, theirs)
        return d_adapt.Compared(np.full(3, mine), peer, peer, 0.1, peer, peer, 1 / rows)

    assert pair(0.03, 0.02, 1000).matches and not pair(0.032, 0.02, 1000).matches
    assert pair(0.06, 0.04, 50).matches and pair(0.01, 0.02, 1000).behind < 0
    assert not pair(np.inf, 0.02, 1000).matches


def test_tables_are_standardised_and_halved():
    split = d_adapt.table("wine")
    assert len(split.train_y) + len(split.valid_y) == 178
    both = np.concatenate([split.train_x, split.valid_x])
    np.testing.assert_allclose(both.std(0), 1, rtol=1e-4)
    assert set(d_adapt.first(_data.digits(), 100, parity=True).train_y) == {0, 1}


def test_the_recurrent_network_reads_rows_in_their_order():
    net = d_adapt.recurrent(4, 6)
    p, x = net.init(jax.random.key(0)), np.random.default_rng(0).random((2, 16))
    h = np.zeros((2, 6))
    for i in range(4):
        h = np.tanh(x.reshape(2, 4, 4)[:, i] @ p["in"]["w"] + h @ p["again"])
    found = net.apply(p, jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(found, h @ p["out"]["w"], rtol=1e-4, atol=1e-5)
