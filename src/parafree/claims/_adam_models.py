"""The models of Adam's claim that draw noise at every step: dropout, variational autoencoder."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from parafree.claims._data import Split
from parafree.claims._nets import affine, dense
from parafree.claims._training import Task

_DROP = 0.5
_ROWS = 2000  # of the training data, on which the training cost is taken
_LATENT = 8


def numbered(task: Task) -> Task:
    """Return the task with the numbers of the rows beside them, and training rows to evaluate on.

    From the numbers in a batch comes its noise, which differs from batch to batch.
    """
    numbers = jnp.arange(len(task.train[0]))
    return replace(task, train=(*task.train, numbers), held=tuple(x[:_ROWS] for x in task.train))


def pool(*shape: int) -> jax.Array:
    """Return numbers from 0 to 1 for 64 batches; a compiled generator would take longer."""
    return jnp.asarray(np.random.default_rng(0).random((64, *shape)), jnp.float32)


def with_dropout(task: Task, hidden: int) -> Task:
    """Return the task of a perceptron with half of its hidden units left out at every step.

    Args:
        task: with two hidden layers.
        hidden: units in each.
    """
    noise = pool(2, task.batch, hidden)

    def loss(p: Any, rows: tuple[jax.Array, ...]) -> jax.Array:
        x, y, numbers = rows
        for layer, chance in zip(p[:-1], noise[numbers[0] % len(noise)], strict=True):
            kept = chance < 1 - _DROP
            x = jnp.where(kept, jax.nn.relu(affine(layer, x)) / (1 - _DROP), 0.0)
        logits = affine(p[-1], x)
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, y))

    return replace(task, loss=loss)


def autoencoder(data: Split, hidden: int, batch: int) -> Task:
    """Return a variational autoencoder with one softplus layer on each side, as in the paper."""
    pixels = data.train_x.shape[1]
    noise = jax.scipy.special.ndtri(pool(500, _LATENT))

    def init(key: jax.Array) -> Any:
        shapes = [(pixels, hidden), (hidden, 2 * _LATENT), (_LATENT, hidden), (hidden, pixels)]
        keys = jax.random.split(key, len(shapes))
        return [dense(k, n, m, gain=0.7) for k, (n, m) in zip(keys, shapes, strict=True)]

    def bound(p: Any, x: jax.Array, noise: jax.Array) -> jax.Array:
        code = affine(p[1], jax.nn.softplus(affine(p[0], x)))
        mean, log_var = code[:, :_LATENT], code[:, _LATENT:]
        z = mean + jnp.exp(0.5 * log_var) * noise[: len(x)]
        logits = affine(p[3], jax.nn.softplus(affine(p[2], z)))
        error = jnp.sum(optax.sigmoid_binary_cross_entropy(logits, x), axis=1)
        divergence = 0.5 * jnp.sum(jnp.exp(log_var) + mean**2 - 1 - log_var, axis=1)
        return jnp.mean(error + divergence)

    return Task(
        "autoencoder",
        init,
        lambda p, rows: bound(p, rows[0], noise[rows[1][0] % len(noise)]),
        (jnp.asarray(data.train_x), jnp.arange(len(data.train_x))),
        jnp.asarray(data.valid_x[:500]),
        lambda p, held: {"loss": bound(p, held, noise[-1])},
        batch,
    )
