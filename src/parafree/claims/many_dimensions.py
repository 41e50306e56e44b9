"""PyPop7 (arXiv:2212.05652): what exploits structure gets further in many dimensions."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from parafree.blackbox._frame import Region
from parafree.blackbox.cmaes import CMAES
from parafree.blackbox.cooperative import Cooperative
from parafree.blackbox.fast_cmaes import FastCMAES
from parafree.blackbox.lm_cma import LMCMA
from parafree.blackbox.lm_ma_es import LMMAES, card
from parafree.blackbox.r1nes import R1NES
from parafree.blackbox.rm_es import RmES
from parafree.blackbox.sep_cmaes import SepCMAES
from parafree.blackbox.snes import SNES
from parafree.blackbox.xnes import XNES
from parafree.claims._claim import Claim, Measurement, Progress
from parafree.claims._spread import spread

_SEEDS = 3
_DIMENSION, _FAST_DIMENSION = 256, 64
_EVALUATIONS = 100  # for each dimension
_OFTEN = 0.5  # the share of comparisons that must be won in each family, and more
_LOW, _HIGH, _STEP = -5.0, 5.0, 2.0


class Family(NamedTuple):
    """A method that learns a whole covariance, and those that make do with less."""

    name: str
    whole: Any
    structured: tuple[Any, ...]


FAMILIES = (
    Family(
        "evolution strategies",
        CMAES(),
        (SepCMAES(), FastCMAES(), LMCMA(), LMMAES(), RmES(), Cooperative()),
    ),
    Family("natural evolution strategies", XNES(), (SNES(), R1NES())),
)
_FAST_FAMILIES = (Family("evolution strategies", CMAES(), (SepCMAES(), RmES())),)


def functions(dimension: int) -> dict[str, Callable[[jax.Array], jax.Array]]:
    """Return functions of z in R^d whose minimum is 0 at z = 0.

    Example:
        >>> all(abs(float(f(jnp.zeros(8)))) < 1e-5 for f in functions(8).values())
        True
    """
    i = np.arange(dimension) / (dimension - 1)
    stretch = jnp.asarray(10.0 ** (6 * i), jnp.float32)
    powers = jnp.asarray(2 + 4 * i, jnp.float32)

    def rosenbrock(z: jax.Array) -> jax.Array:
        a, b = z[:-1] + 1, z[1:] + 1
        return jnp.sum(100 * (a**2 - b) ** 2 + (a - 1) ** 2)

    def ackley(z: jax.Array) -> jax.Array:
        waves = jnp.exp(jnp.mean(jnp.cos(2 * jnp.pi * z)))
        return 20 * (1 - jnp.exp(-0.2 * jnp.sqrt(jnp.mean(z**2)))) + jnp.e - waves

    return {
        "cigar": lambda z: z[0] ** 2 + 1e6 * jnp.sum(z[1:] ** 2),
        "discus": lambda z: 1e6 * z[0] ** 2 + jnp.sum(z[1:] ** 2),
        "ellipsoid": lambda z: jnp.sum(stretch * z**2),
        "different powers": lambda z: jnp.sum(jnp.abs(z) ** powers),
        "Schwefel 1.2": lambda z: jnp.sum(jnp.cumsum(z) ** 2),
        "Rosenbrock": rosenbrock,
        "Ackley": ackley,
        "Rastrigin": lambda z: jnp.sum(z**2 + 10 * (1 - jnp.cos(2 * jnp.pi * z))),
    }


def rotation(dimension: int, seed: int) -> np.ndarray:
    """Draw a matrix evenly from the orthogonal ones, (d, d)."""
    from scipy.stats import ortho_group

    return np.asarray(ortho_group.rvs(dimension, random_state=seed), np.float32)


def solve(method: Any, dimension: int, evaluations: int, seeds: int) -> tuple[np.ndarray, float]:
    """Let a method loose on every function, shifted and rotated anew for each seed.

    Args:
        method: what asks and tells.
        dimension: d.
        evaluations: in each run, at least; a run ends with a whole batch.
        seeds: runs on each function.

    Returns:
        The lowest values (functions, seeds), and the seconds of an evaluation.
    """
    values = [jax.vmap(function) for function in functions(dimension).values()]
    start = Region(jnp.zeros(dimension), scale=_STEP, low=_LOW, high=_HIGH)
    shape = jax.eval_shape(lambda k: method.ask(k, method.init(k, start))[0], jax.random.key(0))
    batches = -(-evaluations // shape.shape[0])

    def one(problem: Any) -> jax.Array:
        key, which, turned, optimum = problem

        def value(x: jax.Array) -> jax.Array:  # of a whole batch: only so one function is computed
            return jax.lax.switch(which, values, (x - optimum) @ turned.T)

        def batch(i: jax.Array, carry: Any) -> Any:
            state, best = carry
            ask, tell = jax.random.split(jax.random.fold_in(key, i))
            candidates, state = method.ask(ask, state)
            found = value(candidates)
            state, _ = method.tell(tell, state, candidates, found)
            return state, jnp.minimum(best, jnp.min(found))

        begin = method.init(key, start), jnp.float32(jnp.inf)
        return jax.lax.fori_loop(0, batches, batch, begin)[1]

    rng = np.random.default_rng(0)
    turned = np.stack([rotation(dimension, seed) for seed in range(seeds)])
    optima = rng.uniform(0.8 * _LOW, 0.8 * _HIGH, (seeds, dimension)).astype(np.float32)
    seed, which = np.meshgrid(np.arange(seeds), np.arange(len(values)))
    keys = jax.vmap(jax.random.key)(seed.ravel())
    problems = keys, which.ravel(), turned[seed.ravel()], optima[seed.ravel()]
    run = jax.jit(lambda problems: jax.lax.map(one, problems)).lower(problems).compile()
    began = time.perf_counter()
    found = np.asarray(run(problems)).reshape(len(values), seeds)
    return found, (time.perf_counter() - began) / (found.size * batches * shape.shape[0])


class Compared(NamedTuple):
    """A method beside the one of its family that learns a whole covariance."""

    name: str
    whole: str  # the other one's name
    digits: np.ndarray  # (functions, seeds), by how many decimal digits its value is the lower one
    speed: float  # evaluations in a second over the other one's

    @property
    def won(self) -> np.ndarray:
        """Whether the median value is lower, for each function."""
        return np.median(self.digits, axis=1) > 0


def compare(family: Family, dimension: int, progress: Progress) -> list[Compared]:
    """Let the methods of a family loose on all functions."""

    def run(method: Any) -> tuple[np.ndarray, float]:
        progress(f"{type(method).__name__} on functions of {dimension} parameters")
        return solve(method, dimension, _EVALUATIONS * dimension, _SEEDS)

    whole, seconds = run(family.whole)
    compared = []
    for method in family.structured:
        found, own_seconds = run(method)
        names = type(method).__name__, type(family.whole).__name__
        compared.append(Compared(*names, np.log10(whole / found), seconds / own_seconds))
    return compared


def _measure(fast: bool, progress: Progress) -> Measurement:
    dimension = _FAST_DIMENSION if fast else _DIMENSION
    families = _FAST_FAMILIES if fast else FAMILIES
    names = list(functions(dimension))
    found = {family.name: compare(family, dimension, progress) for family in families}
    shares = {name: float(np.mean([each.won for each in all_])) for name, all_ in found.items()}
    every = [each for all_ in found.values() for each in all_]
    slower = [each.name for each in every if each.speed <= 1]
    values = {
        f"digits by which {each.name} is below {each.whole}, {name}": digits.tolist()
        for each in every
        for name, digits in zip(names, each.digits, strict=True)
    } | {f"evaluations in a second, {each.name} over {each.whole}": [each.speed] for each in every}
    return Measurement(
        values=values,
        summary="; ".join(
            f"{each.name} ends below {each.whole} on {each.won.sum()} of {len(names)} functions, "
            f"in the median {spread(np.median(each.digits, axis=0))} digits below, and is "
            f"{each.speed:.3g} times as fast"
            for each in every
        ),
        holds=min(shares.values()) > _OFTEN and not slower,
        reason="Comparisons won: "
        + ", ".join(f"{share:.0%} of those of {name}" for name, share in shares.items())
        + (f". Not faster: {', '.join(slower)}." if slower else "."),
    )


claim = Claim(
    name="many_dimensions",
    card=card,
    paper=(
        "One interface to families of population-based methods. In many dimensions, what exploits "
        "a structure (a separable distribution, little memory, low rank, groups of coordinates) "
        "often converges faster or ends better (the abstract; the experiments' setting was not "
        "read)."
    ),
    setting=(
        f"Eight functions of {_DIMENSION} parameters (fast: {_FAST_DIMENSION}, and three methods), "
        f"shifted and rotated anew for each of {_SEEDS} seeds, {_EVALUATIONS} evaluations for each "
        "parameter; CMA-ES and xNES, which learn a whole covariance, beside those of their family "
        "that do not. All run by the same few lines, with nothing set."
    ),
    threshold=(
        f"within each family more than {_OFTEN:.0%} of the comparisons on a function are won (a "
        "lower median value after the same evaluations), and every such method takes less time for "
        "an evaluation than the one with a whole covariance"
    ),
    measure=_measure,
)
