"""IPOP: restarts with a population that doubles, so that the search becomes ever more global.

Anne Auger, Nikolaus Hansen, "A Restart CMA Evolution Strategy with Increasing Population Size",
CEC 2005.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from parafree.blackbox._restarts import Restarting, Run
from parafree.core.card import Card


class IPOP(Restarting):
    """Begin again with twice the population whenever the method has ended.

    Args:
        method: any evolution strategy of this room; its population is the batch that is asked for.
        doublings: how often the population may double; static. Fewer where the candidates of the
            largest generation would hold more than 16 million numbers.

    Returns:
        An ask-and-tell method. ``info.status`` says how a run ended, ``info.restarts`` how many
        have begun anew, ``info.population`` how large generations are.

    Raises:
        MethodError: the method cannot change its population.

    Cost:
        Every batch has the method's population; a generation takes population / batch of them.
        Memory for the draws of the largest generation. What the method takes from a generation
        (``gather``) is compiled once for each factor of 32 in its population.

    Source:
        Auger and Hansen 2005, section 2: doubling, and a new start in the region.

    Differs:
        At the largest population runs go on with that. A run in which a whole generation had no
        finite value is over as well, and the population then stays.

    Example:
        >>> from parafree import run
        >>> from parafree.blackbox import IPOP, Region
        >>> def bumps(p):  # 100 local minima for each that is global
        ...     return jnp.sum(p**2 + 10 * (1 - jnp.cos(2 * jnp.pi * p)))
        >>> region = Region(jnp.full(2, 2.0), low=-5, high=5)
        >>> result = run(IPOP(), bumps, region, jax.random.key(0), steps=2000)
        >>> bool(result.value < 1e-6)
        True
    """

    def plan(self, u: jax.Array, run: Run, batch: int, capacity: int) -> Run:
        """Return a run with twice the population."""
        population = jnp.minimum(2 * run.population, capacity)
        return run._replace(population=population, large=population, spent=jnp.int32(0))


card = Card(
    method=IPOP,
    contract="asktell",
    paper="Auger, Hansen 2005, doi:10.1109/CEC.2005.1554902",
    seed=208,
    reference="a method with the larger population itself, generation for generation; pycma",
    needs={"values"},
    free_of={"gradient", "learning rate", "population size"},
)
