"""A black-box method on the unit cube of a space, in double precision, for the host to ask.

Values come from functions that know nothing of JAX, so a method is asked and told from outside. Its
candidates come with the numbers that they are made of, so that any of them can be told in place of
any other one.

Where all parameters are real numbers without constraints the method gets the cube itself, so that
one program serves every such space of a dimension.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from parafree.blackbox.auto import Auto
from parafree.core.keys import key_from_names
from parafree.core.space import Space
from parafree.study._ground import cube, is_cube


class OnCube:
    """A method, its state, and what a search asks of it.

    Args:
        method: the method.
        space: where it searches.
        seed: of everything random.
    """

    def __init__(self, method: Auto, space: Space, seed: int) -> None:
        self._method, self._space, self._seed = method, space, seed
        self._where = space.dimension if is_cube(space) else space
        with jax.enable_x64(True):
            self._state = _init(method, self._where, self._key("init"))
            self.size = method.draws(self._state).shape[0]
            self.name = method.describe(self._state)

    def _key(self, *names: str | int) -> jax.Array:
        return key_from_names(self._seed, "minimize", *names)

    def propose(self, batch: int, turn: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return unit points, what they are made of, and which keep the constraints."""
        with jax.enable_x64(True):
            key = self._key("ask", batch, turn)
            found = _propose(self._method, self._where, key, self._state)
            u, draws, feasible = jax.device_get(found)
        return u, draws, np.broadcast_to(feasible, len(u))

    def learn(self, batch: int, draws: np.ndarray, values: np.ndarray) -> Any:
        """Tell the method a batch; return its info."""
        with jax.enable_x64(True):
            told = draws, values, self._key("tell", batch)
            self._state, info = _learn(self._state, self._method, told)
            return jax.device_get(info)

    def move(self, u: np.ndarray) -> None:
        """Let the method go on around a unit point."""
        with jax.enable_x64(True):
            self._state = _move(self._state, self._method, jnp.asarray(u))

    def widen(self) -> None:
        """Let the method take twice the population from now on."""
        with jax.enable_x64(True):
            self._state = _widen(self._state, self._method)

    def mean(self) -> np.ndarray:
        """Return the unit point around which the method draws."""
        with jax.enable_x64(True):
            return np.asarray(_mean(self._method, self._where, self._state))

    def even(self, number: int, n: int) -> np.ndarray:
        """Draw unit points evenly where the constraints are kept."""
        with jax.enable_x64(True):
            return np.asarray(self._space.sample(self._key("even", number), n))


# Compiled once for each space (or dimension of the cube) and method, however many studies there are

Where = Space | int


@partial(jax.jit, static_argnums=(0, 1))
def _init(method: Auto, where: Where, key: jax.Array) -> Any:
    return method.init(key, cube(where) if isinstance(where, int) else where)


@partial(jax.jit, static_argnums=(0, 1))
def _propose(
    method: Auto, where: Where, key: jax.Array, state: Any
) -> tuple[jax.Array, jax.Array, jax.Array]:
    candidates, state = method.ask(key, state)
    if isinstance(where, int):
        return candidates, method.draws(state), jnp.bool_(True)
    return where.encode(candidates), method.draws(state), where.feasible(candidates)


@partial(jax.jit, static_argnums=1, donate_argnums=0)
def _learn(state: Any, method: Auto, told: tuple[Any, Any, jax.Array]) -> Any:
    draws, values, key = told
    ask, tell = jax.random.split(key)
    _, state = method.ask(ask, state)  # for what else it draws, such as where it begins again
    return method.tell(tell, method.recall(state, draws), None, values)


@partial(jax.jit, static_argnums=1, donate_argnums=0)
def _move(state: Any, method: Auto, u: jax.Array) -> Any:
    return method.move(state, u)


@partial(jax.jit, static_argnums=1, donate_argnums=0)
def _widen(state: Any, method: Auto) -> Any:
    return method.widen(state)


@partial(jax.jit, static_argnums=(0, 1))
def _mean(method: Auto, where: Where, state: Any) -> jax.Array:
    mean: jax.Array = method.mean(state)
    return mean if isinstance(where, int) else where.encode(mean)
