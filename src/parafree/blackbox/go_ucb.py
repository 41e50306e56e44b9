"""GO-UCB: fit a parametric function, and ask where some function close to it would be lowest.

Chong Liu, Yu-Xiang Wang, "Global Optimization with Parametric Function Approximation", ICML 2023,
arXiv:2211.09100.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from parafree.blackbox._frame import normal
from parafree.blackbox._modelled import Modelled, Record
from parafree.blackbox._promising import most_promising
from parafree.blackbox._threefry import turned
from parafree.core.card import Card

_HIDDEN = 25  # of the paper's network
_LEAST = 1e-4  # damping of a step of the regression
_APART = 0.1  # of the scale, in one coordinate at least: points of one batch


class Family(NamedTuple):
    """Functions f(w, x) -> number, of which one is thought to be close to the objective.

    Both are pure JAX functions; x is the vector of a search's coordinates, its unit the scale of
    the space or region, and f is in units of the values' deviation, around their mean.
    """

    draw: Callable[[jax.Array, int], Any]  # key, dimension -> a random w, a pytree of arrays
    value: Callable[[Any, jax.Array], jax.Array]  # w, x (d,) -> ()


class GOUCBState(NamedTuple):
    """Where GO-UCB stands; D numbers in w."""

    record: Record
    w: jax.Array  # (D,), w_0, from the first phase's regression
    middle: jax.Array  # (), of the first phase's values
    unit: jax.Array  # (), their deviation
    begun: jax.Array  # (), bool: the first phase is over


class Ball(NamedTuple):
    """The functions that are left after m points: w within an ellipsoid around ``centre``."""

    centre: jax.Array  # (D,), w_t
    gradients: jax.Array  # (m, D), of the points at w_0; 0 where there is none
    inverse: jax.Array  # (m, m), of lambda I + G G^T
    ridge: jax.Array  # (), lambda
    radius: jax.Array  # (), the root of beta_t

    def shrink(self, g: jax.Array) -> jax.Array:
        """Return Sigma^-1 g (n, D) for rows g (n, D), by Woodbury's identity."""
        across = g @ self.gradients.T
        return (g - across @ self.inverse @ self.gradients) / self.ridge

    def lowest(self, g: jax.Array) -> jax.Array:
        """Return for each row of g (n, D) the w of the ball in which g w is smallest."""
        direction = self.shrink(g)
        square = jnp.sum(direction * g, axis=1, keepdims=True)
        length = jnp.sqrt(jnp.where(square > 0, square, 1))
        return self.centre - self.radius * direction / length


