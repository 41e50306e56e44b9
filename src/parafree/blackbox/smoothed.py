"""Certifies a classifier under noise: within which distance nothing changes its answer.

Jeremy M. Cohen, Elan Rosenfeld, J. Zico Kolter, "Certified Adversarial Robustness via Randomized
Smoothing", ICML 2019.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from parafree.blackbox._asked import require_count
from parafree.core.card import Card
from parafree.core.errors import MethodError

ABSTAIN = -1
_WHERE = "parafree.blackbox.Smoothed"


class Certificate(NamedTuple):
    """What is certain of each of n inputs."""

    label: jax.Array  # (n,), int32, the class; -1 where the draws do not suffice to name one
    radius: jax.Array  # (n,), Euclidean, within which the class stays; 0 where there is none


class SmoothedInfo(NamedTuple):
    """What stands behind a certificate."""

    hits: jax.Array  # (n,), int32, draws with the class that was guessed
    calls: jax.Array  # (), int32, times that the classifier was asked about all inputs


class Smoothed(eqx.Module):
    """The classifier that answers what another one says most often under noise, with a guarantee.

    If under Gaussian noise of deviation sigma a class comes up with probability p above one half,
    no change of the input shorter than sigma Phi^-1(p) can make another class come up more often.
    A few draws guess the class; fresh ones bound p from below. Nothing is asked of the classifier
    but its answers, so it may be a black box, with or without a guard before it.

    Args:
        noise: sigma, in the units of the inputs; a leaf, above 0.
        first: draws that guess the class, at least 1; static.
        draws: draws that bound its probability, at least 1; static. The largest radius that they
            can show is sigma Phi^-1(failure^(1 / draws)).
        failure: alpha, the probability that an input's certificate is wrong, in (0, 1); static.
        block: draws that are evaluated at once, at least 1; static.

    Returns:
        An estimator: ``estimate(key, f, p, a)`` certifies ``f(p, inputs)``, which returns scores
        (n, classes), at the inputs ``a``, an array (n, ...). The value is a ``Certificate``.

    Raises:
        MethodError: a count below 1, or a failure that is no probability.

    Cost:
        ``first + draws`` calls of f, rounded up to whole blocks. Memory of a block of inputs.

    Source:
        Cohen, Rosenfeld, Kolter 2019, arXiv:1902.02918: CERTIFY, theorem 1, with the lower bound
        of Clopper and Pearson.

    Differs:
        A draw whose scores hold a NaN counts for no class. All inputs are certified together, each
        with its own draws. Bounds are computed in float64 for every possible count, once, when the
        program is traced, and rounded down.

    Example:
        >>> line = lambda p, x: jnp.stack([x @ p, -x @ p], axis=-1)
        >>> each = Smoothed(noise=0.5, draws=10_000)
        >>> found, _ = each.estimate(jax.random.key(0), line, jnp.array([1.0, 0.0]),
        ...                          jnp.array([[0.5, 9.0], [-1.0, 0.0], [0.0, 0.0]]))
        >>> print(found.label, found.radius.round(1))  # the distances are 0.5, 1 and 0
        [ 0  1 -1] [0.5 1.  0. ]
    """

    noise: Any = 0.25
    first: int = eqx.field(static=True, default=100)
    draws: int = eqx.field(static=True, default=10_000)
    failure: float = eqx.field(static=True, default=0.001)
    block: int = eqx.field(static=True, default=100)

    def __check_init__(self) -> None:
        require_count("Smoothed", first=self.first, draws=self.draws, block=self.block)
        if not 0 < self.failure < 1:
            raise MethodError(
                f"failure is {self.failure!r}", where=_WHERE, fix="give a probability, like 0.001"
            )

    def estimate(
        self, key: jax.Array, f: Callable[[Any, Any], Any], p: Any, a: jax.Array
    ) -> tuple[Certificate, SmoothedInfo]:
        """Return the classes and radii of the inputs, and what stands behind them."""
        guess, bound = jax.random.split(key)
        scores = lambda x: f(p, x)  # noqa: E731
        top = jnp.argmax(self._counts(guess, scores, a, self.first), axis=-1).astype(jnp.int32)
        counts = self._counts(bound, scores, a, self.draws)
        hits = jnp.take_along_axis(counts, top[:, None], axis=1)[:, 0]
        reach = jnp.asarray(deviations(self.draws, self.failure))[hits]
        sure = reach > 0
        radius = jnp.where(sure, jnp.asarray(self.noise, reach.dtype) * reach, 0)
        calls = self.block * sum(-(-n // self.block) for n in (self.first, self.draws))
        found = Certificate(jnp.where(sure, top, jnp.int32(ABSTAIN)), radius)
        return found, SmoothedInfo(hits, jnp.int32(calls))

    def _counts(self, key: jax.Array, scores: Any, a: jax.Array, draws: int) -> jax.Array:
        """Return how often each class came up (n, classes)."""
        n, classes = jax.eval_shape(scores, a).shape

        def one(number: jax.Array) -> jax.Array:
            blur = jax.random.normal(jax.random.fold_in(key, number), a.shape, a.dtype)
            found = scores(a + jnp.asarray(self.noise, a.dtype) * blur)
            known = ~jnp.isnan(found).any(axis=-1, keepdims=True) & (number < draws)
            return jax.nn.one_hot(jnp.argmax(found, axis=-1), classes, dtype=jnp.int32) * known

        def some(counts: jax.Array, numbers: jax.Array) -> tuple[jax.Array, None]:
            return counts + jnp.sum(jax.vmap(one)(numbers), axis=0, dtype=jnp.int32), None

        numbers = jnp.arange(-(-draws // self.block) * self.block).reshape(-1, self.block)
        return jax.lax.scan(some, jnp.zeros((n, classes), jnp.int32), numbers)[0]


def lower_bound(hits: Any, draws: int, failure: float) -> np.ndarray:
    """Return Clopper and Pearson's lower bound on a probability, in float64.

    A probability below it gives so many hits, or more, with probability at most ``failure``.

    Args:
        hits: how often something came up; whole numbers from 0 to ``draws``.
        draws: how often it could have.
        failure: alpha, in (0, 1).

    Example:
        >>> print(lower_bound([0, 99, 100], 100, 0.001).round(4))
        [0.     0.9114 0.9333]
    """
    from scipy.special import betaincinv

    hits = np.asarray(hits, float)
    none = hits == 0
    return np.where(none, 0.0, betaincinv(np.where(none, 1, hits), draws - hits + 1, failure))


def deviations(draws: int, failure: float) -> np.ndarray:
    """Return Phi^-1 of the lower bound for 0 to ``draws`` hits, float32, rounded down.

    Example:
        >>> print(deviations(100, 0.001)[[50, 99, 100]].round(2))
        [-0.4   1.35  1.5 ]
    """
    from scipy.special import ndtri

    exact = ndtri(lower_bound(np.arange(draws + 1), draws, failure))
    near = exact.astype(np.float32)
    return np.where(near > exact, np.nextafter(near, np.float32(-np.inf)), near)


card = Card(
    method=Smoothed,
    contract="estimator",
    paper="Cohen, Rosenfeld, Kolter 2019, arXiv:1902.02918",
    reference="SciPy's binomial test; the margin of a linear classifier, which is known exactly",
    needs={"values"},
    free_of={"gradient", "access to the weights"},
)
