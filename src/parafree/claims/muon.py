"""Muon (arXiv:2505.02222): AdamW needs more tokens to the same loss, also in large batches."""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from parafree.claims._claim import Claim, Measurement, Progress
from parafree.claims._nets import affine
from parafree.claims._spread import spread
from parafree.claims._training import Task, one_of, train
from parafree.optim.muon import card

_SEEDS = 3
_HEADS, _LENGTH = 2, 32
_HELD = 64  # passages to evaluate on
_WARM = 0.05  # part of the steps over which the rate rises
_DECAY = 0.01
_RATES = [2.0**k for k in range(-8, -1)]
_TARGETS = {"lower": 1.02, "higher": 1.2}  # over the least loss that all come to
_MODULES = "argparse ast configparser difflib doctest inspect optparse pdb pickle tarfile typing"


class Size(NamedTuple):
    """How large an experiment is."""

    width: int  # of the Transformer
    inner: tuple[str, ...]  # the matrices of its block
    points: int  # evaluations of a run
    steps: dict[int, int]  # passages in a batch: steps


_FULL = Size(24, ("ask", "answer", "up", "down"), 25, {2: 600, 8: 300, 32: 150, 128: 75})
_FAST = Size(16, ("ask", "answer"), 10, {2: 60, 16: 30})


@cache
def passages() -> tuple[np.ndarray, np.ndarray]:
    """Return pieces of Python's own library as numbers of characters, to train on and held out.

    Returns:
        int32 (n, length + 1) and (m, length + 1), the last tenth of each module held out.
    """
    train_on, held = [], []
    for name in _MODULES.split():
        found = importlib.util.find_spec(name)
        assert found is not None and found.origin is not None, "in every Python"
        text = Path(found.origin).read_bytes()
        # Printable ASCII from 1 on; everything else, line ends among it, is 0.
        codes = np.frombuffer(text, np.uint8).astype(np.int32) - 31
        codes = np.where((codes > 0) & (codes < 96), codes, 0)
        cut = len(codes) * 9 // 10
        train_on.append(_windows(codes[:cut], 8))
        held.append(_windows(codes[cut:], _LENGTH))
    kept = np.concatenate(held)
    return np.concatenate(train_on), kept[np.linspace(0, len(kept) - 1, _HELD).astype(int)]


def _windows(codes: np.ndarray, stride: int) -> np.ndarray:
    return np.lib.stride_tricks.sliding_window_view(codes, _LENGTH + 1)[::stride]


def language_model(size: Size, batch: int) -> Task:
    """Return the task of a Transformer with one block that predicts the next character."""
    width = size.width
    shapes = {  # inputs, outputs and size of the entries, times the root of the inputs
        "letters": (96, width, 0.5 * 96**0.5),
        "places": (_LENGTH, width, 0.5 * _LENGTH**0.5),
        "ask": (width, 3 * width, 1.0),
        "answer": (width, width, 0.7),
        "up": (width, 4 * width, 1.4),
        "down": (4 * width, width, 0.7),
        "out": (width, 96, 0.1),
    }
    shapes = {k: v for k, v in shapes.items() if k in ("letters", "places", *size.inner, "out")}

    def init(key: jax.Array) -> Any:
        # One draw for all, as a generator takes long to compile.
        numbers = jax.random.normal(key, (sum(n * m for n, m, _ in shapes.values()),))
        p, begin = {}, 0
        for name, (n, m, scale) in shapes.items():
            w = numbers[begin : begin + n * m].reshape(n, m) * (scale / n**0.5)
            p[name] = w if name in ("letters", "places") else {"w": w, "b": jnp.zeros(m)}
            begin += n * m
        return p

    def loss(p: Any, rows: tuple[jax.Array, ...]) -> jax.Array:
        text = rows[0]
        x = p["letters"][text[:, :-1]] + p["places"]
        x = x + _attend(p, _normed(x))
        if "up" in size.inner:
            x = x + affine(p["down"], jax.nn.relu(affine(p["up"], _normed(x))))
        logits = affine(p["out"], _normed(x))
        return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(logits, text[:, 1:]))

    rows, held = (jnp.asarray(each) for each in passages())
    evaluate = lambda p, held: {"loss": loss(p, (held,))}  # noqa: E731
    return Task("language model", init, loss, (rows,), held, evaluate, batch)


