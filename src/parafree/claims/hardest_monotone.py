"""Hardest monotone functions (arXiv:2311.07438): SDBV takes generations of order n^(3/2)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from parafree.blackbox._binary_value import Order, losses, priorities
from parafree.blackbox.one_comma_lambda_ea import OneCommaLambdaEA
from parafree.blackbox.one_plus_lambda_ea import OnePlusLambdaEA, card
from parafree.claims._claim import Claim, Measurement, Progress
from parafree.claims._power_law import exponent, exponents
from parafree.claims._spread import spread
from parafree.core.space import Bool, Space

_EXPONENT, _TOLERANCE = 1.5, 0.15
_OTHER_TOLERANCE = 0.25  # they are run at smaller n, where lower terms count more
_GROUPS = 5  # independent sets of runs, each with an exponent of its own
_RUNS = 12  # in each group
_SIZES = (50, 100, 200, 400)
_FAST_SIZES = (20, 40, 80)
_OTHER_SIZES = (30, 60, 120)  # for algorithms with many offspring


def times(
    method: Any, order: Order | None, n: int, seed: int, runs: int
) -> tuple[np.ndarray, np.ndarray]:
    """Run a method until its parent has no zero left; return generations and offspring evaluated.

    Args:
        method: an evolutionary algorithm of the room, made for an objective that changes.
        order: which dynamic function; None for OneMax.
        n: bits.
        seed: of the runs.
        runs: how many, each from a random string.

    Returns:
        Two arrays (runs,); the parent's own evaluations are not counted.
    """
    space = Space({f"b{i}": Bool() for i in range(n)})

    def generation(carry: Any) -> Any:
        key, state, count, spent = carry
        key, ask, deal, tell = jax.random.split(key, 4)
        spent += jnp.rint(state.offspring).astype(jnp.int32)
        candidates, state = method.ask(ask, state)
        if order is None:
            values = -jnp.sum(state.asked, axis=1, dtype=jnp.float32)
        else:
            values = losses(priorities(deal, order, state.parent), state.asked)
        state, _ = method.tell(tell, state, candidates, values)
        return key, state, count + 1, spent

    def one(key: jax.Array) -> Any:
        first, key = jax.random.split(key)
        start = key, method.init(first, space), jnp.int32(0), jnp.int32(0)
        return jax.lax.while_loop(lambda c: ~c[1].parent.all(), generation, start)[2:]

    keys = jax.random.split(jax.random.key(seed), runs)
    count, spent = jax.jit(jax.vmap(one))(keys)
    return np.asarray(count), np.asarray(spent)


def exact_time(n: int, onemax: bool = False) -> float:
    """Return the expected generations of the (1+1)-EA on SDBV, or on OneMax, from a random string.

    The zeros of the parent are a Markov chain, whose expected time solves a linear system.

    Example:
        >>> round(exact_time(1), 6)  # half of the strings need one flip of rate 1
        0.5
    """
    from scipy.stats import binom

    p, move = 1 / n, np.zeros((n + 1, n + 1))
    for z in range(n + 1):
        gain, loss = np.meshgrid(np.arange(z + 1), np.arange(n - z + 1), indexing="ij")
        chance = binom.pmf(gain, z, p) * binom.pmf(loss, n - z, p)
        sdbv = gain > 0 if 2 * z < n else loss == 0
        taken = gain >= loss if onemax else sdbv
        np.add.at(move[z], np.where(taken, z - gain + loss, z), chance)
    steps = np.linalg.solve(np.eye(n) - move[1:, 1:], np.ones(n))
    return float(binom.pmf(np.arange(1, n + 1), n, 0.5) @ steps)


def _measure(fast: bool, progress: Progress) -> Measurement:
    sizes, groups = (_FAST_SIZES, 3) if fast else (_SIZES, _GROUPS)
    single = {"(1+1)": lambda n: OnePlusLambdaEA(population=1, dynamic=True)}
    slopes = _slopes(single, sizes, groups, progress)["(1+1)"]
    others = {} if fast else _slopes(_OTHERS, _OTHER_SIZES, groups, progress)
    far = [
        name for name, each in others.items()
        if abs(float(np.median(each)) - _EXPONENT) > _OTHER_TOLERANCE
    ]  # fmt: skip
    exact = [exponent(sizes, [exact_time(n, easy) for n in sizes]) for easy in (False, True)]
    listed = "; ".join(f"{name}-EA {spread(each)}" for name, each in others.items())
    return Measurement(
        values={f"exponent of the {name}-EA on SDBV": each for name, each in
                {"(1+1)": slopes, **others}.items()},
        summary=f"exponent of the (1+1)-EA {spread(slopes)} for n from {sizes[0]} to {sizes[-1]}"
        + (f"; of evaluations for n from {_OTHER_SIZES[0]} to {_OTHER_SIZES[-1]}: {listed}"
           if listed else ""),
        holds=abs(float(np.median(slopes)) - _EXPONENT) <= _TOLERANCE and not far,
        reason=(
            f"For the same n the exact Markov chain of the (1+1)-EA has an exponent of "
            f"{exact[0]:.3f} on SDBV and of {exact[1]:.3f} on OneMax, which takes n log n."
            + (f" More than {_OTHER_TOLERANCE:g} away: {', '.join(far)}." if far else "")
        ),
    )  # fmt: skip


def _slopes(
    methods: Mapping[str, Any], sizes: Any, groups: int, progress: Progress
) -> dict[str, list[float]]:
    """Return the exponent of the evaluations of offspring for each method and group of runs."""
    slopes = {}
    for name, make in methods.items():
        means = []
        for n in sizes:
            progress(f"the {name}-EA on SDBV with {n} bits")
            spent = times(make(n), Order.SWITCHING, n, seed=n, runs=groups * _RUNS)[1]
            means.append(spent.reshape(groups, _RUNS).mean(axis=1))
        slopes[name] = exponents(sizes, means)
    return slopes


def _fixed(n: int) -> dict[str, Any]:
    return {"population": math.ceil(3 * math.log(n)), "dynamic": True}


def _free(n: int) -> dict[str, Any]:
    # Among n offspring there is a success nearly always, so their number is seldom at its limit.
    return {"population": n, "dynamic": True, "offspring": 1.0, "growth": 1.5, "successes": 0.5}


_OTHERS = {
    "(1+lambda)": lambda n: OnePlusLambdaEA(**_fixed(n)),
    "(1,lambda)": lambda n: OneCommaLambdaEA(**_fixed(n)),
    "self-adjusting (1+lambda)": lambda n: OnePlusLambdaEA(**_free(n)),
    "self-adjusting (1,lambda)": lambda n: OneCommaLambdaEA(**_free(n)),
}


claim = Claim(
    name="hardest_monotone",
    card=card,
    paper=(
        "The (1+1)-EA optimises SDBV, which minimises the drift among dynamic monotone functions, "
        "in generations of order n^(3/2); simulations show matching runtimes of the static and the "
        "self-adjusting (1,lambda)-EA and (1+lambda)-EA."
    ),
    setting=(
        f"Random strings of {', '.join(map(str, _SIZES))} bits (fast: "
        f"{', '.join(map(str, _FAST_SIZES))}, and the (1+1)-EA alone), mutation rate 1/n, until "
        f"the last zero is gone; {_GROUPS} groups (fast: 3) of {_RUNS} runs, an exponent for each: "
        "the slope of log mean time over log n. For the other algorithms offspring that are "
        f"evaluated count, with {', '.join(map(str, _OTHER_SIZES))} bits; lambda is 3 log n, or "
        "follows success with F = 1.5 and s = 0.5."
    ),
    threshold=(
        f"the median exponent of the (1+1)-EA is within {_TOLERANCE:g} of {_EXPONENT:g}, that of "
        f"each other algorithm within {_OTHER_TOLERANCE:g}"
    ),
    measure=_measure,
)
