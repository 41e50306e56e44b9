"""The claims of Schedule-Free, Adam and Muon, where the answer is known."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from parafree import optim
from parafree.claims import _adam_models, _data, adam, muon, schedule_free
from parafree.claims._nets import classifier, perceptron
from parafree.claims._training import Task, flat, one_of


def bowl(noise=0.0):
    """A bowl around 3, whose gradient is noisy."""
    rows = jnp.asarray(np.random.default_rng(0).normal(size=(64, 2)), jnp.float32)
    return Task(
        "bowl",
        lambda key: jnp.zeros(2),
        lambda p, batch: jnp.mean(jnp.sum((p - 3 + noise * batch[0]) ** 2, axis=-1)),
        (rows - rows.mean(0),),
        (),
        lambda p, held: {"loss": jnp.sum((p - 3) ** 2)},
        batch=4,
    )


def parameters(task, scale=0.3):
    """Parameters of a task's shapes, drawn without compiling anything."""
    random = np.random.default_rng(0)
    draw = lambda x: jnp.asarray(scale * random.normal(size=x.shape), jnp.float32)  # noqa: E731
    return jax.tree.map(draw, jax.eval_shape(task.init, jax.random.key(0)))


# Schedule-Free ------------------------------------------------------------------------------


def test_a_cosine_rises_over_a_twentieth_and_is_zero_at_its_own_end():
    schedule = schedule_free.cosine(2.0, 200.0)
    rates = np.array([float(schedule(count)) for count in range(300)])
    assert rates[9] == pytest.approx(2.0) and np.all(np.diff(rates[:10]) > 0)
    assert np.all(np.diff(rates[10:200]) <= 0) and np.all(rates[200:] == 0)
    assert rates[105] == pytest.approx(1.0, abs=0.01)  # half-way down


def family(rates, free_rates):
    return schedule_free.Family(
        optax.sgd,
        rates,
        lambda rate, warm: optim.schedule_free_sgd(rate, warmup_steps=warm),
        free_rates,
    )


def test_methods_that_do_not_move_tie():
    found = schedule_free.compare(bowl(), family([0.0, 0.0], [0.0]), 8)
    assert np.all(found.free == found.cosine) and np.all(found.free == 18.0)
    assert found.free.shape == (3, 3)


def test_each_budget_gets_its_best_rate_and_a_diverging_rate_wins_nowhere():
    found = schedule_free.compare(bowl(), family([1e-3, 0.3, 1e3], [1e-3, 0.1, 1e6]), 40)
    assert found.cosine_rates == [0.3] * 3 and found.free_rate == 0.1
    assert found.cosine.max() < 1e-2 and np.all(found.anew <= found.free)


def test_under_noise_a_cosine_that_is_stopped_early_is_worse_than_one_made_for_that_end():
    found = schedule_free.compare(bowl(noise=10.0), family([0.2], [0.2]), 400)
    assert np.median(found.stopped[0]) > 2 * np.median(found.cosine[0])
    np.testing.assert_array_equal(found.stopped[-1], found.cosine[-1])


# Adam ---------------------------------------------------------------------------------------


def test_one_of_several_methods_does_what_it_does_alone():
    methods = [optax.sgd(0.1, momentum=0.9), optax.rmsprop(0.01), optim.adam(0.1)]
    p, state = jnp.array([1.0, -2.0]), None
    for number, alone in enumerate(methods):
        chosen = one_of(methods, jnp.asarray(number))
        q, state, inner = p, chosen.init(p), alone.init(p)
        for _ in range(5):
            update, state = chosen.update(2 * q, state, q)
            expected, inner = alone.update(2 * q, inner, q)
            np.testing.assert_allclose(update, expected, rtol=1e-6)
            q = optax.apply_updates(q, update)


def test_without_correction_the_first_step_is_too_long_and_the_last_ones_are_those_of_adam():
    b1, b2, rate, g = 0.9, 0.9999, 0.01, jnp.array([3.0])
    plain, corrected = adam.without_correction(rate, b1, b2), optim.adam(rate, b1=b1, b2=b2)
    p, state = jnp.zeros(1), plain.init(jnp.zeros(1))
    update, state = plain.update(g, state, p)
    np.testing.assert_allclose(update, -rate * (1 - b1) / np.sqrt(1 - b2), rtol=1e-3)
    both = (state, corrected.init(p))

    def step(_, both):
        return plain.update(g, both[0], p)[1], corrected.update(g, both[1], p)[1]

    both = jax.lax.fori_loop(0, 100_000, step, both)
    ours, theirs = plain.update(g, both[0], p)[0], corrected.update(g, both[1], p)[0]
    np.testing.assert_allclose(ours, theirs, rtol=1e-2)
    np.testing.assert_allclose(theirs, -rate, rtol=1e-2)