class GOUCB(Modelled):
    """Minimise by optimism about a parametric function, a small neural network by default.

    A parametric function extrapolates where a Gaussian process returns to its mean, which helps
    with many coordinates. Where its form is known it can be given.

    Args:
        population: points in a batch; static. Further ones are chosen as if the first had the
            mean value of the first phase, and a little apart from it.
        repeats: evaluations of each point, whose mean counts; static.
        points: how many are remembered; static. Then the oldest makes room, but never the best.
        first: points of the first phase; static. ``None`` takes 2 d + 2.
        spread: of the first points where there are no bounds, in units of the scale; a leaf,
            above 0. Between two bounds they are spread evenly.
        limits: when the search ends by itself.
        family: the parametric functions; static. ``None`` takes a network with 25 hidden units.
        ridge: lambda, how strongly w is held at the first phase's; a leaf, above 0.
        confidence: beta, the square of the ball's radius; a leaf, at least 0.
        steps: of the regression that ends the first phase; static.

    Returns:
        An ask-and-tell method. ``info`` is the room's record; its status says how the search ended.

    Raises:
        MethodError: a number is no whole number of at least 1, or a batch leaves no room.

    Cost:
        A point takes O(m^2 D + tries m D) operations for m points remembered, D numbers in w and
        256 tries, and O(m D) memory; the regression takes ``steps`` times as
        much as a gradient at m points, once.

    Source:
        arXiv:2211.09100, algorithm 1: Sigma_t (3), w_t in closed form (6), Ball_t, and the point
        that is best for the most optimistic function of the ball.

    Differs:
        Sigma_t is never formed: its inverse is applied through the m x m matrix of gradients'
        products, which is the same. The most optimistic function at a point is taken where the
        ball's linearised function is lowest, and evaluated without linearising; the search for
        the point is this room's. beta does not grow. Points of one batch differ by a tenth of the
        scale in one coordinate at least, since a network that is wrong in a corner asks for that
        corner again and again. Values are brought to mean 0 and deviation 1
        with the numbers of the first phase. The regression is Levenberg's and Marquardt's, from a
        random w.

    Example:
        >>> from parafree import run
        >>> from parafree.blackbox import Region
        >>> region = Region(jnp.zeros(6), low=-2.0, high=2.0)
        >>> planes = Family(lambda key, d: jnp.zeros(d + 1), lambda w, x: x @ w[:-1] + w[-1])
        >>> slope = lambda p: p @ jnp.arange(1.0, 7.0)
        >>> search = GOUCB(family=planes, points=24, first=8)
        >>> float(run(search, slope, region, jax.random.key(0), steps=12).value)
        -42.0
    """

    family: Family | None = eqx.field(default=None, static=True)
    ridge: Any = 1.0
    confidence: Any = 0.1
    steps: int = eqx.field(default=50, static=True)

    def begin(self, key: jax.Array, record: Record) -> GOUCBState:
        """Return the state with a random w."""
        dtype = record.frame.dtype
        w = ravel_pytree(self._family.draw(key, record.frame.dimension))[0].astype(dtype)
        zero = jnp.zeros((), dtype)
        return GOUCBState(record, w, zero, zero + 1, jnp.asarray(False))

    def learn(self, key: jax.Array, state: GOUCBState) -> GOUCBState:
        """End the first phase with a regression; afterwards all is in the record."""
        return jax.lax.cond(state.begun, lambda: state, lambda: self._regressed(state))

    def propose(self, key: jax.Array, state: GOUCBState) -> jax.Array:
        """Return the points that are lowest for the most optimistic functions."""
        record, (q, d) = state.record, state.record.asked.shape
        f = self._function(key, d)
        slopes = jax.vmap(jax.grad(f), in_axes=(None, 0))
        # Only points of the second phase count: what the first one taught is in w_0.
        counts = record.known & (record.age >= self.few(d))
        rest = (record.heights() - state.middle) / state.unit
        rest = jnp.where(counts, rest - jax.vmap(f, in_axes=(None, 0))(state.w, record.x), 0)
        gradients = jnp.where(counts[:, None], slopes(state.w, record.x), 0)
        gradients = jnp.concatenate([gradients, jnp.zeros((q, state.w.size), state.w.dtype)])
        rest = jnp.concatenate([rest, jnp.zeros(q, rest.dtype)])

        def one(carry: Any, turn: jax.Array) -> Any:
            gradients, rest, asked = carry
            row = record.x.shape[0] + turn
            ball = self._ball(gradients, rest, state.w)

            def score(x: jax.Array) -> jax.Array:
                lowest = jax.vmap(f)(ball.lowest(slopes(ball.centre, x)), x)
                apart = jnp.max(jnp.abs(x[:, None] - asked), axis=-1) >= _APART
                return jnp.where(apart.all(axis=1), -lowest, -jnp.inf)

            point = most_promising(turned(key, turn), score, record, self.spread)
            gradients = gradients.at[row].set(slopes(state.w, point[None])[0])
            rest = rest.at[row].set(-f(state.w, point))
            return (gradients, rest, asked.at[turn].set(point)), point

        start = (gradients, rest, jnp.full((q, d), jnp.inf, rest.dtype))
        return jax.lax.scan(one, start, jnp.arange(q, dtype=jnp.int32))[1]

    @property
    def _family(self) -> Family:
        return self.family or _NETWORK

    def _function(self, key: jax.Array, dimension: int) -> Callable[..., jax.Array]:
        """Return f(w, x) for a flat w."""
        shape = jax.eval_shape(lambda: self._family.draw(key, dimension))
        blank = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shape)
        pack = ravel_pytree(blank)[1]
        widen = lambda w: jax.tree.map(lambda x: x.astype(w.dtype), pack(w))  # noqa: E731
        return lambda w, x: self._family.value(widen(w), x)

    def _ball(self, gradients: jax.Array, rest: jax.Array, w: jax.Array) -> Ball:
        """Return the ball, given gradients (m, D) and residuals (m,) at w_0."""
        ridge = jnp.asarray(self.ridge, w.dtype)
        gram = gradients @ gradients.T + ridge * jnp.eye(gradients.shape[0], dtype=w.dtype)
        root = jnp.linalg.cholesky(gram)
        eye = jnp.eye(gradients.shape[0], dtype=w.dtype)
        inverse = jax.scipy.linalg.cho_solve((root, True), eye)
        centre = w + gradients.T @ (inverse @ rest)
        return Ball(
            centre, gradients, inverse, ridge, jnp.sqrt(jnp.asarray(self.confidence, w.dtype))
        )

    def _regressed(self, state: GOUCBState) -> GOUCBState:
        record, (y, middle, unit) = state.record, state.record.standard
        f = jax.vmap(self._function(jax.random.key(0), record.frame.dimension), in_axes=(None, 0))

        def misses(w: jax.Array) -> jax.Array:
            return jnp.where(record.known, f(w, record.x) - y, 0)

        def step(carry: tuple[jax.Array, jax.Array], _: None) -> tuple:
            w, damping = carry
            r, slopes = misses(w), jax.jacrev(misses)(w)
            gram = slopes @ slopes.T + damping * jnp.eye(r.size, dtype=r.dtype)
            new = w - slopes.T @ jax.scipy.linalg.solve(gram, r, assume_a="pos")
            better = jnp.sum(misses(new) ** 2) < jnp.sum(r**2)
            damping = jnp.where(better, damping / 3, damping * 4)
            return (jnp.where(better, new, w), jnp.clip(damping, _LEAST, 1 / _LEAST)), None

        w = jax.lax.scan(step, (state.w, jnp.ones((), y.dtype)), length=self.steps)[0][0]
        return GOUCBState(record, w, middle, unit, jnp.asarray(True))


def _draw(key: jax.Array, dimension: int) -> dict[str, jax.Array]:
    rows = dimension + 1
    first, second = jnp.split(normal(key, ((rows + 1) * _HIDDEN + 1,), float), [rows * _HIDDEN])
    first = first.reshape(rows, _HIDDEN) / jnp.sqrt(dimension + 1.0)
    return {"first": first, "second": second / jnp.sqrt(_HIDDEN)}


def _value(w: dict[str, jax.Array], x: jax.Array) -> jax.Array:
    hidden = jax.nn.sigmoid(x @ w["first"][:-1] + w["first"][-1])
    return hidden @ w["second"][:-1] + w["second"][-1]


_NETWORK = Family(_draw, _value)  # the paper's: two linear layers, a sigmoid in between


card = Card(
    method=GOUCB,
    contract="asktell",
    paper="Liu, Wang 2023, arXiv:2211.09100",
    seed=82,
    reference="Sigma_t, w_t and the ball's lowest function by matrices in NumPy; a linear family",
    needs={"values"},
    free_of={"gradient", "learning rate", "step size", "population size"},
    example=lambda: GOUCB(points=24, first=5, steps=5),
)
