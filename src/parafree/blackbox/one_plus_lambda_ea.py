"""(1+lambda) evolutionary algorithm: flip bits of one parent; a better offspring replaces it.

Marc Kaufmann, Maxime Larcher, Johannes Lengler, Oliver Sieberling, "Hardest Monotone Functions for
Evolutionary Algorithms", 2023, arXiv:2311.07438.
"""

from __future__ import annotations

import jax

from parafree.blackbox._mutated import Mutated
from parafree.core.card import Card


class OnePlusLambdaEA(Mutated):
    """Minimise over bit strings; an offspring that is no worse takes the parent's place.

    With ``population=1`` it is the (1+1)-EA. With ``growth`` above 1 the number of offspring
    follows the success of the search.

    Args:
        population: the most offspring in a batch, at least 1; static. ``None`` takes 1 + 3 log n.
        spread: the deviation of random points where there are no bounds, in units of the scale; a
            leaf, above 0.
        limits: when the search ends by itself; one whose objective changes never does.
        rate: bits that are flipped on average, c of the rate c/n; a leaf, between 0 and n.
        offspring: how many of a batch count at first; a leaf. ``None``: all of them.
        growth: F, by which the number of offspring changes; a leaf, at least 1. With 1 it stays.
        successes: s: the number grows by F^(1/s) without success and is divided by F after one; a
            leaf, above 0.
        dynamic: whether the objective changes from batch to batch; static. Then the parent is the
            first candidate of every batch, and ``best`` is the parent.

    Returns:
        An ask-and-tell method. ``info`` is the room's record; its status says how the search ended.

    Raises:
        MethodError: ``population`` is no whole number of at least 1.

    Cost:
        A batch takes O(population n) operations and memory for n bits. Candidates behind those
        that count are evaluated as well, because the size of a batch is fixed.

    Source:
        arXiv:2311.07438, the (1+1)-EA and the (1+lambda)-EA with standard bit mutation; the rule
        for the number of offspring as in arXiv:2204.00531.

    Differs:
        Anything can be searched, not bits alone: numbers are written in Gray's code, reals with 16
        bits. Ties among offspring go to the first: it is as good as any, as all are drawn alike.

    Example:
        >>> from parafree import Bool, Space, run
        >>> space = Space({f"b{i}": Bool() for i in range(20)})
        >>> zeros = lambda p: sum(1.0 - bit for bit in p.values())
        >>> result = run(OnePlusLambdaEA(population=1), zeros, space, jax.random.key(0), steps=400)
        >>> float(result.value)
        0.0
    """

    def accepts(self, value: jax.Array, parent: jax.Array) -> jax.Array:
        """Say that an offspring replaces the parent if it is no worse."""
        return value <= parent


card = Card(
    method=OnePlusLambdaEA,
    contract="asktell",
    paper="Kaufmann, Larcher, Lengler, Sieberling 2023, arXiv:2311.07438",
    seed=58,
    reference="exact expected times of the Markov chain on OneMax and SDBV; drifts in closed form",
    needs={"values"},
    free_of={"gradient", "learning rate", "step size"},
)
