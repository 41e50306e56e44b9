"""A black-box method on the unit cube of a space, in double precision, for the host to ask.

Values come from functions that know nothing of JAX, so a method is asked and told from outside. Its
candidates come with the numbers that they are made of, so that any of them can be told in place of
any other one.

Where all parameters are real numbers without constraints the method gets the cube itself, so that
one program serves every such space of a dimension. A question and an answer are one call of a
compiled program each: the key is made inside, and the state is a list of arrays, because taking it
apart and putting it together again in Python takes longer than a small method does.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from parafree.blackbox.auto import Auto
from parafree.core.keys import integer_from_names, key_from_names
from parafree.core.space import Space
from parafree.study._ground import cube, is_cube
from parafree.study._jax_setup import of_small_programs


class Learned(NamedTuple):
    """What a batch has told."""

    population: int  # of the run that goes on
    restarts: int  # so far
    status: int


class OnCube:
    """A method, its state, and what a search asks of it.

    Args:
        method: the method.
        space: where it searches.
        seed: of everything random.
    """

    def __init__(self, method: Auto, space: Space, seed: int) -> None:
        self._space, self._seed = space, seed
        self._programs = _programs(method, space.dimension if is_cube(space) else space)
        self.size, self.name = self._programs.size, self._programs.name
        with jax.enable_x64(True):
            self._state = self._programs.init(self._key("init"))

    def _key(self, *names: str | int) -> np.int64:
        return np.int64(integer_from_names(self._seed, "minimize", *names))

    def propose(self, batch: int, turn: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return unit points, what they are made of, and which keep the constraints."""
        with jax.enable_x64(True):
            key = self._key("ask", batch, turn)
            self._state, *found = self._programs.propose(self._state, key)
            u, draws, feasible = map(np.asarray, found)
        return u, draws, np.broadcast_to(feasible, len(u))

    def learn(self, batch: int, draws: np.ndarray, outcomes: np.ndarray, strays: bool) -> Learned:
        """Tell the method the values of a batch, and what has limits; return what that told.

        The candidates are some of those that were proposed since the last batch was told.
        ``strays`` says whether some values may be far off by noise.
        """
        with jax.enable_x64(True):
            key = self._key("tell", batch)
            told = draws, outcomes, np.bool_(strays)
            self._state, info = self._programs.learn(self._state, *told, key)
            return Learned(*np.asarray(info).tolist())

    def move(self, u: np.ndarray) -> None:
        """Let the method go on around a unit point."""
        with jax.enable_x64(True):
            self._state = self._programs.move(self._state, np.asarray(u, float))

    def widen(self) -> None:
        """Let the method take twice the population from now on."""
        with jax.enable_x64(True):
            self._state = self._programs.widen(self._state)

    def mean(self) -> np.ndarray:
        """Return the unit point around which the method draws."""
        with jax.enable_x64(True):
            return np.asarray(self._programs.mean(self._state))

    def even(self, number: int, n: int) -> np.ndarray:
        """Draw unit points evenly where the constraints are kept."""
        with jax.enable_x64(True):
            key = key_from_names(self._seed, "minimize", "even", number)
            return np.asarray(self._space.sample(key, n))


class _Programs(NamedTuple):
    """A method's own, on leaves of its state."""

    size: int  # candidates in a batch
    name: str
    init: Callable[..., Any]
    propose: Callable[..., Any]
    learn: Callable[..., Any]
    move: Callable[..., Any]
    widen: Callable[..., Any]
    mean: Callable[..., Any]


@lru_cache(maxsize=64)
def _programs(method: Auto, where: Space | int) -> _Programs:
    """Return what is compiled once for each space, or for each dimension of the cube."""

    def begin(key: Any) -> Any:
        return method.init(jax.random.key(key), cube(where) if isinstance(where, int) else where)

    with jax.enable_x64(True):
        shapes = jax.eval_shape(begin, np.int64(0))
    tree, leaves = jax.tree.structure(shapes), jax.tree.leaves

    def propose(state: list[Any], key: Any) -> tuple[list[Any], jax.Array, jax.Array, jax.Array]:
        candidates, after = method.ask(jax.random.key(key), jax.tree.unflatten(tree, state))
        draws = method.draws(after)
        if isinstance(where, int):
            return leaves(after), candidates, draws, jnp.bool_(True)
        return leaves(after), where.encode(candidates), draws, where.feasible(candidates)

    def learn(
        state: list[Any], draws: Any, outcomes: Any, strays: Any, key: Any
    ) -> tuple[list[Any], jax.Array]:
        asked = method.recall(jax.tree.unflatten(tree, state), draws)
        asked = method.warned(asked, strays)
        values = outcomes if method.limits else outcomes[:, 0]
        after, info = method.tell(jax.random.key(key), asked, None, values)
        return leaves(after), jnp.stack([info.population, info.restarts, info.status])

    def move(state: list[Any], u: jax.Array) -> list[Any]:
        return leaves(method.move(jax.tree.unflatten(tree, state), u))

    def widen(state: list[Any]) -> list[Any]:
        return leaves(method.widen(jax.tree.unflatten(tree, state)))

    def mean(state: list[Any]) -> jax.Array:
        middle = method.mean(jax.tree.unflatten(tree, state))
        return middle if isinstance(where, int) else where.encode(middle)

    compiled = partial(jax.jit, compiler_options=of_small_programs())
    changes = partial(compiled, donate_argnums=0)
    return _Programs(
        method.draws(shapes).shape[0],
        method.describe(shapes),
        compiled(lambda key: leaves(begin(key))),
        changes(propose),
        changes(learn),
        changes(move),
        changes(widen),
        compiled(mean),
    )
