"""GFM+: GFM whose slopes are corrected from step to step instead of being drawn anew.

Lesi Chen, Jing Xu, Luo Luo, "Faster Gradient-Free Algorithms for Nonsmooth Nonconvex Stochastic
Optimization", ICML 2023.
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
from parafree.blackbox.gfm import GFMInfo, advance
from parafree.core.card import Card
from parafree.core.contracts import Objective


class GFMPlusState(NamedTuple):
    """Where a run stands; d coordinates, dtype of the frame."""

    frame: Frame
    x: jax.Array  # (d,), the current point
    drawn: jax.Array  # (d,), one of the points so far, each as likely as any other
    t: jax.Array  # (), int32, steps taken
    before: jax.Array  # (d,), the point before x
    gradient: jax.Array  # (d,), the recursive estimate at ``before``


class GFMPlus(eqx.Module):
    """Minimise anything that is Lipschitz, from pairs of values, with a recursive estimate.

    Every ``period`` steps the gradient is estimated from a large batch of pairs. In between, a
    small batch says how the gradient differs between the last point and this one: the same
    directions and rows at both. That is precise as long as steps are short against the radius.

    Args:
        radius: delta, of the ball, in units of the scale; a leaf, above 0.
        rate: eta, the step size; a leaf, above 0. Corrections help where steps, ``rate`` times
            the norm of the gradient, are shorter than the radius.
        period: m, steps from one large batch to the next; a leaf, at least 1.
        large_batch: b', pairs of a large batch; static.
        batch_size: b, pairs of a small batch; static.

    Returns:
        A search. ``best`` is the current point. The guarantee speaks of a point drawn evenly from
        all of them, which is ``state.drawn``.

    Shapes:
        What the room's methods take: a pytree, a :class:`Region` or a space.

    Raises:
        MethodError: a batch is no whole number of at least 1.

    Cost:
        A step asks for 2 b' or 4 b values. Memory O((b' + b) d).

    Source:
        arXiv:2301.06428, algorithm 2. A (delta, epsilon)-Goldstein stationary point takes
        O(d^(3/2) (L^3 / epsilon^3 + D L^2 / (delta epsilon^3))) values.

    Differs:
        Pairs that are not finite, at either point, are left out; a step without any is not taken.
        In the published program the two points of a correction are the same, so that corrections
        are 0 and a large batch serves for all steps of its period; here they differ, as in the
        paper.

    Example:
        >>> import parafree
        >>> kink = lambda p: jnp.sum(jnp.abs(p - jnp.array([1.0, -1.0])))
        >>> result = parafree.run(GFMPlus(0.05, 0.01), kink, jnp.zeros(2), jax.random.key(0),
        ...                       steps=400)
        >>> print(result.p.round(1))
        [ 1. -1.]
    """

    radius: Any = 1e-3
    rate: Any = 1e-3
    period: Any = 10.0
    large_batch: int = eqx.field(static=True, default=10)
    batch_size: int = eqx.field(static=True, default=1)

    def __check_init__(self) -> None:
        require_count("GFMPlus", large_batch=self.large_batch, batch_size=self.batch_size)

    def init(self, key: jax.Array, p: Any, objective: Objective) -> GFMPlusState:
        """Return the state at ``p``; nothing is evaluated."""
        where = frame(p)
        start = jnp.zeros_like(where.origin)
        return GFMPlusState(where, start, start, jnp.int32(0), start, start)

    def step(
        self, key: jax.Array, state: GFMPlusState, objective: Objective
    ) -> tuple[GFMPlusState, GFMInfo]:
        """Estimate anew or correct, and take one step."""
        turn, lot = jax.random.split(key)
        period = jnp.maximum(jnp.asarray(self.period, jnp.float32).astype(jnp.int32), 1)
        anew = state.t % period == 0  # line 4
        gradient, sound = jax.lax.cond(
            anew, lambda: self._anew(turn, state, objective),
            lambda: self._corrected(turn, state, objective),
        )  # fmt: skip
        after = advance(lot, state, gradient, self.rate)._replace(before=state.x, gradient=gradient)
        calls = jnp.where(anew, jnp.int32(2 * self.large_batch), jnp.int32(4 * self.batch_size))
        info = GFMInfo(jnp.sqrt(jnp.sum(gradient**2)), calls, status(sound))
        return choose(sound, after, state), info

    def best(self, state: GFMPlusState) -> Any:
        """Return the current point."""
        return state.frame.point(state.x)

    def _anew(
        self, key: jax.Array, state: GFMPlusState, objective: Objective
    ) -> tuple[jax.Array, jax.Array]:
        """Lines 5 and 6: an estimate from a large batch."""
        e, ahead, behind = self._pairs(key, state, objective, self.large_batch, state.x[None])
        found = slope(e, ahead[0], behind[0], self.radius)
        return found.gradient, found.pairs > 0

    def _corrected(
        self, key: jax.Array, state: GFMPlusState, objective: Objective
    ) -> tuple[jax.Array, jax.Array]:
        """Lines 8 and 9: the last estimate and the difference on a small batch."""
        at = jnp.stack([state.x, state.before])
        e, ahead, behind = self._pairs(key, state, objective, self.batch_size, at)
        # What is linear in the values may be taken of their differences.
        found = slope(e, ahead[0] - ahead[1], behind[0] - behind[1], self.radius)
        return state.gradient + found.gradient, found.pairs > 0

    def _pairs(
        self, key: jax.Array, state: GFMPlusState, objective: Objective, n: int, at: jax.Array
    ) -> tuple[jax.Array, jax.Array, jax.Array]:
        """Return directions (n, d) and the values (points, n) on both sides of some points."""
        turn, rows = jax.random.split(key)
        k, d, dtype = *at.shape, at.dtype
        e = on_sphere(turn, (n, d), dtype)
        rows = draw_rows(rows, objective, (n, 1))
        reach = jnp.asarray(self.radius, dtype) * jnp.stack([e, -e])
        points = (reach[:, None] + at[:, None, :][None]).reshape(-1, d)  # (2, points, n, d)
        f = values(objective, state.frame, points, jnp.tile(rows, (2 * k, 1)))
        ahead, behind = f.reshape(2, k, n)
        return e, ahead, behind


card = Card(
    method=GFMPlus,
    contract="search",
    paper="Chen, Xu, Luo 2023, arXiv:2301.06428",
    seed=40,
    reference="algorithm 2 in slow NumPy with the same draws",
    needs={"values", "rows"},
    free_of={"gradient", "smoothness"},
    example=lambda: GFMPlus(radius=0.1),
)
