"""A minimisation that runs compiled on the device, and writes one report for each chunk.

The candidates, their values and what the method learns from them never leave the device, so there
may be millions of evaluations. After each chunk of batches the journal gets a trial: its
configuration is the best one so far, its units are the evaluations of the chunk. The state of the
method is saved beside it and is a cache, as states of trials are: without it the batches are
computed again, to the same bits, because the key of a batch follows from its number.
"""

from __future__ import annotations

import math
import time
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from parafree.blackbox import Status
from parafree.blackbox.auto import Auto
from parafree.core.errors import TrainableError
from parafree.core.keys import key_from_names
from parafree.core.space import Space
from parafree.study._compiled_limits import outcomes_of
from parafree.study._goals import PLAIN, Goals
from parafree.study._ground import Ground
from parafree.study._jax_setup import of_small_programs
from parafree.study._saving import read_state, write_state

_CHUNK_S = 0.5  # progress and Ctrl-C wait for a chunk
_KEPT = 64  # runs whose best values are remembered


class Carry(NamedTuple):
    """What goes from batch to batch."""

    state: Any  # of the method
    batches: jax.Array  # (), int32, so far
    run: jax.Array  # (), the best value of the present run
    runs: jax.Array  # (_KEPT,), the best values of the latest runs that have ended
    ended: jax.Array  # (statuses,), int32, how many runs have ended with each


