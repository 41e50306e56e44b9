"""Tune a neural network on real handwritten digits.

    parafree tune examples/digits.py --time 60s

The whole program to be tuned is in this file: a space, and three pure functions. One unit of
resource is one update on a minibatch of 64 images.
"""

from itertools import pairwise

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.datasets import load_digits

from parafree import Choice, Real, Space

BATCH = 64
SGD, ADAM = "sgd", "adam"


def _load() -> tuple[np.ndarray, ...]:
    images, labels = load_digits(return_X_y=True)  # 1,797 images of 8x8 pixels
    order = np.random.default_rng(0).permutation(len(labels))
    images = (images[order] / 16.0).astype(np.float32)
    labels = labels[order].astype(np.int32)
    return images[:1300], labels[:1300], images[1300:], labels[1300:]


TRAIN_X, TRAIN_Y, VALID_X, VALID_Y = _load()


def _logits(params, x):
    hidden = jax.nn.relu(x @ params["w1"] + params["b1"])
    hidden = jax.nn.relu(hidden @ params["w2"] + params["b2"])
    return hidden @ params["w3"] + params["b3"]


def _cross_entropy(logits, labels, smoothing=0.0):
    target = jax.nn.one_hot(labels, 10) * (1 - smoothing) + smoothing / 10
    return -jnp.mean(jnp.sum(target * jax.nn.log_softmax(logits), axis=-1))


class Digits:
    """A three-layer network whose update rule, regularisation and width are open."""

    space = Space(
        width=Choice([32, 64, 128], static=True, help="hidden units in each layer"),
        optimizer=Choice([SGD, ADAM], help="update rule"),
        learning_rate=Real(1e-4, 1.0, log=True, help="step size"),
        momentum=Real(0.0, 0.99, help="decay of the gradient's running mean"),
        second_decay=Real(
            0.9, 0.9999, when="optimizer == 'adam'", help="decay of the squared gradient's mean"
        ),
        weight_decay=Real(1e-6, 1e-1, log=True, help="decoupled decay", unit="1/update"),
        smoothing=Real(0.0, 0.2, help="label smoothing"),
        noise=Real(0.0, 0.5, help="standard deviation of noise on the pixels"),
        init_scale=Real(0.1, 3.0, log=True, help="times the He initialisation"),
    )

    def init(self, key, hparams):
        """Return fresh parameters and optimiser moments."""
        sizes = [64, hparams["width"], hparams["width"], 10]
        params = {}
        for i, (fan_in, fan_out) in enumerate(pairwise(sizes), start=1):
            key, sub = jax.random.split(key)
            scale = hparams["init_scale"] * np.sqrt(6 / fan_in)
            params[f"w{i}"] = scale * jax.random.uniform(sub, (fan_in, fan_out), minval=-1.0)
            params[f"b{i}"] = jnp.zeros(fan_out)
        zeros = jax.tree.map(jnp.zeros_like, params)
        return {"params": params, "mean": zeros, "square": zeros, "count": jnp.zeros((), jnp.int32)}

    def step(self, key, state, hparams):
        """Make one update on a random minibatch."""
        pick, jitter = jax.random.split(key)
        rows = jax.random.randint(pick, (BATCH,), 0, len(TRAIN_Y))
        x = jnp.asarray(TRAIN_X)[rows]
        x = x + hparams["noise"] * jax.random.uniform(jitter, x.shape, minval=-1.7, maxval=1.7)
        y = jnp.asarray(TRAIN_Y)[rows]
        grads = jax.grad(lambda p: _cross_entropy(_logits(p, x), y, hparams["smoothing"]))(
            state["params"]
        )

        adam = hparams["optimizer"]  # a traced choice arrives as its index: 0 is sgd, 1 is adam
        count = state["count"] + 1
        decay1, decay2 = hparams["momentum"], hparams["second_decay"]
        mean = jax.tree.map(lambda m, g: decay1 * m + (1 - decay1) * g, state["mean"], grads)
        square = jax.tree.map(
            lambda s, g: decay2 * s + (1 - decay2) * g * g, state["square"], grads
        )
        unbias1, unbias2 = 1 - decay1**count, 1 - decay2**count

        def update(p, m, s):
            direction = jnp.where(adam, m / unbias1 / (jnp.sqrt(s / unbias2) + 1e-8), m)
            return p - hparams["learning_rate"] * (direction + hparams["weight_decay"] * p)

        params = jax.tree.map(update, state["params"], mean, square)
        return {"params": params, "mean": mean, "square": square, "count": count}

    def evaluate(self, state, hparams):
        """Return the loss and the error rate on the held-out images."""
        logits = _logits(state["params"], jnp.asarray(VALID_X))
        wrong = jnp.mean(jnp.argmax(logits, axis=-1) != jnp.asarray(VALID_Y))
        return {"loss": _cross_entropy(logits, jnp.asarray(VALID_Y)), "error": wrong}


trainable = Digits()
