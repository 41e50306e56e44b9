"""Trains small models on real data: all seeds and settings of a grid in one compiled program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree

Figures = dict[str, np.ndarray]
"""Name of a figure -> its values, float64 (settings, seeds, points + 1)."""

Make = Callable[[Any], optax.GradientTransformation]
"""Returns the transform for a setting; the setting's numbers are traced."""


@dataclass(frozen=True, eq=False)
class Task:
    """A model to be trained.

    Args:
        name: as in the results.
        init: ``init(key)`` returns the parameters; every seed has another key.
        loss: ``loss(p, rows)`` is the mean loss of a batch; ``rows`` are some rows of every array
            of ``train``.
        train: arrays with the same number of rows.
        held: whatever ``evaluate`` needs; usually what was held out.
        evaluate: ``evaluate(p, held)`` returns figures by their names, each a scalar; lower is
            better.
        batch: rows of a batch, drawn with replacement; 0 takes all rows every time.
    """

    name: str
    init: Callable[[jax.Array], Any]
    loss: Callable[[Any, tuple[jax.Array, ...]], jax.Array]
    train: tuple[jax.Array, ...]
    held: Any
    evaluate: Callable[[Any, Any], dict[str, jax.Array]]
    batch: int = 64


def train(
    task: Task,
    make: Make,
    *,
    steps: int,
    settings: Any = (0.0,),
    seeds: int = 3,
    points: int = 1,
    look: Callable[[Any], dict[str, jax.Array]] | None = None,
) -> Figures:
    """Train once for every setting and seed, all in one program, and evaluate on the way.

    A seed's start and batches are the same for every setting and every method. Evaluated are the
    parameters of :func:`parafree.optim.eval_params`: the average of a method that averages, and
    elsewhere the parameters themselves. The loss of the batch goes to methods that want it, as
    ``value``. A run that diverges has NaN or infinity as its figures and disturbs no other.

    Args:
        task: what is trained.
        make: returns the transform for one setting. A method without one ignores it.
        steps: gradients of each run; a multiple of ``points``.
        settings: the grid: a sequence of numbers, or a dictionary of arrays of equal length, of
            which ``make`` gets one row; by default there is one setting.
        seeds: runs of each setting.
        points: evaluations after the start, evenly spread.
        look: ``look(state)`` returns figures of the transform's state, beside those of the task.

    Returns:
        For every figure of the task its values, (settings, seeds, points + 1): the first is that
        before any step.

    Example:
        >>> from parafree import optim
        >>> from parafree.claims._data import digits
        >>> from parafree.claims._nets import classifier, perceptron
        >>> task = classifier("digits", digits(), perceptron(64, 10))
        >>> found = train(task, lambda rate: optax.sgd(rate), steps=100, settings=(0.01, 0.5))
        >>> found["error"].shape
        (2, 3, 2)
        >>> tuned(found)
        1
        >>> untuned = train(task, lambda _: optim.dog(), steps=400)
        >>> bool((final(untuned, "error") < 0.2).all())
        True
    """
    from parafree.optim import eval_params

    if steps % points:
        raise ValueError(f"{steps} steps cannot be cut into {points} equal parts")

    def one(setting: Any, p: Any, drawn: jax.Array, data: Any) -> dict[str, jax.Array]:
        method = optax.with_extra_args_support(make(setting))
        rows, held = data

        def point(carry: Any, bounds: jax.Array) -> tuple[Any, dict[str, jax.Array]]:
            step = _stepper(task, method, rows, drawn)
            p, state = jax.lax.fori_loop(bounds[0], bounds[1], step, carry)
            seen = {} if look is None else look(state)
            return (p, state), task.evaluate(eval_params(state, p), held) | seen

        # The first stretch has no steps: it is there to evaluate the start.
        ends = jnp.arange(points + 1) * (steps // points)
        bounds = jnp.stack([jnp.concatenate([ends[:1], ends[:-1]]), ends], axis=1)
        return jax.lax.scan(point, (p, method.init(p)), bounds)[1]

    over_seeds = jax.vmap(one, in_axes=(None, 0, 0, None))
    run = jax.jit(jax.vmap(over_seeds, in_axes=(0, None, None, None)))
    if isinstance(settings, Sequence):
        settings = np.asarray(settings, float)
    starts = jax.vmap(task.init)(_keys(seeds))
    drawn = np.stack([_batches(task, steps, seed) for seed in range(seeds)])
    found = run(jax.tree.map(jnp.asarray, settings), starts, drawn, (task.train, task.held))
    return {name: np.asarray(values, np.float64) for name, values in found.items()}


def fit(task: Task, method: optax.GradientTransformation, *, steps: int, seed: int = 0) -> Any:
    """Train once, and return the parameters; for what others start from."""
    from parafree.optim import eval_params

    method = optax.with_extra_args_support(method)

    @jax.jit
    def run(p: Any, drawn: jax.Array, rows: Any) -> Any:
        step = _stepper(task, method, rows, drawn)
        p, state = jax.lax.fori_loop(0, steps, step, (p, method.init(p)))
        return eval_params(state, p)

    return run(task.init(_keys(seed + 1)[seed]), _batches(task, steps, seed), task.train)


def _keys(seeds: int) -> jax.Array:
    return jax.vmap(lambda seed: jax.random.fold_in(jax.random.key(0), seed))(jnp.arange(seeds))


def _batches(task: Task, steps: int, seed: int) -> np.ndarray:
    """Return the rows of every batch, (steps, rows); drawn here, as XLA compiles that slowly."""
    random = np.random.default_rng(seed)
    return random.integers(0, len(task.train[0]), (steps, task.batch), dtype=np.int32)


def _stepper(task: Task, method: Any, rows: Any, drawn: jax.Array) -> Callable[..., Any]:
    """Return the body of a loop over the numbers of the steps."""

    def step(count: jax.Array, carry: Any) -> Any:
        p, state = carry
        batch = tuple(each[drawn[count]] for each in rows) if task.batch else rows
        value, grads = jax.value_and_grad(task.loss)(p, batch)
        updates, state = method.update(grads, state, p, value=value)
        return optax.apply_updates(p, updates), state

    return step


def final(figures: Figures, name: str = "loss", setting: int = 0) -> np.ndarray:
    """Return a figure after the last step for each seed; infinite where a run diverged."""
    return np.nan_to_num(figures[name][setting, :, -1], nan=np.inf, posinf=np.inf)


def tuned(figures: Figures, name: str = "loss") -> int:
    """Return the number of the setting with the least median over the seeds after the last step."""
    medians = [np.median(final(figures, name, i)) for i in range(len(figures[name]))]
    return int(np.argmin(medians))


def crossed(figures: Figures) -> np.ndarray:
    """Return the error of each seed when a setting is chosen on other rows than it is judged by.

    One half of what was held out chooses and the other judges, and then the other way round; the
    mean of both, as :func:`classifier` has them. :func:`tuned` alone favours the larger grid.
    """
    even, odd = (tuned(figures, name) for name in ("even error", "odd error"))
    return (final(figures, "odd error", even) + final(figures, "even error", odd)) / 2


def flat(task: Task) -> Task:
    """Return the task with all its parameters in one vector.

    For methods that treat every entry by itself it is the same, and compiles sooner.
    """
    shapes = jax.eval_shape(task.init, jax.random.key(0))
    _, rebuild = ravel_pytree(jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes))
    return replace(
        task,
        init=lambda key: ravel_pytree(task.init(key))[0],
        loss=lambda p, rows: task.loss(rebuild(p), rows),
        evaluate=lambda p, held: task.evaluate(rebuild(p), held),
    )


