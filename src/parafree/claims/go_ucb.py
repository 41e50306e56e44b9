"""GO-UCB (arXiv:2211.09100): less regret than Gaussian processes with many coordinates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from parafree.blackbox._frame import Region
from parafree.blackbox.ego import EGO
from parafree.blackbox.go_ucb import GOUCB, card
from parafree.blackbox.gp_ucb import GPUCB
from parafree.blackbox.random_draws import RandomDraws
from parafree.blackbox.tpe import TPE
from parafree.claims._claim import Claim, Measurement, Progress
from parafree.claims._spread import spread

_D = 20
_FIRST, _ROUNDS = 20, 40
_FAST_D, _FAST_ROUNDS = 10, 25
_NOISE = 0.1
_SEEDS, _FAST_SEEDS = 3, 3
_FOLDS = 5
_PASSES = 60  # over the data, of a network on breast cancer
_RIVALS = ("EGO", "GP-UCB")
# Found after the first run. Other ridges, radii and starts of the network, the linearised bound,
# and counting the first phase's points again were tried on other functions; none of them helped.
_CAUSES = (
    " Where the function bends in every coordinate, the network's guess from the first points "
    "misleads: its regret is above random search's. EGO has a prior here under which lengths grow "
    "with the dimension; it was published after the paper."
)
_SLOW = ("GP-UCB", "TPE")  # left out of the fast experiment


class Task(NamedTuple):
    """What is minimised, and where."""

    value: Callable[[jax.Array, Any], jax.Array]  # x (d,), seed -> (), without noise
    least: Callable[[int], float]  # seed -> the smallest value, or None where nobody knows
    region: Region
    noise: float


def _box(d: int, half: float) -> Region:
    return Region(jnp.zeros(d), low=-half, high=half)


def _network(seed: Any, d: int) -> tuple[jax.Array, jax.Array]:
    """Return a random function of the paper's family."""
    a, b = jax.random.split(jax.random.fold_in(jax.random.key(7), seed))
    return jax.random.normal(a, (d + 1, 25)), jax.random.normal(b, (25,))


def _network_value(x: jax.Array, seed: Any) -> jax.Array:
    first, second = _network(seed, x.size)
    return jax.nn.sigmoid(x @ first[:-1] + first[-1]) @ second


def _sphere(x: jax.Array, seed: Any) -> jax.Array:
    """Return the squared distance to a random point, as methods begin in the middle."""
    key = jax.random.fold_in(jax.random.key(8), seed)
    return jnp.sum((x - jax.random.uniform(key, x.shape, minval=-3.0, maxval=3.0)) ** 2)


def _network_least(seed: int, d: int) -> float:
    """Return the smallest value that gradient descent finds from 200 points."""
    region = _box(d, 2.0)
    x = jax.random.uniform(jax.random.key(seed), (200, d), minval=-2.0, maxval=2.0)
    slope = jax.vmap(jax.grad(lambda x: _network_value(x, seed)))
    step = lambda x, _: (jnp.clip(x - 0.1 * slope(x), region.low, region.high), None)  # noqa: E731
    x = jax.jit(lambda x: jax.lax.scan(step, x, length=500)[0])(x)
    return float(jnp.min(jax.vmap(lambda x: _network_value(x, seed))(x)))


def synthetic(d: int) -> dict[str, Task]:
    """Return the paper's three functions in d coordinates, as losses."""
    quartic = lambda x, _: jnp.sum(x**4 - 16 * x**2 + 5 * x) / 2  # noqa: E731
    return {
        "network": Task(_network_value, lambda seed: _network_least(seed, d), _box(d, 2.0), _NOISE),
        "sphere": Task(_sphere, lambda _: 0.0, _box(d, 5.0), _NOISE),
        "Styblinski-Tang": Task(quartic, lambda _: -39.16616570377142 * d, _box(d, 5.0), _NOISE),
    }


