"""GFM: descends along slopes in random directions, for objectives neither smooth nor convex.

Tianyi Lin, Zeyu Zheng, Michael I. Jordan, "Gradient-Free Methods for Deterministic and Stochastic
Nonsmooth Nonconvex Optimization", NeurIPS 2022; in the form of Chen, Xu, Luo, "Faster Gradient-Free
Algorithms for Nonsmooth Nonconvex Stochastic Optimization", ICML 2023.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from parafree.blackbox._asked import draw_rows, require_count, status, values
from parafree.blackbox._frame import Frame, frame
from parafree.blackbox._sampled import choose
from parafree.blackbox._sphere import on_sphere, slope
from parafree.core.card import Card
from parafree.core.contracts import Objective


class GFMState(NamedTuple):
    """Where a run stands; d coordinates, dtype of the frame."""

    frame: Frame
    x: jax.Array  # (d,), the current point
    drawn: jax.Array  # (d,), one of the points so far, each as likely as any other
    t: jax.Array  # (), int32, steps taken


class GFMInfo(NamedTuple):
    """What a step found."""

    norm: jax.Array  # (), Euclidean norm of the estimated gradient
    calls: jax.Array  # (), int32, values asked for
    status: jax.Array  # (), int32, a Status of the core


class GFM(eqx.Module):
    """Minimise anything that is Lipschitz, from pairs of values.

    A pair lies at both ends of a diameter of a small sphere around the point; how the value rises
    along it, times the dimension, estimates the gradient of the mean over the ball. Both values are
    asked for on the same row of data.

    Args:
        radius: delta, of the ball, in units of the scale; a leaf, above 0.
        rate: eta, the step size; a leaf, above 0.
        batch_size: pairs in a step, each in its own direction and on its own row; static.

    Returns:
        A search. ``best`` is the current point. The guarantee speaks of a point drawn evenly from
        all of them, which is ``state.drawn``.

    Shapes:
        What the room's methods take: a pytree, a :class:`Region` or a space.

    Raises:
        MethodError: ``batch_size`` is no whole number of at least 1.

    Cost:
        A step asks for 2 ``batch_size`` values. Memory O(batch_size d).

    Source:
        arXiv:2301.06428, algorithm 1. A (delta, epsilon)-Goldstein stationary point takes
        O(d^(3/2) (L^4 / epsilon^4 + D L^3 / (delta epsilon^4))) values.

    Differs:
        A step may have several pairs, as in algorithm 2. Pairs that are not finite are left out;
        a step without any is not taken.

    Example:
        >>> import parafree
        >>> kink = lambda p: jnp.sum(jnp.abs(p - jnp.array([1.0, -1.0])))
        >>> result = parafree.run(GFM(0.01, 0.01), kink, jnp.zeros(2), jax.random.key(0), steps=800)
        >>> print(result.p.round(1))
        [ 1. -1.]
    """

    radius: Any = 1e-3
    rate: Any = 1e-2
    batch_size: int = eqx.field(static=True, default=1)

    def __check_init__(self) -> None:
        require_count("GFM", batch_size=self.batch_size)

    def init(self, key: jax.Array, p: Any, objective: Objective) -> GFMState:
        """Return the state at ``p``; nothing is evaluated."""
        where = frame(p)
        start = jnp.zeros_like(where.origin)
        return GFMState(where, start, start, jnp.int32(0))

    def step(
        self, key: jax.Array, state: GFMState, objective: Objective
    ) -> tuple[GFMState, GFMInfo]:
        """Take one step against the estimated gradient."""
        turn, rows, lot = jax.random.split(key, 3)
        x, n, dtype = state.x, self.batch_size, state.x.dtype
        e = on_sphere(turn, (n, x.shape[0]), dtype)  # line 3
        rows = draw_rows(rows, objective, (n, 1))  # line 4
        reach = jnp.asarray(self.radius, dtype) * e
        points = jnp.concatenate([x + reach, x - reach])
        f = values(objective, state.frame, points, jnp.concatenate([rows, rows]))
        found = slope(e, f[:n], f[n:], self.radius)  # line 5
        sound = found.pairs > 0
        after = advance(lot, state, found.gradient, self.rate)  # line 6
        norm = jnp.sqrt(jnp.sum(found.gradient**2))
        info = GFMInfo(norm, jnp.int32(2 * n), status(sound))
        return choose(sound, after, state), info

    def best(self, state: GFMState) -> Any:
        """Return the current point."""
        return state.frame.point(state.x)


def advance(key: jax.Array, state: Any, gradient: jax.Array, rate: Any) -> Any:
    """Return the state after a step; with chance 1 / (t + 1) the point before it is the drawn one.

    So each of the points so far is as likely to be drawn as any other.
    """
    dtype = state.x.dtype
    new = jax.random.uniform(key, (), dtype) * (state.t + 1).astype(dtype) < 1
    return state._replace(
        x=state.x - jnp.asarray(rate, dtype) * gradient,
        drawn=jnp.where(new, state.x, state.drawn),
        t=state.t + 1,
    )


card = Card(
    method=GFM,
    contract="search",
    paper="Lin, Zheng, Jordan 2022, arXiv:2209.05045",
    reference="the algorithm in slow NumPy with the same draws",
    needs={"values"},
    free_of={"gradient", "smoothness"},
    example=lambda: GFM(radius=0.1),
)