def one_of(methods: Sequence[Any], which: Any) -> optax.GradientTransformation:
    """Return the transform with this number; it is traced, so that one program trains all."""

    def update(grads: Any, states: Any, p: Any = None) -> Any:
        both = [method.update(grads, s, p) for method, s in zip(methods, states, strict=True)]
        pick = lambda *each: jnp.select([which == i for i in range(len(each))], each)  # noqa: E731
        return jax.tree.map(pick, *(updates for updates, _ in both)), [s for _, s in both]

    return optax.GradientTransformation(lambda p: [method.init(p) for method in methods], update)


class AveragedState(NamedTuple):
    """The state of a transform beside the average of its iterates."""

    inner: Any
    average: Any  # parafree.optim._average.Average


def averaged(
    method: optax.GradientTransformation, gamma: Any = 8.0
) -> optax.GradientTransformationExtraArgs:
    """Return the method with the polynomial average of its iterates, the one that DoG has.

    Args:
        method: any transform.
        gamma: the newest of t iterates has weight (1 + gamma) / (t + gamma); with 1e30, which is
            no average, a grid can hold methods with and without one.
    """
    from parafree.optim import _average

    inner = optax.with_extra_args_support(method)

    def update(grads: Any, state: AveragedState, p: Any = None, **extra: Any) -> Any:
        updates, new = inner.update(grads, state.inner, p, **extra)
        weight = _average.polynomial_weight(state.average.taken + 1, gamma, jnp.float32)
        average = _average.take(state.average, optax.apply_updates(p, updates), weight)
        return updates, AveragedState(new, average)

    return optax.GradientTransformationExtraArgs(
        lambda p: AveragedState(inner.init(p), _average.start(p)), update
    )