def breast_cancer() -> Task:
    """Return the error of a network on scikit-learn's breast cancer, over eight hyperparameters.

    They are those of training: rate, momentum, weight decay, scale of the weights at the start,
    noise on the inputs, smoothing of labels, the share of the rate at the end, and the slope of
    the hidden units. The error is the share of patients that five folds get wrong.
    """
    from sklearn.datasets import load_breast_cancer

    x, y = load_breast_cancer(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(y))
    x = ((x - x.mean(0)) / x.std(0))[order].astype(np.float32)
    y = y[order].astype(np.float32)
    fold = np.arange(len(y)) % _FOLDS
    features, labels, folds = jnp.asarray(x), jnp.asarray(y), jnp.asarray(fold)

    def between(u: jax.Array, low: float, high: float) -> jax.Array:
        return jnp.exp(jnp.log(low) + u * (jnp.log(high) - jnp.log(low)))

    def error(p: jax.Array, _: Any) -> jax.Array:
        u = p + 0.5
        rate, decay = between(u[0], 1e-3, 10.0), between(u[2], 1e-6, 1.0)
        momentum, start = 0.99 * u[1], between(u[3], 1e-2, 10.0)
        noise, smooth, end, slope = u[4] * 2, u[5] * 0.5, u[6], between(u[7], 0.1, 10.0)
        keys = jax.random.split(jax.random.key(0), 4)
        w = start * jax.random.normal(keys[0], (30, 8)) / np.sqrt(30)
        v = start * jax.random.normal(keys[1], (8,)) / np.sqrt(8)
        seen = features + noise * jax.random.normal(keys[2], features.shape)
        target = labels * (1 - smooth) + smooth / 2

        def wrong(one: jax.Array) -> jax.Array:
            learn = (folds != one).astype(jnp.float32)

            def loss(net: Any) -> jax.Array:
                logit = jnp.tanh(slope * (seen @ net[0])) @ net[1] + net[2]
                cross = jnp.logaddexp(0.0, logit) - target * logit
                size = sum(jnp.sum(part**2) for part in net)
                return jnp.sum(learn * cross) / jnp.sum(learn) + decay * size

            def step(carry: Any, t: jax.Array) -> Any:
                net, move = carry
                now = rate * (1 + (end - 1) * t / _PASSES)
                move = jax.tree.map(lambda m, g: momentum * m - now * g, move, jax.grad(loss)(net))
                return (jax.tree.map(jnp.add, net, move), move), None

            net = (w, v, jnp.zeros(()))
            still = jax.tree.map(jnp.zeros_like, net)
            times = jnp.arange(_PASSES, dtype=jnp.float32)
            (a, b, c), _ = jax.lax.scan(step, (net, still), times)[0]
            right = ((jnp.tanh(slope * (features @ a)) @ b + c > 0) == (labels > 0.5)).astype(
                jnp.float32
            )
            return jnp.sum((1 - learn) * (1 - right))

        return jnp.sum(jax.vmap(wrong)(jnp.arange(_FOLDS))) / labels.size

    return Task(error, lambda _: float("nan"), _box(8, 0.5), 0.0)


def path(method: Any, task: Task, seed: int, rounds: int) -> np.ndarray:
    """Return the values, without noise, of the points that a method asks for, one at a time."""
    return np.asarray(_path(method, task.value, task.noise, rounds, task.region, seed))


def _path(
    method: Any, value: Any, noise: float, rounds: int, region: Region, seed: int
) -> jax.Array:
    @jax.jit
    def walk(seed: jax.Array) -> jax.Array:
        first, keys = jax.random.split(jax.random.fold_in(jax.random.key(0), seed))

        def turn(state: Any, key: jax.Array) -> Any:
            ask, tell, draw = jax.random.split(key, 3)
            x, state = method.ask(ask, state)
            true = value(x[0], seed)
            told = true + noise * jax.random.normal(draw)
            return method.tell(tell, state, x, told[None])[0], true

        keys = jax.random.split(keys, rounds)
        return jax.lax.scan(turn, method.init(first, region), keys)[1]

    return walk(jnp.asarray(seed))


