"""ZO-AE-DS: trains a guard in front of a model that can only be queried, against noise and attacks.

Yimeng Zhang, Yuguang Yao, Jinghan Jia, Jinfeng Yi, Mingyi Hong, Shiyu Chang, Sijia Liu, "How to
Robustify Black-Box ML Models? A Zeroth-Order Optimization Perspective", ICLR 2022.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from parafree.blackbox._adam import Moments, move, still
from parafree.blackbox._asked import require_count, status
from parafree.blackbox._frame import Layout, frame
from parafree.blackbox._queried import CGE, GradientEstimate, Queried
from parafree.blackbox._sampled import choose
from parafree.core.card import Card
from parafree.core.contracts import Objective
from parafree.core.errors import MethodError
from parafree.core.objective import as_composite


class ZOAEDSState(NamedTuple):
    """Where a run stands."""

    p: Any  # the guard's parameters
    moments: Moments  # of their gradients, float32 or wider


class ZOAEDSInfo(NamedTuple):
    """What a step found."""

    value: jax.Array  # (), float32, the mean loss of the noisy batch before the step
    calls: jax.Array  # (), int32, calls of the loss, each on the whole batch
    queries: jax.Array  # (), int32, rows that the black box was asked about
    status: jax.Array  # (), int32, a Status of the core


class ZOAEDS(eqx.Module):
    """Train what stands before a black box, with gradients only of what stands before it.

    The objective is a :class:`parafree.core.objective.Composite`. Its model is the guard, whose
    inside is known, and its loss holds the black box, of which values alone are asked. A step adds
    noise to a batch of inputs, sends it through the guard, estimates for every row the gradient of
    the loss in the guard's outputs z from queries around z, and pulls it back through the guard.

    An estimate is as bad as z is long. So the guard ends with an encoder, and the decoder goes to
    the black box: queries then vary a short code. Where the split lies and how gradients are found
    makes the paper's four defences:

    ======== ======================= ======================== ================
    defence  model(p, x)             loss(z, y)               estimate
    ======== ======================= ======================== ================
    ZO-AE-DS encoder after denoiser  black box after decoder  ``CGE``, ``RGE``
    ZO-DS    denoiser                black box                ``RGE``
    FO-AE-DS encoder after denoiser  black box after decoder  ``TrueGradient``
    FO-DS    denoiser                black box                ``TrueGradient``
    ======== ======================= ======================== ================

    For a defence that is certified, y are the labels that the black box itself gives the clean
    inputs, and :class:`Smoothed` says what the defended model is worth.

    Args:
        estimate: ``CGE()``, ``RGE(count)`` or ``TrueGradient()``.
        noise: sigma, the standard deviation of the noise on every input, in its units; a leaf of
            at least 0.
        rate: step size of Adam; above 0, a leaf.
        batch_size: rows of a batch; at least 1, static. All rows where the data have no more.

    Returns:
        A search. ``best`` is the current guard; only noisy batches are evaluated, so none is best.

    Shapes:
        Any pytree of floating-point parameters and any pytree of floating-point outputs z. Where
        the loss returns a number for every row, each row's gradient is estimated by itself, all
        with the same calls. Where it returns their mean, z is one long point, which takes more
        calls (CGE) or is noisier (RGE). A plain objective has its parameters as z.

    Raises:
        MethodError: parameters that are no floating-point arrays, fewer than one row, or an
            objective whose model is not known.

    Cost:
        Each step calls the guard once, with its derivative, and the loss 1 + 2 d times for CGE
        and 1 + q times for RGE, where d is the length of a row's z; the calls are made as one,
        mapped by ``jax.vmap``. Memory O(calls rows d).

    Source:
        Zhang et al. 2022, arXiv:2203.14195: the estimators, the reduction to a short code and the
        stability loss; from the abstract, the tables and the authors' code, in which widths and
        the central differences of CGE stand.

    Differs:
        Adam without weight decay and with a constant rate. Rows are drawn with replacement. The
        labels that the black box gives are data, so they are asked for once, not in every step.
        Estimates of a step in which no row has a finite loss, or the pull gives no finite
        gradient, are not used.

    Example:
        >>> import parafree
        >>> from parafree.core.objective import Composite
        >>> secret = lambda images: -jnp.sum((images - 1.0) ** 2, axis=-1)
        >>> guard = Composite(lambda p, x: x @ p, lambda z, y: y - secret(z),
        ...                   (jnp.eye(2), jnp.zeros(2)))
        >>> search = ZOAEDS(noise=0.0, rate=0.1)
        >>> result = parafree.run(search, guard, jnp.zeros((2, 2)), jax.random.key(0), steps=200)
        >>> print((result.p.round(1) == 1).all(), result.calls)
        True 1001
    """

    estimate: GradientEstimate = CGE()
    noise: Any = 0.25
    rate: Any = 1e-3
    batch_size: int = eqx.field(static=True, default=64)

    def __check_init__(self) -> None:
        require_count("ZOAEDS", batch_size=self.batch_size)
        if not isinstance(self.estimate, GradientEstimate):
            raise MethodError(
                f"estimate is {self.estimate!r}",
                where="parafree.blackbox.ZOAEDS",
                fix="give CGE(), RGE(count) or TrueGradient()",
            )

    def init(self, key: jax.Array, p: Any, objective: Objective) -> ZOAEDSState:
        """Return the state at ``p``; nothing is evaluated."""
        frame(p)  # refuses what is no floating-point array
        as_composite(objective)
        return ZOAEDSState(p, still(_wide(p)))

    def step(
        self, key: jax.Array, state: ZOAEDSState, objective: Objective
    ) -> tuple[ZOAEDSState, ZOAEDSInfo]:
        """Query around the guard's outputs on a noisy batch, pull back, and move."""
        draw, blur, turn = jax.random.split(key, 3)
        whole = as_composite(objective)
        rows = whole.draw(draw, self.batch_size)
        x, y = whole.take(rows)
        x = _noisy(blur, x, self.noise)
        z, pull = jax.vjp(lambda p: whole.model(p, x), state.p)
        f, points, layout = _queried(lambda z: whole.loss(z, y), z)
        found = self.estimate.at(turn, f, points)
        (gradient,) = pull(_rejoined(layout, found.gradient / points.shape[0], z))
        moved, moments = move(_wide(state.p), _wide(gradient), state.moments, self._rate(state.p))
        after = ZOAEDSState(_like(moved, state.p), moments)
        sound = jnp.isfinite(found.value).any() & _all_finite(gradient)
        calls = self.estimate.calls(points.shape[1])
        value = jnp.mean(found.value).astype(jnp.float32)
        asked = jnp.int32(calls * rows.size)
        return choose(sound, after, state), ZOAEDSInfo(
            value, jnp.int32(calls), asked, status(sound & jnp.isfinite(value))
        )

    def best(self, state: ZOAEDSState) -> Any:
        """Return the current guard."""
        return state.p

    def _rate(self, p: Any) -> jax.Array:
        return jnp.asarray(self.rate, _width(x.dtype for x in jax.tree.leaves(p)))