def _normed(x: jax.Array) -> jax.Array:
    return x * jax.lax.rsqrt(jnp.mean(x**2, -1, keepdims=True) + 1e-5)


def _attend(p: Any, x: jax.Array) -> jax.Array:
    wide = x.shape[-1] // _HEADS
    parts = affine(p["ask"], x).reshape(*x.shape[:2], 3, _HEADS, wide)
    query, word, value = jnp.moveaxis(parts, 2, 0)
    scores = jnp.einsum("nqhd,nkhd->nhqk", query, word) / wide**0.5
    past = jnp.tril(jnp.ones((_LENGTH, _LENGTH), bool))
    weights = jax.nn.softmax(jnp.where(past, scores, -1e9))
    return affine(p["answer"], jnp.einsum("nhqk,nkhd->nqhd", weights, value).reshape(x.shape))


def methods(size: Size, steps: int) -> dict[str, Any]:
    """Return Muon and AdamW as functions of one rate, which rises over the first steps."""
    from parafree import optim

    def warm(rate: Any) -> Any:
        return lambda count: rate * jnp.minimum((count + 1) / (_WARM * steps), 1.0)

    def matrices(p: Any) -> Any:
        return {
            name: {"w": name in size.inner, "b": False} if isinstance(each, dict) else False
            for name, each in p.items()
        }

    def muon(rate: Any) -> Any:
        # 0.2 sqrt(n) gives the entries of an update the size that AdamW gives them (the paper's
        # equation 1), so that one rate serves both parts.
        return optim.muon(
            warm(0.2 * size.width**0.5 * rate),
            adam_learning_rate=warm(rate),
            b1=0.95,
            b2=0.95,
            weight_decay=_DECAY,
            matrices=matrices,
        )

    return {
        "Muon": muon,
        "AdamW": lambda rate: optax.adamw(warm(rate), b1=0.9, b2=0.95, weight_decay=_DECAY),
    }


class Curves(NamedTuple):
    """Held-out losses of one method with one size of batches."""

    losses: np.ndarray  # (rates, seeds, points + 1), infinite where a run diverged
    tokens: float  # between two points

    def least(self) -> float:
        """Return the least loss that all seeds come to at some rate."""
        return float(self.losses.min(axis=2).max(axis=1).min())

    def needed(self, target: float) -> tuple[int, np.ndarray]:
        """Return the best rate's number, and the tokens that each seed needs with it."""
        costs = np.array([[crossing(run, target) for run in rate] for rate in self.losses])
        best = int(np.argmin(costs.mean(axis=1)))
        return best, costs[best] * self.tokens


def crossing(losses: np.ndarray, target: float) -> float:
    """Return where a curve first comes to the target, in points; infinite if never.

    Example:
        >>> crossing(np.array([4.0, 3.0, 2.0, 1.0]), 2.5)
        1.5
        >>> crossing(np.array([4.0, 3.0]), 2.5)
        inf
    """
    there = np.flatnonzero(losses <= target)
    if not there.size:
        return float("inf")
    i = int(there[0])
    if i == 0:
        return 0.0
    return i - 1 + float((losses[i - 1] - target) / (losses[i - 1] - losses[i]))


def record(size: Size, batch: int) -> dict[str, Curves]:
    """Train with both methods at all rates, in one program."""
    steps = size.steps[batch]
    makes = methods(size, steps)
    which, rates = np.meshgrid(np.arange(len(makes)), _RATES, indexing="ij")

    def make(setting: Any) -> Any:
        return one_of([each(setting["rate"]) for each in makes.values()], setting["method"])

    losses = train(
        language_model(size, batch),
        make,
        steps=steps,
        settings={"method": which.ravel(), "rate": np.float32(rates.ravel())},
        seeds=_SEEDS,
        points=size.points,
    )["loss"]
    finite = np.nan_to_num(losses, nan=np.inf, posinf=np.inf).reshape(*which.shape, _SEEDS, -1)
    each = batch * _LENGTH * steps / size.points
    return {name: Curves(finite[i], each) for i, name in enumerate(makes)}