def regrets(
    methods: dict[str, Any], task: Task, seeds: range, rounds: int
) -> dict[str, list[float]]:
    """Return each method's mean regret after the first points, over random search's, per seed.

    Where nobody knows the least value it is the least that any method and seed has found.
    """
    paths = {
        name: np.array([path(method, task, seed, _FIRST + rounds) for seed in seeds])
        for name, method in methods.items()
    }
    lowest = min(values.min() for values in paths.values())
    least = np.array([task.least(seed) for seed in seeds])
    least = np.where(np.isnan(least), lowest, least)
    mean = {name: values[:, _FIRST:].mean(axis=1) - least for name, values in paths.items()}
    return {
        name: list(map(float, each / mean["random"])) for name, each in mean.items()
        if name != "random"
    }  # fmt: skip


def methods(rounds: int, fast: bool) -> dict[str, Any]:
    """Return the methods that are compared, with the same number of first points."""
    common: dict[str, Any] = {"points": _FIRST + rounds, "first": _FIRST}
    every = {
        "GO-UCB": GOUCB(**common),
        "EGO": EGO(**common),
        "GP-UCB": GPUCB(**common),
        "TPE": TPE(**common),
        "random": RandomDraws(population=1),
    }
    return {name: each for name, each in every.items() if not (fast and name in _SLOW)}


def _measure(fast: bool, progress: Progress) -> Measurement:
    rounds = _FAST_ROUNDS if fast else _ROUNDS
    seeds = range(_FAST_SEEDS if fast else _SEEDS)
    tasks = synthetic(_FAST_D if fast else _D)
    tasks = {"sphere": tasks["sphere"]} if fast else {**tasks, "breast cancer": breast_cancer()}
    values: dict[str, list[float]] = {}
    lost: list[str] = []
    parts: list[str] = []
    for label, task in tasks.items():
        progress(f"{rounds} rounds on the {label}")
        found = regrets(methods(rounds, fast), task, seeds, rounds)
        values |= {f"{label}: regret of {name} over random search's": each
                   for name, each in found.items()}  # fmt: skip
        middle = {name: float(np.median(each)) for name, each in found.items()}
        lost += [f"{label} ({name} {middle[name]:.2f}, GO-UCB {middle['GO-UCB']:.2f})"
                 for name in _RIVALS if middle.get(name, np.inf) <= middle["GO-UCB"]]  # fmt: skip
        listed = ", ".join(f"{name} {each:.3g}" for name, each in middle.items())
        parts.append(f"{label}: GO-UCB {spread(found['GO-UCB'])}; medians {listed}")
    return Measurement(
        values=values,
        summary="; ".join(parts),
        holds=not lost,
        reason=f"A Gaussian process has no more regret on: {', '.join(lost)}."
        + ("" if fast else _CAUSES) if lost
        else "GO-UCB has less regret than both Gaussian processes on every task.",
    )  # fmt: skip


claim = Claim(
    name="go_ucb",
    card=card,
    paper=(
        "Less cumulative regret than Bayesian optimisation with Gaussian processes with 20 "
        "coordinates, also where no function of the family is right; a random network, a sphere "
        "and Styblinski-Tang; tuning of classifiers on breast cancer and two other data sets, "
        "with 7 to 11 hyperparameters."
    ),
    setting=(
        f"The three functions with {_D} coordinates (fast: the sphere with {_FAST_D}, and EGO "
        f"alone), noise of deviation {_NOISE:g}, and a small network's error on "
        "scikit-learn's breast cancer over "
        f"eight hyperparameters; {_FIRST} random points and {_ROUNDS} rounds (fast: "
        f"{_FAST_ROUNDS}), {_SEEDS} seeds (fast: {_FAST_SEEDS}). Regret is the mean over the "
        "rounds of a point's value without noise over the least value, in units of random "
        "search's. All methods as they are shipped."
    ),
    threshold="the median regret is below that of EGO and that of GP-UCB on every task",
    measure=_measure,
)
