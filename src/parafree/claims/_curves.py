"""Real learning curves of real models, recorded by parafree itself."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from parafree.claims import _data
from parafree.claims._claim import Progress
from parafree.core.space import Int, Real, Space

_BATCH = 64
_HIDDEN = 32
_LANES = 32


class Classifier:
    """A network with one hidden layer, trained by SGD with momentum; all of it open.

    The space follows the CIFAR-10 experiment of the Hyperband paper (arXiv:1603.06560, section
    4.1): the same ranges of the learning rate, of the number of its reductions, and of one penalty
    for each layer, those of the last a hundred times the others'. Most of it is useless, as spaces
    are that nobody has tuned by hand, and in part of it training diverges.

    Args:
        split: the images.
        updates: length of a full training; the learning rate's reductions are spaced evenly in it.
    """

    space = Space(
        learning_rate=Real(5e-5, 5.0, log=True, help="step size"),
        reductions=Int(0, 3, help="how often the step size is divided by ten"),
        penalty_1=Real(5e-5, 5.0, log=True, help="L2 penalty of the hidden layer"),
        penalty_2=Real(5e-3, 500.0, log=True, help="L2 penalty of the last layer"),
        momentum=Real(0.0, 0.99, help="decay of the gradient's running sum"),
        scale_1=Real(0.01, 10.0, log=True, help="times the He initialisation, hidden layer"),
        scale_2=Real(0.01, 10.0, log=True, help="times the He initialisation, last layer"),
    )

    def __init__(self, split: _data.Split, updates: int) -> None:
        self._split, self._updates = split, updates

    def init(self, key: Any, hparams: dict[str, Any]) -> dict[str, Any]:
        """Return fresh parameters, and where in the data this trial begins."""
        inputs = self._split.train_x.shape[1]
        one, two, place = jax.random.split(key, 3)
        first = jax.random.normal(one, (inputs, _HIDDEN)) * np.sqrt(2 / inputs)
        last = jax.random.normal(two, (_HIDDEN, 10)) * np.sqrt(2 / _HIDDEN)
        params = {
            "w1": hparams["scale_1"] * first,
            "b1": jnp.zeros(_HIDDEN),
            "w2": hparams["scale_2"] * last,
            "b2": jnp.zeros(10),
        }
        batches = len(self._split.train_y) // _BATCH
        return {
            "params": params,
            "velocity": jax.tree.map(jnp.zeros_like, params),
            "count": jnp.zeros((), jnp.int32),
            "place": jax.random.randint(place, (), 0, batches),
        }

    def step(self, key: Any, state: dict[str, Any], hparams: dict[str, Any]) -> dict[str, Any]:
        """Make one update on the next minibatch; the data is shuffled once and read in turn."""
        batches = len(self._split.train_y) // _BATCH
        begin = ((state["place"] + state["count"]) % batches) * _BATCH
        x = jax.lax.dynamic_slice_in_dim(jnp.asarray(self._split.train_x), begin, _BATCH)
        y = jax.lax.dynamic_slice_in_dim(jnp.asarray(self._split.train_y), begin, _BATCH)

        def penalised(params: dict[str, Any]) -> Any:
            penalty = hparams["penalty_1"] * jnp.sum(params["w1"] ** 2)
            penalty += hparams["penalty_2"] * jnp.sum(params["w2"] ** 2)
            return _cross_entropy(params, x, y) + 0.5 * penalty

        stage = state["count"] * (hparams["reductions"] + 1) // self._updates
        rate = hparams["learning_rate"] * 0.1**stage
        gradient = jax.grad(penalised)(state["params"])
        velocity = jax.tree.map(
            lambda v, g: hparams["momentum"] * v + g, state["velocity"], gradient
        )
        params = jax.tree.map(lambda p, v: p - rate * v, state["params"], velocity)
        return state | {"params": params, "velocity": velocity, "count": state["count"] + 1}

    def evaluate(self, state: dict[str, Any], hparams: dict[str, Any]) -> dict[str, Any]:
        """Return the cross-entropy on the held-out images."""
        x, y = jnp.asarray(self._split.valid_x), jnp.asarray(self._split.valid_y)
        return {"loss": _cross_entropy(state["params"], x, y)}


def _cross_entropy(params: dict[str, Any], x: Any, y: Any) -> Any:
    hidden = jax.nn.relu(x @ params["w1"] + params["b1"])
    logits = jax.nn.log_softmax(hidden @ params["w2"] + params["b2"])
    return -jnp.mean(jnp.sum(jax.nn.one_hot(y, 10) * logits, axis=-1))


class Size(NamedTuple):
    """How large a table of learning curves is.

    Args:
        trials: random configurations, each trained in full.
        points: how often its held-out loss is measured.
        chunk: updates between two points.
    """

    trials: int
    points: int
    chunk: int


_recorded: dict[tuple[str, Size], np.ndarray] = {}


def record(data: str, size: Size, progress: Progress) -> np.ndarray:
    """Train random configurations, each in full, and return their learning curves.

    Args:
        data: ``"digits"`` or ``"mnist"``.
        size: how many configurations, and how long.
        progress: told what is about to take a while.

    Returns:
        float64 (trials, points): the held-out loss, infinite from where a trial diverged. Kept for
        as long as the process lives, so that several claims can use one table.
    """
    if (data, size) not in _recorded:
        trials, points, chunk = size
        progress(f"recording {trials} learning curves of {points} x {chunk} updates on {data}")
        _recorded[data, size] = _record(Classifier(_load(data), points * chunk), size)
    return _recorded[data, size]


def _load(data: str) -> _data.Split:
    return _data.digits() if data == "digits" else _data.mnist()


def _record(trainable: Classifier, size: Size) -> np.ndarray:
    from parafree.study.tune import tune
    from parafree.tune import RandomSampler, RandomSearch

    trials, points, chunk = size
    curves = np.full((trials, points), np.inf)
    with tempfile.TemporaryDirectory() as folder:
        study = tune(
            trainable,
            scheduler=RandomSearch(max_units=points * chunk),
            sampler=RandomSampler(),
            trials=trials,
            name="curves",
            store=Path(folder) / "curves.db",
            repeats=0,
            lanes=_LANES,
            chunk=chunk,
            progress=False,
        )
        with study.store:
            for trial in study.trials:
                units, losses = study.history.curve(trial.id)
                curves[trial.id, units // chunk - 1] = np.where(np.isnan(losses), np.inf, losses)
    return curves
