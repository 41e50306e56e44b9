"""Zeroth-order Frank-Wolfe: stays in a convex set without projections, and without gradients.

Anit Kumar Sahu, Manzil Zaheer, Soummya Kar, "Towards Gradient Free and Projection Free Stochastic
Optimization", AISTATS 2019.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from parafree.blackbox._asked import draw_rows, status, values
from parafree.blackbox._differences import RDSA, Differences
from parafree.blackbox._frame import Frame, Layout, frame
from parafree.blackbox._sampled import choose
from parafree.blackbox._sets import ConvexSet, L2Ball
from parafree.core.card import Card
from parafree.core.contracts import Objective
from parafree.core.errors import MethodError


class ZerothOrderFrankWolfeState(NamedTuple):
    """Where a run stands; d parameters, dtype float32 or wider."""

    frame: Frame  # with its origin at 0, so that coordinates are the parameters themselves
    x: jax.Array  # (d,), the current parameters, in the set
    mean: jax.Array  # (d,), the running mean of gradient estimates
    t: jax.Array  # (), int32, steps taken


class ZerothOrderFrankWolfeInfo(NamedTuple):
    """What a step found."""

    value: jax.Array  # (), the objective before the step, on the rows of the step
    gap: jax.Array  # (), the Frank-Wolfe gap before the step, by the running mean
    calls: jax.Array  # (), int32, values asked for
    status: jax.Array  # (), int32, a Status of the core


class ZerothOrderFrankWolfe(eqx.Module):
    """Minimise over a convex set from values alone, with no projection and no step size to set.

    A step asks for a few values around the current point, all on the same rows of data, averages
    the gradient they give with those before, and moves towards the point of the set at which that
    mean is least.

    Args:
        within: the set, for example ``L1Ball(10.0)``.
        differences: ``KWSA()``, ``RDSA()`` or ``IRDSA(count)``: how gradients are estimated.
        rate: part of the way to go, in (0, 1], a leaf. ``None`` takes 2 / (t + 8), for convex
            functions; for others the theory wants T^(-3/4) for T steps.
        batch_size: rows of data for each value, at least 1; static.

    Returns:
        A search. ``best`` is the current point, which is always in the set.

    Shapes:
        Any pytree of floating-point parameters, but no space: the set bounds them.

    Raises:
        MethodError: the parameters do not fit the set, or are a space or a region.

    Cost:
        A step asks for 1 + n values, with n = d for KWSA, 1 for RDSA and m for I-RDSA, and for one
        linear minimisation. Memory O(n d).

    Source:
        arXiv:1810.03233, algorithm 2, with rho_t, c_t and gamma_t = 2 / (t + 8) of its theorems.
        The gap to the minimum falls as (d / T)^(1/3) for RDSA, and for functions that are not
        convex the Frank-Wolfe gap as d^(1/3) T^(-1/4).

    Differs:
        Rows are drawn with replacement, ``batch_size`` of them instead of one. A start outside of
        the set is brought into it. c_t is never so small that the parameters' dtype could not
        tell the points apart. Differences that are not finite count as 0; where all are, the step
        is not taken.

    Example:
        >>> import parafree
        >>> from parafree.blackbox import L1Ball
        >>> search = ZerothOrderFrankWolfe(L1Ball(1.0))
        >>> far = lambda p: jnp.sum((p - jnp.array([3.0, 0.5])) ** 2)
        >>> result = parafree.run(search, far, jnp.zeros(2), jax.random.key(0), steps=2000)
        >>> print(result.p.round(1))
        [1. 0.]
    """

    within: ConvexSet
    differences: Differences = RDSA()
    rate: Any = None
    batch_size: int = eqx.field(static=True, default=1)

    def init(self, key: jax.Array, p: Any, objective: Objective) -> ZerothOrderFrankWolfeState:
        """Return the state at ``p``, brought into the set; nothing is evaluated."""
        where = frame(p)
        if not isinstance(where.form, Layout) or jax.tree.structure(p) != where.form.tree:
            raise MethodError(
                f"a {type(p).__name__} has bounds of its own",
                where="parafree.blackbox.ZerothOrderFrankWolfe",
                fix="give parameters to start at; the set says where they may be",
            )
        zero = jnp.zeros_like(where.origin)
        x = ravel_pytree(self.within.into(_tree(where.form, where.origin)))[0]
        absolute = Frame(zero, jnp.ones_like(zero), zero - jnp.inf, zero + jnp.inf, where.form)
        return ZerothOrderFrankWolfeState(absolute, x, zero, jnp.int32(0))

    def step(
        self, key: jax.Array, state: ZerothOrderFrankWolfeState, objective: Objective
    ) -> tuple[ZerothOrderFrankWolfeState, ZerothOrderFrankWolfeInfo]:
        """Estimate, average, and move towards the least point of the set."""
        x, layout = state.x, state.frame.form
        t, d, dtype = state.t.astype(x.dtype), x.shape[0], x.dtype
        turn, rows = jax.random.split(key)
        z = self.differences.directions(turn, d, dtype)
        c = jnp.maximum(self.differences.width(t, d), _least_width(layout, x))
        rows = draw_rows(rows, objective, (1, self.batch_size))
        points = jnp.concatenate([x[None], x + c * z])
        f = values(objective, state.frame, points, jnp.broadcast_to(rows, (len(points), rows.size)))
        rises = (f[1:] - f[0]) / c
        good = jnp.isfinite(rises)
        g = jnp.where(good, rises, 0) @ z / self.differences.parts(d)  # (8), (9) and (10)
        share = jnp.minimum(self.differences.share(t, d), 1)
        mean = (1 - share) * state.mean + share * g
        towards = ravel_pytree(self.within.least(_tree(layout, mean)))[0]
        gap = mean @ (x - towards)
        rate = 2 / (t + 8) if self.rate is None else jnp.asarray(self.rate, dtype)
        sound = good.any() & jnp.isfinite(gap)
        after = state._replace(x=x + rate * (towards - x), mean=mean, t=state.t + 1)
        info = ZerothOrderFrankWolfeInfo(f[0], gap, jnp.int32(len(points)), status(sound))
        return choose(sound, after, state), info

    def best(self, state: ZerothOrderFrankWolfeState) -> Any:
        """Return the current point."""
        return state.frame.point(state.x)


def _least_width(layout: Layout, x: jax.Array) -> jax.Array:
    """Return what the narrowest dtype of the parameters resolves, four times."""
    eps = max(float(jnp.finfo(dtype).eps) for dtype in layout.dtypes)
    return 4 * eps * jnp.maximum(jnp.max(jnp.abs(x)), 1e-3)


def _tree(layout: Layout, x: jax.Array) -> Any:
    """Return x (d,) in the parameters' structure, in its own dtype."""
    wide = layout._replace(dtypes=(x.dtype,) * len(layout.dtypes))
    return jax.tree.map(lambda leaf: leaf[0], wide.decode(x[None]))


card = Card(
    method=ZerothOrderFrankWolfe,
    contract="search",
    paper="Sahu, Zaheer, Kar 2019, arXiv:1810.03233",
    seed=32,
    reference="algorithm 2 in slow NumPy with the same draws, for the three estimators",
    needs={"values", "linear minimisation"},
    free_of={"gradient", "projection", "learning rate"},
    example=lambda: ZerothOrderFrankWolfe(L2Ball(3.0)),
)
