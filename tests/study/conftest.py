"""A JAX trainable that compiles in a moment and whose answer is known."""

import jax
import jax.numpy as jnp
import pytest

from parafree import Choice, Real, Space


class Bowl:
    """Noisy gradient descent on half of the squared distance from ones, in 2 or 3 dimensions.

    After n units without noise the loss is ``0.5 * size * (1 - rate)**(2 * n)``.
    """

    space = Space(
        size=Choice([2, 3], static=True),
        rate=Real(1e-3, 3.0, log=True),
        noise=Real(0.0, 0.1),
    )

    def init(self, key, hparams):
        return {"x": jnp.zeros(hparams["size"]), "count": jnp.zeros((), jnp.int32)}

    def step(self, key, state, hparams):
        noise = hparams["noise"] * jax.random.normal(key, state["x"].shape)
        x = state["x"] + hparams["rate"] * (1.0 - state["x"]) + noise
        return {"x": x, "count": state["count"] + 1}

    def evaluate(self, state, hparams):
        return {"loss": 0.5 * jnp.sum((state["x"] - 1.0) ** 2), "count": state["count"]}


@pytest.fixture(scope="session")
def bowl():
    return Bowl()
