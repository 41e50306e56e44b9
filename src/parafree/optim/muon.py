"""Muon: steps along the momentum of every matrix with all its singular values set to about 1.

Ishaan Shah and others (Essential AI), "Practical Efficiency of Muon for Pretraining", 2025; the
method is by Keller Jordan and others, "Muon: An optimizer for hidden layers in neural networks",
2024.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from parafree.core.card import Card
from parafree.optim import _norms
from parafree.optim._numbers import Number, Schedule, at, remaining, require, shares
from parafree.optim._transform import Gradient, Step, transform
from parafree.optim._tree import dtype_of, wide

_NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)  # of x, x^3 and x^5: steep at zero, about 1 elsewhere


class MuonState(NamedTuple):
    """Trees as the parameters, at least float32, with ``None`` where the other part is at work."""

    momentum: Any  # of matrices: mean of the gradient
    first: Any  # of the rest: Adam's mean of the gradient
    second: Any  # of the rest: Adam's mean of the squared gradient


def muon(
    learning_rate: Number | Schedule = 0.02,
    *,
    momentum: Number = 0.95,
    weight_decay: Number = 0.0,
    ns_steps: int = 5,
    adam_learning_rate: Number | Schedule = 3e-4,
    b1: Number = 0.9,
    b2: Number = 0.95,
    eps: Number = 1e-10,
    matrices: Callable[[Any], Any] | None = None,
    compute_dtype: Any = None,
) -> optax.GradientTransformationExtraArgs:
    """Descend along orthogonalised momentum for matrices, and as AdamW does for all else.

    A matrix maps its first axes to its last, as in Flax and Haiku: a kernel of shape (in, out), or
    of a convolution (height, width, in, out), which is taken as (height * width * in, out).

    Args:
        learning_rate: of matrices: the spectral norm of an update, or a schedule; at least 0.
        momentum: decay of the mean gradient of matrices, in [0, 1); used as Nesterov does.
        weight_decay: times the learning rate of each part, apart from the gradient; at least 0.
        ns_steps: Newton-Schulz iterations, at least 1; static.
        adam_learning_rate: of all else, or a schedule; at least 0.
        b1: of all else: decay of the first moment, in [0, 1).
        b2: of all else: decay of the second moment, in [0, 1).
        eps: of all else: added to the root of the second moment; at least 0.
        matrices: ``matrices(params)`` returns a tree of Python truth values that says which leaves
            are matrices; by default all with two axes or more. Embeddings and the last layer are
            better left to AdamW.
        compute_dtype: of the iterations; bfloat16 is fast on accelerators. Static; by default that
            of the state.

    Returns:
        A gradient transform.

    Raises:
        MethodError: a number is out of its range.

    Cost:
        One gradient a step, and 6 ns_steps n^2 m multiplications for an n by m matrix with n <= m.
        Memory: one copy of the matrices and two of all else, at least float32.

    Source:
        Shah et al. 2025, arXiv:2505.02222, section 2; the official code is KellerJordan/Muon.

    Differs:
        Iterations are in float32 unless ``compute_dtype`` says bfloat16, as the official code has
        it. The momentum is divided by its norm alone, without 1e-7 added, so that tiny gradients
        count. optax.contrib.muon differs from the official code in three ways: it corrects the
        bias of momentum and gradient apart, which changes their ratio in the first steps, gives
        all else to Nesterov's variant of Adam with the matrices' own rate, and leaves
        convolutions to it unless told of their axes.

    Example:
        >>> import jax, jax.numpy as jnp, parafree
        >>> from parafree import optim
        >>> goal = jnp.arange(12.0).reshape(3, 4) / 12
        >>> bowl = lambda p: jnp.sum((p["kernel"] - goal) ** 2) + jnp.sum(p["bias"] ** 2)
        >>> start = {"kernel": jnp.zeros((3, 4)), "bias": jnp.full(4, 0.01)}
        >>> result = parafree.run(optim.muon(), bowl, start, jax.random.key(0), steps=200)
        >>> print(bool(result.value < 0.01))
        True
    """
    for name, value in (("momentum", momentum), ("b1", b1), ("b2", b2)):
        require("muon", name, value, high=1.0)
    for name, value in (("weight_decay", weight_decay), ("eps", eps), ("ns_steps", ns_steps - 1)):
        require("muon", name, value)
    require("muon", "learning_rate", learning_rate)
    require("muon", "adam_learning_rate", adam_learning_rate)

    def split(params: Any, tree: Any) -> tuple[Any, Any]:
        choose = matrices or (lambda p: jax.tree.map(lambda x: x.ndim >= 2, p))
        mask = choose(params)
        keep = lambda yes: jax.tree.map(lambda m, x: x if m is yes else None, mask, tree)  # noqa: E731
        return keep(True), keep(False)

    def init(params: Any) -> MuonState:
        blank = jax.tree.map(jnp.zeros_like, wide(params))
        ours, others = split(params, blank)
        return MuonState(ours, others, others)

    def step(gradient: Gradient, state: MuonState, p: Any, count: jax.Array) -> Step:
        dtype = dtype_of(p)
        (beta, rest), one, two = (shares(x, dtype) for x in (momentum, b1, b2))
        rate, other_rate = at(learning_rate, count, dtype), at(adam_learning_rate, count, dtype)
        mean = lambda a, b: lambda m, g: a * m + b * g  # noqa: E731
        grads, others = split(p, gradient.bounded())
        speed = jax.tree.map(mean(beta, rest), state.momentum, grads)
        ahead = jax.tree.map(mean(rest, beta), grads, speed)  # Nesterov
        turned = jax.tree.map(lambda x: _orthogonal(x, ns_steps, compute_dtype), ahead)
        first = jax.tree.map(mean(*one), state.first, others)
        second = jax.tree.map(lambda v, g: mean(*two)(v, jnp.square(g)), state.second, others)
        fix1, fix2 = remaining(b1, count + 1, dtype), remaining(b2, count + 1, dtype)
        small = jnp.asarray(eps, dtype)

        def scaled(m: jax.Array, v: jax.Array) -> jax.Array:
            return jnp.where(m == 0, 0, m / fix1 / (jnp.sqrt(v / fix2) + small))

        decay = jnp.asarray(weight_decay, dtype)
        both = _join(
            jax.tree.map(lambda x: -rate * x, turned),
            jax.tree.map(lambda m, v: -other_rate * scaled(m, v), first, second),
        )
        rates = _join(
            *(
                jax.tree.map(lambda _, r=r: r, tree)
                for tree, r in zip(split(p, p), (rate, other_rate), strict=True)
            )
        )
        updates = jax.tree.map(lambda u, r, x: u - r * decay * x, both, rates, p)
        return Step(updates, MuonState(speed, first, second), rate)

    return transform("muon", init, step)


def _orthogonal(x: jax.Array, steps: int, compute_dtype: Any) -> jax.Array:
    """Return x with its singular values moved towards 1, times the root of out / in if above 1."""
    a, b, c = _NEWTON_SCHULZ
    flat = x.reshape(-1, x.shape[-1])
    inputs, outputs = flat.shape
    tall = inputs > outputs
    norm = _norms.norm(flat)
    m = flat / jnp.where(norm > 0, norm, 1)
    m = (m.T if tall else m).astype(compute_dtype or x.dtype)
    for _ in range(steps):
        gram = m @ m.T
        m = a * m + (b * gram + c * gram @ gram) @ m
    factor = max(1.0, outputs / max(inputs, 1)) ** 0.5
    return (factor * (m.T if tall else m).astype(x.dtype)).reshape(x.shape)


def _join(a: Any, b: Any) -> Any:
    """Return the tree whose leaves are in ``a`` or else in ``b``."""
    return jax.tree.map(lambda x, y: y if x is None else x, a, b, is_leaf=lambda x: x is None)


card = Card(
    method=muon,
    contract="transform",
    paper="Shah et al. 2025, arXiv:2505.02222",
    seed=25,
    reference="the method in NumPy; PyTorch's own Muon and Adam, step for step",
    needs={"grad", "learning rate"},
    free_of={"scale of the gradient"},
)
