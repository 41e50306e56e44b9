"""EGO: a Gaussian process says where an improvement is expected; for values that are expensive.

Donald R. Jones, Matthias Schonlau, William J. Welch, "Efficient Global Optimization of Expensive
Black-Box Functions", Journal of Global Optimization 1998.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from parafree.blackbox._gaussian_process import Posterior
from parafree.blackbox._kriged import Kriged
from parafree.blackbox._modelled import Record
from parafree.core.card import Card


class EGO(Kriged):
    """Minimise by asking where a Gaussian process expects the largest improvement.

    For some hundred values at most, each of which takes far longer than the fraction of a second
    that this search takes to think.

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

    Returns:
        An ask-and-tell method. ``info`` is the room's record; its status says how the search ended.

    Raises:
        MethodError: a number is no whole number of at least 1, or a batch leaves no room.

    Cost:
        A batch takes O(steps m^3) operations for m points remembered and O(m^2 + m d) memory.

    Source:
        Jones, Schonlau and Welch 1998, equation (15) for expected improvement; regression as in
        Rasmussen and Williams 2006; several points at once by a constant lie (Ginsbourger et al.
        2010).

    Differs:
        Matern's kernel with nu = 5/2; its numbers are the most likely ones under a prior whose
        lengths grow with the root of the dimension (arXiv:2402.02229), by steps of Adam that go
        on from the last ones. The logarithm of the improvement is maximised (arXiv:2310.20708),
        by random points and gradient steps. It is measured from the smallest mean at a point that
        is known, not from the smallest value, because values may be noisy. Choices count as
        numbers. A point without a finite value counts as bad as the worst.

    Example:
        >>> from parafree import Real, Space, run
        >>> space = Space(x=Real(-3.0, 3.0), y=Real(-2.0, 2.0))
        >>> wave = lambda p: jnp.sin(3 * p["x"]) + p["x"] ** 2 / 4 + (p["y"] - 1) ** 2
        >>> result = run(EGO(points=30), wave, space, jax.random.key(1), steps=30)
        >>> bool(result.value < -0.9)  # the least is -0.935
        True
    """

    def score(
        self, posterior: Posterior, least: jax.Array, record: Record, x: jax.Array
    ) -> jax.Array:
        """Return the logarithm of the expected improvement."""
        mean, deviation = posterior.predict(x)
        return log_improvement((least - mean) / deviation) + jnp.log(deviation)


def log_improvement(z: jax.Array) -> jax.Array:
    """Return log(phi(z) + z Phi(z)), the expected improvement in units of the deviation.

    Example:
        >>> print(*(f"{log_improvement(jnp.array(z)):.3f}" for z in (0.0, -30.0)))
        -0.919 -457.725
    """
    # Far below 0 both terms cancel; there it is phi(z) / z^2, up to 3 / z^2.
    close = jnp.maximum(z, -4.0)
    density = jnp.exp(-(close**2) / 2) / jnp.sqrt(2 * jnp.pi).astype(z.dtype)
    near = jnp.log(density + close * jax.scipy.special.ndtr(close))
    far = jnp.minimum(z, -4.0)
    tail = -(far**2) / 2 - jnp.log(2 * jnp.pi).astype(z.dtype) / 2 - 2 * jnp.log(-far)
    return jnp.where(z > -4, near, tail + jnp.log1p(-3 / far**2 + 15 / far**4 - 105 / far**6))


card = Card(
    method=EGO,
    contract="asktell",
    paper="Jones, Schonlau, Welch 1998, doi:10.1023/A:1008306431147",
    reference="scikit-learn's GaussianProcessRegressor; expected improvement by integration",
    needs={"values"},
    free_of={"gradient", "learning rate", "step size", "population size"},
    example=lambda: EGO(points=24, first=5, steps=4),
)
