"""WU-GO (arXiv:2407.11917): robust to the shape of a function and of its random responses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from parafree.blackbox._frame import Region
from parafree.blackbox.ego import EGO
from parafree.blackbox.gp_ucb import GPUCB
from parafree.blackbox.wu_go import WUGO, card
from parafree.claims._claim import Claim, Measurement, Progress
from parafree.claims._spread import spread

_FIRST = 4  # random points, as in the paper
_POINTS, _FAST_POINTS = 34, 14
_SEEDS, _FAST_SEEDS = 3, 3
_REPEATS = 32  # responses of a point; the paper has 1000
_NOISE = 0.1  # deviation of every response, whatever its shape
_NEAR = 0.2  # a run has found a minimum when it asks so close to it


class Simulator(NamedTuple):
    """The logarithm of a function of two coordinates, as in the authors' code."""

    mean: Callable[[jax.Array], jax.Array]  # (2,) -> ()
    minima: np.ndarray  # (k, 2), the global ones
    low: float
    high: float


def _camel(p: jax.Array) -> jax.Array:
    x, y = p
    return jnp.log(2 * x**2 - 1.05 * x**4 + x**6 / 6 + x * y + y**2 + 1e-8)


def _himmelblau(p: jax.Array) -> jax.Array:
    x, y = p
    return jnp.log((x**2 + y - 11) ** 2 + (x + y**2 - 7) ** 2 + 1e-8)


def _levi(p: jax.Array) -> jax.Array:
    x, y = p
    first = jnp.sin(3 * jnp.pi * x) ** 2 + (x - 1) ** 2 * (1 + jnp.sin(3 * jnp.pi * y) ** 2)
    return jnp.log(first + (y - 1) ** 2 * (1 + jnp.sin(2 * jnp.pi * y) ** 2) + 1e-8)


SIMULATORS = {
    "three-hump camel": Simulator(_camel, np.zeros((1, 2)), -5.0, 5.0),
    "Himmelblau": Simulator(
        _himmelblau,
        np.array([[3.0, 2.0], [-2.805118, 3.131312], [-3.77931, -3.283186], [3.584428, -1.848126]]),
        -5.0,
        5.0,
    ),
    "Levi": Simulator(_levi, np.ones((1, 2)), -4.0, 6.0),
}


SHAPES = ("normal", "two bumps", "skewed")


def response(shape: Any, key: jax.Array, n: int) -> jax.Array:
    """Return random numbers (n,) of mean 0 and deviation 1.

    Args:
        shape: which of ``SHAPES``: normal; two bumps, half of the numbers each; exponential.
        key: a JAX key.
        n: how many.
    """
    side, normal, skewed = jax.random.split(key, 3)
    sign = jnp.where(jax.random.bernoulli(side, 0.5, (n,)), 1.0, -1.0)
    z = jax.random.normal(normal, (n,))
    bumps = 0.95 * sign + np.sqrt(1 - 0.95**2) * z
    return jnp.stack([z, bumps, jax.random.exponential(skewed, (n,)) - 1])[shape]


def walker(method: Any, points: int) -> Callable[..., np.ndarray]:
    """Return ``asked(simulator, shape, seeds)``, which compiles once.

    It returns the points (seeds, points, 2) that a method asks of a simulator, by its name.
    """

    def walk(which: Any, shape: Any, low: Any, high: Any, seed: jax.Array) -> jax.Array:
        first, keys = jax.random.split(jax.random.fold_in(jax.random.key(0), seed))
        middle = jnp.full(2, (low + high) / 2 + 0.5)  # no minimum is there
        region = Region(middle, low=low, high=high)

        def mean(p: jax.Array) -> jax.Array:
            return jnp.stack([each.mean(p) for each in SIMULATORS.values()])[which]

        def turn(state: Any, key: jax.Array) -> Any:
            ask, tell, draw = jax.random.split(key, 3)
            x, state = method.ask(ask, state)
            values = jax.vmap(mean)(x) + _NOISE * response(shape, draw, len(x))
            return method.tell(tell, state, x, values)[0], x[0]

        keys = jax.random.split(keys, points)
        return jax.lax.scan(turn, method.init(first, region), keys)[1]

    many = jax.jit(
        lambda which, shape, low, high, seeds: jax.lax.map(
            lambda seed: walk(which, shape, low, high, seed), seeds
        )
    )

    def asked(simulator: str, shape: str, seeds: int) -> np.ndarray:
        which, number = list(SIMULATORS).index(simulator), SHAPES.index(shape)
        ends = SIMULATORS[simulator].low, SIMULATORS[simulator].high
        return np.asarray(many(which, number, *ends, jnp.arange(seeds)))

    return asked