def _noisy(key: jax.Array, x: Any, noise: Any) -> Any:
    """Add noise to the leaves that are floating-point arrays."""
    leaves, tree = jax.tree.flatten(x)
    keys = jax.random.split(key, len(leaves))

    def blurred(key: jax.Array, leaf: jax.Array) -> jax.Array:
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            return leaf
        draws = jax.random.normal(key, leaf.shape, leaf.dtype)
        return leaf + jnp.asarray(noise, leaf.dtype) * draws

    return jax.tree.unflatten(
        tree, [blurred(k, leaf) for k, leaf in zip(keys, leaves, strict=True)]
    )


def _queried(loss: Any, z: Any) -> tuple[Queried, jax.Array, Layout]:
    """Return the loss of points, the points (rows, d) of z, and how they become a z again.

    Where the loss has one number for the batch there is one row, and d is all of z.
    """
    leaves, tree = jax.tree.flatten(z)
    by_row = len(jax.eval_shape(loss, z).shape) == 1
    skip = 1 if by_row else 0
    layout = Layout(tree, tuple(x.shape[skip:] for x in leaves), tuple(x.dtype for x in leaves))
    count = leaves[0].shape[0] if by_row else 1
    dtype = _width(layout.dtypes)
    points = jnp.concatenate([x.reshape(count, -1).astype(dtype) for x in leaves], axis=1)

    def one(points: jax.Array) -> jax.Array:
        return jnp.atleast_1d(loss(_rejoined(layout, points, z))).astype(dtype)

    return jax.vmap(one), points, layout


def _rejoined(layout: Layout, points: jax.Array, like: Any) -> Any:
    """Return points (rows, d) in the shapes of z."""
    return jax.tree.map(lambda x, y: x.reshape(y.shape), layout.decode(points), like)


def _wide(p: Any) -> Any:
    """Return the leaves in float32, or all in float64 where one of them is."""
    dtype = _width(x.dtype for x in jax.tree.leaves(p))
    return jax.tree.map(lambda x: x.astype(dtype), p)


def _width(dtypes: Iterable[Any]) -> Any:
    """Return float64 where it is among the types, and float32 elsewhere."""
    return jnp.float64 if any(dtype == jnp.float64 for dtype in dtypes) else jnp.float32


def _like(p: Any, like: Any) -> Any:
    """Return the leaves in the types of those of ``like``."""
    return jax.tree.map(lambda x, y: x.astype(y.dtype), p, like)


def _all_finite(tree: Any) -> jax.Array:
    return jnp.stack([jnp.isfinite(x).all() for x in jax.tree.leaves(tree)]).all()


card = Card(
    method=ZOAEDS,
    contract="search",
    paper="Zhang, Yao, Jia, Yi, Hong, Chang, Liu 2022, arXiv:2203.14195",
    seed=186,
    reference="Adam on the true gradient of guard and black box together, with the same draws",
    needs={"values", "model"},
    free_of={"gradient", "access to the weights"},
    # Differences so far apart that float32's rounding does not show.
    example=lambda: ZOAEDS(CGE(0.1)),
)
