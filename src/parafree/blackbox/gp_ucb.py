"""GP-UCB: a Gaussian process says how low a value may be; the lowest bound is asked for.

Niranjan Srinivas, Andreas Krause, Sham M. Kakade, Matthias Seeger, "Gaussian Process Optimization
in the Bandit Setting: No Regret and Experimental Design", ICML 2010, arXiv:0912.3995.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from parafree.blackbox._gaussian_process import Posterior
from parafree.blackbox._kriged import Kriged
from parafree.blackbox._modelled import Record
from parafree.core.card import Card


class GPUCB(Kriged):
    """Minimise by asking where the confidence bound of a Gaussian process is lowest.

    As :class:`EGO`, but it goes on exploring for ever, more and more slowly; its regret is bounded.

    Args:
        population: points in a batch; static. Further ones are chosen as if the first had the
            mean value of all.
        repeats: evaluations of each point, whose mean counts; static.
        points: how many are remembered; static. Then the oldest makes room, but never the best.
        first: random points before the model is asked; static. ``None`` takes 2 d + 2.
        spread: of the first points where there are no bounds, in units of the scale; a leaf,
            above 0. Between two bounds they are spread evenly.
        limits: when the search ends by itself.
        steps: of the fit of the kernel after each batch; static.
        confidence: c in beta = c d log(2 t) after t points; a leaf, above 0.

    Returns:
        An ask-and-tell method. ``info`` is the room's record; its status says how the search ended.

    Raises:
        MethodError: a number is no whole number of at least 1, or a batch leaves no room.

    Cost:
        A batch takes O(steps m^3) operations for m points remembered and O(m^2 + m d) memory.

    Source:
        arXiv:0912.3995, algorithm 1; several points at once by a constant lie (Ginsbourger et al.
        2010).

    Differs:
        The bound's factor is 0.2 d log(2 t) as in Kandasamy et al. 2015, because the proven one
        explores too long. Kernel, prior, fit and the search for the lowest bound are those of
        :class:`EGO`. Choices count as numbers.

    Example:
        >>> from parafree import Real, Space, run
        >>> space = Space(x=Real(-3.0, 3.0), y=Real(-2.0, 2.0))
        >>> wave = lambda p: jnp.sin(3 * p["x"]) + p["x"] ** 2 / 4 + (p["y"] - 1) ** 2
        >>> result = run(GPUCB(points=30), wave, space, jax.random.key(0), steps=30)
        >>> bool(result.value < -0.9)  # the least is -0.937
        True
    """

    confidence: Any = 0.2

    def score(
        self, posterior: Posterior, least: jax.Array, record: Record, x: jax.Array
    ) -> jax.Array:
        """Return minus the lower confidence bound."""
        mean, deviation = posterior.predict(x)
        return jnp.sqrt(beta(record, self.confidence)) * deviation - mean


def beta(record: Record, confidence: Any) -> jax.Array:
    """Return the square of the bound's distance from the mean, in deviations."""
    dtype, t = record.frame.dtype, record.told.astype(record.frame.dtype)
    return jnp.asarray(confidence, dtype) * record.frame.dimension * jnp.log(2 * t)


card = Card(
    method=GPUCB,
    contract="asktell",
    paper="Srinivas, Krause, Kakade, Seeger 2010, arXiv:0912.3995",
    reference="scikit-learn's GaussianProcessRegressor; the bound's minimum on a grid",
    needs={"values"},
    free_of={"gradient", "learning rate", "step size", "population size"},
    example=lambda: GPUCB(points=24, first=5, steps=4),
)
