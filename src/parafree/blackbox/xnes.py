"""xNES: natural gradient ascent on a normal distribution, in exponential coordinates.

Tobias Glasmachers, Tom Schaul, Yi Sun, Daan Wierstra, Juergen Schmidhuber, "Exponential Natural
Evolution Strategies", GECCO 2010.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from parafree.blackbox._ranking import utilities
from parafree.blackbox._shaped import Shaped, ShapedState
from parafree.core.card import Card

_SQUARINGS, _TERMS, _LONGEST = 4, 9, 4.0


class XNES(Shaped):
    """Minimise by the natural gradient of the expected rank, with a full covariance.

    Args:
        population: candidates in a batch, at least 4; static. ``None`` takes 4 + 3 log d.
        spread: the first step size, in units of the scale; a leaf, above 0.
        limits: when the search ends by itself.

    Returns:
        An ask-and-tell method. ``info`` is the room's record; its status says how the search ended.

    Raises:
        MethodError: ``population`` is no whole number of at least 4.

    Cost:
        A batch of n candidates takes O(n d^2 + d^3) operations, all in matrix products; memory
        O(n d + d^2).

    Source:
        Glasmachers et al. 2010, algorithm 1 and table 1.

    Differs:
        The exponential of the (small, symmetric) update of the shape is a Taylor series with
        squaring, exact to rounding, because that compiles and runs faster than the general one;
        an update whose norm is above 4 is shortened to that. Step sizes grow by at most e in a
        generation. Candidates without a finite value count as the worst.

    Example:
        >>> from parafree import run
        >>> valley = lambda p: 100 * (p["y"] - p["x"] ** 2) ** 2 + (1 - p["x"]) ** 2
        >>> start = {"x": -1.0, "y": 2.0}
        >>> result = run(XNES(), valley, start, jax.random.key(1), steps=600)
        >>> bool(result.value < 1e-3)
        True
    """

    def learn(
        self, state: ShapedState, draws: jax.Array, values: jax.Array, count: jax.Array
    ) -> ShapedState:
        """Follow the natural gradient, with rate 1 for the mean."""
        core, d = state.core, state.core.frame.dimension
        utility = utilities(values, count)
        mean = core.mean + core.sigma * (state.matrix @ (utility @ draws))
        gradient = (draws.T * utility) @ draws - jnp.sum(utility) * jnp.eye(d, dtype=draws.dtype)
        size = jnp.trace(gradient) / d
        rate = 0.6 * (3 + math.log(d)) / (d * math.sqrt(d))
        sigma = core.sigma * jnp.exp(jnp.minimum(rate / 2 * size, 1))
        turn = rate / 2 * (gradient - size * jnp.eye(d, dtype=draws.dtype))
        return ShapedState(core._replace(mean=mean, sigma=sigma), state.matrix @ _exponential(turn))


def _exponential(matrix: jax.Array) -> jax.Array:
    """Return the exponential of a matrix, shortened to the longest norm it may have."""
    norm = jnp.sqrt(jnp.sum(matrix**2))
    small = matrix * (_LONGEST / jnp.maximum(norm, _LONGEST)) / 2**_SQUARINGS
    eye = jnp.eye(matrix.shape[0], dtype=matrix.dtype)
    series = eye
    for term in range(_TERMS, 0, -1):
        series = eye + small @ series / term
    for _ in range(_SQUARINGS):
        series = series @ series
    return series


card = Card(
    method=XNES,
    contract="asktell",
    paper="Glasmachers, Schaul, Sun, Wierstra, Schmidhuber 2010, doi:10.1145/1830483.1830557",
    seed=208,
    reference="the paper's algorithm in NumPy and SciPy's exponential, draw for draw",
    needs={"values"},
    free_of={"gradient", "population size"},
)
