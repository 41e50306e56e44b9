"""Small networks for the claims, and the task of telling classes apart with one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from parafree.claims._data import Split
from parafree.claims._training import Task

_BLOCK = 500  # rows that are evaluated at once


class Net(NamedTuple):
    """A network, as functions."""

    init: Callable[[jax.Array], Any]  # key -> parameters
    apply: Callable[[Any, jax.Array], jax.Array]  # parameters, (n, inputs) -> (n, outputs)


def classifier(name: str, data: Split, net: Net, *, batch: int = 64) -> Task:
    """Return the task of telling classes apart by cross-entropy.

    Figures are ``loss`` and ``error``, the part that is wrong, both of the held-out rows, and the
    errors of every other row, ``even error`` and ``odd error``, for :func:`crossed`.
    """

    def loss(p: Any, rows: tuple[jax.Array, ...]) -> jax.Array:
        return _cross_entropy(net.apply(p, rows[0]), rows[1])

    def evaluate(p: Any, held: tuple[jax.Array, ...]) -> dict[str, jax.Array]:
        logits = in_blocks(lambda x: net.apply(p, x), held[0])
        wrong = jnp.argmax(logits, -1) != held[1]
        # A run that diverged predicts the first class; its error is not a number either.
        wrong = jnp.where(jnp.isfinite(logits).all(), wrong, jnp.nan)
        halves = {"even error": jnp.mean(wrong[::2]), "odd error": jnp.mean(wrong[1::2])}
        return {"loss": _cross_entropy(logits, held[1]), "error": jnp.mean(wrong), **halves}

    rows = (jnp.asarray(data.train_x), jnp.asarray(data.train_y))
    held = (jnp.asarray(data.valid_x), jnp.asarray(data.valid_y))
    return Task(name, net.init, loss, rows, held, evaluate, batch)


def in_blocks(f: Callable[[jax.Array], jax.Array], x: jax.Array) -> jax.Array:
    """Return ``f(x)`` for many rows; all at once, in all lanes, would not fit into the memory."""
    if len(x) <= _BLOCK:
        return f(x)
    missing = -len(x) % _BLOCK
    filled = jnp.concatenate([x, jnp.broadcast_to(x[-1:], (missing, *x.shape[1:]))])
    found = jax.lax.map(f, filled.reshape(-1, _BLOCK, *x.shape[1:]))
    return found.reshape(-1, *found.shape[2:])[: len(x)]


def _cross_entropy(logits: jax.Array, labels: jax.Array) -> jax.Array:
    return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, labels))


def perceptron(*sizes: int) -> Net:
    """Return a perceptron with relu between its layers; a linear model, from zero, for two sizes.

    Args:
        sizes: numbers of inputs, of units in each hidden layer, and of outputs.
    """

    def init(key: jax.Array) -> list[dict[str, jax.Array]]:
        keys = jax.random.split(key, len(sizes) - 1)
        pairs = zip(keys, sizes[:-1], sizes[1:], strict=True)
        return [dense(k, n, m, gain=float(len(sizes) > 2)) for k, n, m in pairs]

    def apply(p: Any, x: jax.Array) -> jax.Array:
        for layer in p[:-1]:
            x = jax.nn.relu(affine(layer, x))
        return affine(p[-1], x)

    return Net(init, apply)


def convolutional(side: int, channels: int, *widths: int, outputs: int = 10) -> Net:
    """Return convolutions of 3x3, each with relu and the mean of 2x2, and a linear layer.

    Args:
        side: pixels along a side of the square image; each convolution halves it.
        channels: of the image.
        widths: channels after each convolution.
        outputs: of the linear layer.
    """

    def init(key: jax.Array) -> list[dict[str, jax.Array]]:
        keys = jax.random.split(key, len(widths) + 1)
        ins = (channels, *widths[:-1])
        layers = [dense(k, 9 * n, m) for k, n, m in zip(keys, ins, widths, strict=False)]
        return [*layers, dense(keys[-1], (side >> len(widths)) ** 2 * widths[-1], outputs)]

    def apply(p: Any, x: jax.Array) -> jax.Array:
        x = x.reshape(-1, side, side, channels)
        for layer in p[:-1]:
            x = _halved(jax.nn.relu(affine(layer, _patches(x))))
        return affine(p[-1], x.reshape(len(x), -1))

    return Net(init, apply)


def dense(key: jax.Array, inputs: int, outputs: int, gain: float = 1.0) -> dict[str, jax.Array]:
    """Return a layer with He's normal weights, times ``gain``, and zeros as biases."""
    w = gain * np.sqrt(2 / inputs) * jax.random.normal(key, (inputs, outputs))
    return {"w": w, "b": jnp.zeros(outputs)}


def affine(layer: dict[str, jax.Array], x: jax.Array) -> jax.Array:
    """Return ``x w + b``."""
    return x @ layer["w"] + layer["b"]


def _patches(x: jax.Array) -> jax.Array:
    """Return the 3x3 neighbourhoods, zeros outside: (n, h, w, c) -> (n, h, w, 9 c).

    A convolution with its own weights in every lane is slow on processors; a product is not.
    """
    height, width = x.shape[1:3]
    padded = jnp.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    shifted = [padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3)]
    return jnp.concatenate(shifted, axis=-1)


def _halved(x: jax.Array) -> jax.Array:
    """Return the means of 2x2; an odd last row or column is left out."""
    n, height, width, c = x.shape
    x = x[:, : height // 2 * 2, : width // 2 * 2]
    return x.reshape(n, height // 2, 2, width // 2, 2, c).mean(axis=(2, 4))