def closest(points: np.ndarray, simulator: Simulator) -> np.ndarray:
    """Return the smallest distance (seeds,) of a run's points to a minimum.

    Example:
        >>> closest(np.array([[[3.0, 4.0], [0.0, 2.0]]]), SIMULATORS["three-hump camel"])
        array([2.])
    """
    apart = points[:, :, None] - simulator.minima
    return np.linalg.norm(apart, axis=-1).min(axis=(1, 2))


def methods(points: int, fast: bool) -> dict[str, Any]:
    """Return the methods that are compared: two, or three."""
    common: dict[str, Any] = {"first": _FIRST, "points": points, "repeats": _REPEATS}
    two = {"WU-GO": WUGO(**common), "EGO": EGO(**common)}
    return two if fast else {**two, "GP-UCB": GPUCB(**common)}


def _measure(fast: bool, progress: Progress) -> Measurement:
    points, seeds = (_FAST_POINTS, _FAST_SEEDS) if fast else (_POINTS, _SEEDS)
    cases = [(name, shape) for name in SIMULATORS for shape in SHAPES]
    cases = [("Himmelblau", "two bumps")] if fast else cases
    compared = {label: walker(method, points) for label, method in methods(points, fast).items()}
    rivals = [label for label in compared if label != "WU-GO"]
    found: dict[str, list[np.ndarray]] = {label: [] for label in compared}
    for name, shape in cases:
        progress(f"{name}, responses {shape}")
        for label, asked in compared.items():
            found[label].append(closest(asked(name, shape, seeds), SIMULATORS[name]))
    solved = {label: np.array(each) <= _NEAR for label, each in found.items()}  # (cases, seeds)
    share = {label: float(each.mean()) for label, each in solved.items()}
    worst = {label: float(each.mean(axis=1).min()) for label, each in solved.items()}
    lost = [
        label for label in rivals
        if share["WU-GO"] <= share[label] or worst["WU-GO"] < worst[label]
    ]  # fmt: skip
    listed = ", ".join(f"{label} {share[label]:.0%} (worst case {worst[label]:.0%})"
                       for label in share)  # fmt: skip
    values = {
        f"{name}, {shape}: distance of {label} to a minimum": list(map(float, each[i]))
        for label, each in found.items() for i, (name, shape) in enumerate(cases)
    }  # fmt: skip
    every = {label: np.concatenate(each).tolist() for label, each in found.items()}
    return Measurement(
        values=values,
        summary=f"runs that find a minimum: {listed}; distances of WU-GO {spread(every['WU-GO'])}, "
        + ", ".join(f"of {label} {spread(every[label])}" for label in rivals),
        holds=not lost,
        reason=f"Not more robust than {' and '.join(lost)}, which is told the mean of the same "
        f"responses; the shares are {listed}." if lost
        else "WU-GO finds a minimum more often than the others, and no case is worse for it.",
    )  # fmt: skip


claim = Claim(
    name="wu_go",
    card=card,
    paper=(
        "More robust to the shape of the function and of the stochastic response than efficient "
        "global optimisation with Gaussian processes, deep ones among them; seven functions with "
        "2 to 20 coordinates, 1000 responses of each point, until a point is near a minimum."
    ),
    setting=(
        "The logarithms of three-hump camel, Himmelblau and Levi, as in the authors' code, with "
        "responses that are normal, have two bumps or are exponential (fast: Himmelblau with two "
        f"bumps, beside EGO alone), all of deviation {_NOISE:g}; {_REPEATS} responses of each "
        f"point, {_FIRST} random points, {_POINTS} in all (fast: "
        f"{_FAST_POINTS}), {_SEEDS} seeds (fast: {_FAST_SEEDS}). "
        f"A run has found a minimum when it has asked within {_NEAR:g} of a global one."
    ),
    threshold=(
        "WU-GO finds a minimum in more runs than EGO and than GP-UCB, and in no smaller share of "
        "the runs of the worst case"
    ),
    measure=_measure,
)