class Compiled:
    """The search of a JAX function over a space.

    Args:
        f: the function of a configuration.
        space: where to search.
        seed: of everything random.
        file: where the state is saved.
        goals: what the function's figures are for.
    """

    def __init__(self, f: Any, space: Space, seed: int, file: Path, goals: Goals = PLAIN) -> None:
        self._method = Auto(limits=len(goals.limits))
        self._ground, self._file, self._goals = Ground(space), file, goals
        value = self._ground.of_candidate(f if goals.plain else outcomes_of(f, goals))
        self._key = key_from_names(seed, "minimize", "batches")
        begin = time.monotonic()
        begun = partial(_begin, self._method, self._ground)
        start = jax.jit(begun, compiler_options=of_small_programs())
        self._template = jax.eval_shape(start, self._key)
        self.size = self._method.draws(self._template.state).shape[0]
        most, goal = jnp.int32(0), jnp.zeros((), self._template.run.dtype)
        advance = jax.jit(partial(_advance, self._method, value), donate_argnums=0)
        self._advance = advance.lower(self._template, self._key, most, goal).compile()
        self.carry: Carry = start(self._key)
        self.name = self._method.describe(self.carry.state)
        self.compile_s = time.monotonic() - begin
        self.work_s = 0.0
        self._chunk = 1

    @property
    def evaluations(self) -> int:
        """How often the function was asked."""
        return int(self.carry.batches) * self.size

    @property
    def value(self) -> float:
        """The best value so far within all limits; infinite before there was one."""
        return float(_best(self._method, self.carry))

    def figures(self) -> dict[str, float]:
        """Return the figures of the configuration that is best, where any has a limit."""
        nearest = self._method.nearest(self.carry.state)
        if nearest is None or not np.isfinite(nearest.violation):
            return {}
        value, *excesses = np.asarray(nearest.figures, float).tolist()
        pairs = zip(self._goals.limits, excesses, strict=True)
        named = {limit.name: limit.value(excess) for limit, excess in pairs}
        return {self._goals.objectives[0]: value} | named

    def config(self) -> dict[str, Any]:
        """Return the configuration of the best value, or that which is least beyond the limits."""
        return self._ground.config(jax.device_get(self._method.best(self.carry.state)))

    def advance(self, most: int, goal: float) -> None:
        """Go on for about half a second.

        Args:
            most: batches in all, at most.
            goal: the value that is small enough.
        """
        begin, done = time.monotonic(), int(self.carry.batches)
        self._run(min(most, done + self._chunk), goal)
        took = time.monotonic() - begin
        self.work_s += took
        if took < _CHUNK_S / 2 and done + self._chunk <= most:
            self._chunk *= 2
        elif took > _CHUNK_S:
            self._chunk = max(1, self._chunk // 2)

    def _run(self, batches: int, goal: float) -> None:
        dtype = self.carry.run.dtype
        args = self._key, jnp.int32(batches), jnp.asarray(goal, dtype)
        try:
            self.carry = jax.block_until_ready(self._advance(self.carry, *args))
        except jax.errors.JaxRuntimeError as error:
            raise TrainableError(
                f"the function fails while it runs: {str(error).strip().splitlines()[0]}",
                where="parafree.minimize, on the device",
                fix="compiled=False runs it in worker processes, where a point may fail",
            ) from error

    # Going on -----------------------------------------------------------------------------

    def save(self) -> None:
        """Keep the state in its file."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        leaves = jax.device_get(jax.tree.leaves(self.carry))
        write_state(self._file, {"leaves": leaves}, self.evaluations)

    def catch_up(self, evaluations: int) -> None:
        """Go to where the journal is, from the saved state or from nothing."""
        self._load(evaluations)
        self._run(evaluations // self.size, -math.inf)

    def _load(self, evaluations: int) -> None:
        try:
            found = read_state(self._file)
        except TrainableError:
            return  # damaged: it is computed again
        if found is None or found[1] > evaluations:
            return
        leaves, tree = jax.tree.flatten(self._template)
        saved = found[0].get("leaves", [])
        shapes = [(np.shape(leaf), np.asarray(leaf).dtype) for leaf in saved]
        if shapes == [(leaf.shape, leaf.dtype) for leaf in leaves]:
            self.carry = jax.tree.unflatten(tree, [jnp.asarray(leaf) for leaf in saved])

    # What it did --------------------------------------------------------------------------

    @property
    def restarts(self) -> int:
        """How many runs have ended."""
        return int(self._method.runs(self.carry.state).restarts)

    @property
    def population(self) -> int:
        """How large a generation is now."""
        return int(self._method.runs(self.carry.state).run.population)

    @property
    def bests(self) -> list[float]:
        """The best values of the latest runs."""
        values = [*np.asarray(self.carry.runs).tolist(), float(self.carry.run)]
        return [value for value in values if math.isfinite(value)]

    @property
    def ends(self) -> dict[str, int]:
        """How many runs have ended for which reason."""
        counts = np.asarray(self.carry.ended).tolist()
        return {Status(i).name: count for i, count in enumerate(counts) if count}


def _begin(method: Auto, ground: Ground, key: jax.Array) -> Carry:
    state = method.init(key, ground.start)
    top = jnp.full_like(method.runs(state).best.value, jnp.inf)
    ended = jnp.zeros(len(Status), jnp.int32)
    return Carry(state, jnp.int32(0), top, jnp.full(_KEPT, top), ended)


def _best(method: Auto, carry: Carry) -> Any:
    """Return the best value within all limits."""
    nearest = method.nearest(carry.state)
    if nearest is None:
        return method.runs(carry.state).best.value
    return jnp.where(nearest.violation > 0, jnp.inf, nearest.figures[0])


def _advance(
    method: Auto,
    value: Any,
    carry: Carry,
    key: jax.Array,
    most: jax.Array,
    goal: jax.Array,
) -> Carry:
    """Run batches until there were ``most`` of them, or the goal is reached."""

    def batch(carry: Carry) -> Carry:
        ask, tell = jax.random.split(jax.random.fold_in(key, carry.batches))
        candidates, state = method.ask(ask, carry.state)
        before = method.runs(state).restarts
        state, info = method.tell(tell, state, candidates, jax.vmap(value)(candidates))
        run = jnp.minimum(carry.run, info.value)
        over = method.runs(state).restarts > before
        runs = jnp.where(over, carry.runs.at[before % _KEPT].set(run), carry.runs)
        ended = carry.ended.at[info.status].add(over.astype(jnp.int32))
        run = jnp.where(over, jnp.full_like(run, jnp.inf), run)
        return Carry(state, carry.batches + 1, run, runs, ended)

    def goes_on(carry: Carry) -> jax.Array:
        return (carry.batches < most) & (_best(method, carry) > goal)

    return jax.lax.while_loop(goes_on, batch, carry)