def _measure(fast: bool, progress: Progress) -> Measurement:
    size, found = _FAST if fast else _FULL, {}
    for batch, steps in size.steps.items():
        progress(f"batches of {batch * _LENGTH} tokens, {steps} steps at {len(_RATES)} rates")
        found[batch] = record(size, batch)
    least = max(each.least() for pair in found.values() for each in pair.values())
    needed = {
        (level, batch, name): each.needed(least * factor)
        for level, factor in _TARGETS.items()
        for batch, pair in found.items()
        for name, each in pair.items()
    }
    ratios = {
        level: {
            batch: needed[level, batch, "AdamW"][1] / needed[level, batch, "Muon"][1]
            for batch in found
        }
        for level in _TARGETS
    }
    small, large = min(found), max(found)
    medians = {
        level: {batch: float(np.median(x)) for batch, x in each.items()}
        for level, each in ratios.items()
    }
    values = {
        f"{least * _TARGETS[level]:.3g} nats, batches of {batch * _LENGTH}: tokens, {name}": list(x)
        for (level, batch, name), (_, x) in needed.items()
    }
    return Measurement(
        values=values,
        summary="; ".join(
            f"to {least * _TARGETS[level]:.3g} nats in batches of {batch * _LENGTH} AdamW needs "
            f"{spread(list(x), 'x')} the tokens of Muon"
            for level, each in ratios.items()
            for batch, x in each.items()
        ),
        holds=all(each[large] > 1 and each[large] >= each[small] for each in medians.values()),
        reason=_reason(needed, list(found)),
    )


def _reason(needed: dict[Any, tuple[int, np.ndarray]], batches: list[int]) -> str:
    lower = next(iter(_TARGETS))

    def growth(name: str) -> float:
        first, last = (np.median(needed[lower, b, name][1]) for b in (batches[0], batches[-1]))
        return float(last / first)

    rates = "; ".join(
        f"{name}: " + ", ".join(f"{_RATES[needed[lower, b, name][0]]:.3g}" for b in batches)
        for name in ("Muon", "AdamW")
    )
    return (
        f"From the smallest to the largest batches the tokens to the lower loss grow "
        f"{growth('Muon'):.3g} times with Muon and {growth('AdamW'):.3g} times with AdamW. Best "
        f"rates, from small to large batches: {rates} (grid from {_RATES[0]:.3g} to "
        f"{_RATES[-1]:.3g})."
    )


claim = Claim(
    name="muon",
    card=card,
    paper=(
        "More effective than AdamW in retaining data efficiency at large batch sizes: the ratio of "
        "the tokens that AdamW and Muon need to the same loss is above 1 and does not fall as the "
        "batch grows. Transformers of 1, 2 and 4 billion parameters on DCLM, figure 3; 500 million "
        "on Python code and DCLM with 13 batch sizes from 128 thousand to 16 million tokens."
    ),
    setting=(
        "A Transformer with one block of width 24 (fast: 16, and attention alone) that predicts "
        "the next character of Python's own library; batches of 2, 8, 32 and 128 passages of 32 "
        "characters for 600, 300, 150 and 75 steps (fast: 2 and 16, for 60 and 30). Muon for the "
        "block's matrices, "
        "with the paper's factor 0.2 sqrt(n), and Adam for all else; AdamW with b2 = 0.95. Each "
        "at the best of 7 rates for every batch size and loss, weight decay 0.01, the rate rises "
        "over 5 % of the steps and then stays. Tokens to a held-out loss 1.02 and 1.2 times the "
        f"least that both come to with all batches and seeds; {_SEEDS} seeds."
    ),
    threshold=(
        "the median over the seeds of AdamW's tokens over Muon's is above 1 with the largest "
        "batches, and not below that with the smallest, for both losses"
    ),
    measure=_measure,
)