def test_dropout_differs_from_batch_to_batch_and_changes_nothing_on_average():
    task = _adam_models.numbered(
        classifier("d", _data.digits(), perceptron(64, 32, 32, 10), batch=64)
    )
    p = parameters(task)
    p = [*p[:-1], jax.tree.map(lambda x: 1e-3 * x, p[-1])]  # small logits: all but linear in them
    rows = lambda n: (task.train[0][:64], task.train[1][:64], jnp.arange(64) + n)  # noqa: E731
    noisy = jax.jit(_adam_models.with_dropout(task, 32).loss)
    losses = np.array([noisy(p, rows(n)) for n in range(64)])
    exact = float(
        jax.jit(classifier("d", _data.digits(), perceptron(64, 32, 32, 10)).loss)(p, rows(0))
    )
    assert len(set(losses.tolist())) > 50
    assert abs(losses.mean() - exact) < 4 * losses.std() / 8


def test_the_cost_is_that_of_training_rows():
    task = _adam_models.numbered(classifier("d", _data.digits(), perceptron(64, 10)))
    assert len(task.held[0]) == min(2000, len(task.train[0]))
    np.testing.assert_array_equal(task.held[0], task.train[0][: len(task.held[0])])


def test_parameters_in_one_vector_give_the_same_loss():
    task = classifier("d", _data.digits(), perceptron(64, 10))
    p, rows = parameters(task), tuple(x[:8] for x in task.train)
    vector = jnp.concatenate([p[0]["b"], p[0]["w"].ravel()])
    assert float(flat(task).loss(vector, rows)) == pytest.approx(float(task.loss(p, rows)))


def test_an_autoencoder_that_says_nothing_costs_the_entropy_of_a_coin_for_each_pixel():
    task = _adam_models.autoencoder(_data.digits(), 4, 32)
    found = jax.jit(task.evaluate)(parameters(task, 0.0), task.held)["loss"]
    assert float(found) == pytest.approx(64 * np.log(2), rel=1e-5)


# Muon ---------------------------------------------------------------------------------------


def test_passages_are_held_out_and_are_text():
    train, held = muon.passages()
    assert held.shape == (64, 33) and len(train) > 50_000
    text = "".join(chr(c + 31) if c else "\n" for c in train[:200:4].ravel())
    assert "def " in text or "import" in text or "# " in text
    assert train.min() >= 0 and max(train.max(), held.max()) < 96


def test_the_language_model_does_not_see_what_it_predicts():
    task = muon.language_model(muon._FAST, 4)
    p = parameters(task)
    text = jnp.asarray(muon.passages()[0][:1])
    other = text.at[0, 20].set((text[0, 20] + 1) % 96)

    def hidden(text):
        x = p["letters"][text[:, :-1]] + p["places"]
        return muon._attend(p, muon._normed(x))

    same = np.isclose(hidden(text), hidden(other)).all(axis=(0, 2))
    assert same[:20].all() and not same[20:].any()


def test_updates_of_muon_have_the_size_of_those_of_adamw():
    random = np.random.default_rng(0)
    draw = lambda *shape: jnp.asarray(random.normal(size=shape), jnp.float32)  # noqa: E731
    p = {name: {"w": draw(16, 16), "b": draw(16)} for name in ("answer", "out")}
    root = lambda x: float(jnp.sqrt(jnp.mean(x**2)))  # noqa: E731
    for name, size in (("Muon", 0.2), ("AdamW", 1.0)):  # Adam's first step is the sign
        method = muon.methods(muon._FAST, steps=20)[name](1.0)  # of which one is for the warm-up
        update, _ = jax.jit(method.update)(jax.tree.map(jnp.sin, p), method.init(p), p)
        assert root(update["answer"]["w"]) == pytest.approx(size, rel=0.35)
        assert root(update["out"]["w"]) == pytest.approx(1.0, rel=0.1)
        assert root(update["answer"]["b"]) == pytest.approx(1.0, rel=0.1)


def test_tokens_are_counted_at_the_rate_that_brings_every_seed_to_the_loss_first():
    fast_but_once = [[4.0, 1.0, 1.0], [4.0, 4.0, 4.0]]
    slow = [[4.0, 2.0, 0.0], [4.0, 3.0, 2.0]]
    curves = muon.Curves(np.array([fast_but_once, slow]), tokens=100.0)
    assert curves.least() == 2.0
    rate, tokens = curves.needed(2.5)
    assert rate == 1 and tokens.tolist() == [75.0, 150.0]
