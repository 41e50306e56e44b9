"""WU-GO: a generator imitates a stochastic simulator, and points unlike all known ones are tried.

Tigran Ramazyan, Mikhail Hushchyn, Denis Derkach, "Global Optimisation of Black-Box Functions with
Generative Models in the Wasserstein Space", ECAI 2024, arXiv:2407.11917.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp

from parafree.blackbox._adam import Moments, move, still
from parafree.blackbox._frame import normal
from parafree.blackbox._modelled import Modelled, Record
from parafree.blackbox._promising import most_promising
from parafree.blackbox._threefry import turned
from parafree.core.card import Card

_HIDDEN, _LATENT = 64, 10  # of the paper's generator
_BATCH = 16  # points in a step of training
_RATE = 0.01  # of Adam in training
_SAMPLE = 64  # responses that are generated at a point, about


class WUGOState(NamedTuple):
    """Where WU-GO stands."""

    record: Record
    generator: dict[str, jax.Array]  # two layers
    moments: Moments


class WUGO(Modelled):
    """Minimise the mean of a stochastic response through a generator of responses.

    For simulators whose responses are random and need not be normal. Each point is asked
    ``repeats`` times in one batch; what comes back is taken as a sample of its response, and the
    smallest mean counts as best.

    Args:
        population: points in a batch; static. Further ones are chosen as if the first had given
            what the generator expects.
        repeats: responses of each point; static.
        points: how many are remembered; static. Then the oldest makes room, but never the best.
        first: random points before the generator is asked; static. ``None`` takes 2 d + 2.
        spread: of the first points where there are no bounds, in units of the scale; a leaf,
            above 0. Between two bounds they are spread evenly.
        limits: when the search ends by itself.
        confidence: kappa, how much the uncertainty counts beside the mean; a leaf, at least 0.
        steps: of training after each batch; static.

    Returns:
        An ask-and-tell method. ``info`` is the room's record; its status says how the search ended.

    Raises:
        MethodError: a number is no whole number of at least 1, or a batch leaves no room.

    Cost:
        A point takes ``steps`` gradients of the generator on 16 ``repeats`` responses, and
        O(tries s (m + d + log s)) operations to choose it, with samples of s, about 64 responses,
        256 tries and m points remembered.

    Source:
        arXiv:2407.11917: the generator of the authors' code, the Wasserstein uncertainty (the
        distance of a point's generated responses to those of the nearest known point), and the
        point where mean minus kappa times uncertainty is smallest, kappa = 2.

    Differs:
        Responses are single numbers, so the distance between samples is that of their order
        statistics, and no critic is needed: the generator is trained on the energy distance,
        which is zero for the true response alone and unbiased for few responses. Training goes on
        from the last generator. The point is looked for by random tries and gradient steps, where
        the authors take the best of a grid; the same noise goes into the generator everywhere.

    Example:
        >>> from parafree import Real, Space, run
        >>> space = Space(x=Real(-2.0, 2.0))
        >>> wave = lambda p: jnp.sin(3 * p["x"]) + 0.3 * p["x"] ** 2
        >>> result = run(WUGO(points=24, repeats=2), wave, space, jax.random.key(0), steps=20)
        >>> bool(result.value < -0.8)  # the least is -0.924
        True
    """

    repeats: int = eqx.field(default=16, static=True)
    confidence: Any = 2.0
    steps: int = eqx.field(default=400, static=True)

    def begin(self, key: jax.Array, record: Record) -> WUGOState:
        """Return the state with a random generator."""
        d, dtype = record.frame.dimension, record.frame.dtype
        rows = d + _LATENT + 1
        drawn = normal(key, ((rows + 1) * _HIDDEN + 1,), dtype)
        first, second = jnp.split(drawn, [rows * _HIDDEN])
        first = first.reshape(rows, _HIDDEN) / math.sqrt(rows)
        generator = {"first": first, "second": second / math.sqrt(_HIDDEN)}
        return WUGOState(record, generator, still(generator))

    def learn(self, key: jax.Array, state: WUGOState) -> WUGOState:
        """Go on with the training of the generator."""
        record, r = state.record, self.repeats
        responses = _responses(record)
        many = jnp.sum(record.known)  # rows are filled from the first on

        def loss(generator: Any, rows: jax.Array, noise: jax.Array) -> jax.Array:
            made = generate(generator, record.x[rows], noise)
            return jnp.mean(jax.vmap(energy)(made, responses[rows]))

        def step(carry: tuple[Any, Moments], turn: jax.Array) -> tuple:
            generator, moments = carry
            # All is drawn at once: a random generator takes long to compile.
            shape = (_BATCH, max(r, 2), _LATENT)
            drawn = normal(turned(key, turn), (_BATCH + math.prod(shape),), record.frame.dtype)
            u, noise = jax.scipy.special.ndtr(drawn[:_BATCH]), drawn[_BATCH:].reshape(shape)
            rows = jnp.minimum((u * many.astype(u.dtype)).astype(many.dtype), many - 1)
            return move(generator, jax.grad(loss)(generator, rows, noise), moments, _RATE), None

        turns = jnp.arange(self.steps, dtype=jnp.int32)
        (generator, moments), _ = jax.lax.scan(step, (state.generator, state.moments), turns)
        return WUGOState(record, generator, moments)

    def propose(self, key: jax.Array, state: WUGOState) -> jax.Array:
        """Return the points where the mean is small or the response unlike any that is known."""
        record, q = state.record, self.population
        times = -(-_SAMPLE // self.repeats)
        noise = normal(key, (times * self.repeats, _LATENT), record.frame.dtype)
        own = jnp.repeat(jnp.sort(_responses(record), axis=1), times, axis=1)  # (m, s)
        own = jnp.concatenate([own, jnp.zeros((q, own.shape[1]), own.dtype)])
        known = jnp.concatenate([record.known, jnp.zeros(q, bool)])

        def sample(x: jax.Array) -> jax.Array:
            made = generate(state.generator, x, jnp.broadcast_to(noise, (len(x), *noise.shape)))
            return jnp.sort(made, axis=1)

        def one(carry: Any, turn: jax.Array) -> Any:
            own, known = carry
            row = record.x.shape[0] + turn

            def score(x: jax.Array) -> jax.Array:
                made = sample(x)
                kappa = jnp.asarray(self.confidence, made.dtype)
                return kappa * uncertainty(made, own, known) - jnp.mean(made, axis=1)

            point = most_promising(turned(key, turn + 1), score, record, self.spread)
            carry = own.at[row].set(sample(point[None])[0]), known.at[row].set(True)
            return carry, point

        return jax.lax.scan(one, (own, known), jnp.arange(q, dtype=jnp.int32))[1]


def generate(generator: dict[str, jax.Array], x: jax.Array, noise: jax.Array) -> jax.Array:
    """Return responses (n, s) at x (n, d) from noise (n, s, latent)."""
    d = x.shape[1]
    first, second = generator["first"], generator["second"]
    hidden = (x @ first[:d])[:, None] + noise @ first[d:-1] + first[-1]
    return jnp.tanh(hidden) @ second[:-1] + second[-1]


def energy(made: jax.Array, seen: jax.Array) -> jax.Array:
    """Return the energy distance between two samples, less what depends on ``seen`` alone.

    Its mean is smallest where both come from one distribution.

    Example:
        >>> made, seen = jnp.array([0.0, 2.0]), jnp.array([1.0, 1.0, 1.0])
        >>> print(energy(made, seen))  # 2 * 1 - 2
        0.0
    """
    s = made.shape[0]
    across = jnp.mean(jnp.abs(made[:, None] - seen))
    within = jnp.sum(jnp.abs(made[:, None] - made)) / (s * (s - 1))
    return 2 * across - within


def uncertainty(made: jax.Array, own: jax.Array, known: jax.Array) -> jax.Array:
    """Return the Wasserstein uncertainty (n,): the distance to the nearest known response.

    Args:
        made: (n, s), samples at points, in order.
        own: (m, s), samples that are known, in order.
        known: (m,), bool: which rows there are.
    """
    distance = jnp.mean(jnp.abs(made[:, None] - own), axis=-1)
    return jnp.min(jnp.where(known, distance, jnp.inf), axis=1)


def _responses(record: Record) -> jax.Array:
    """Return the responses (m, repeats), standardised; one that failed is as bad as the worst."""
    heights, middle, unit = record.standard
    worst = jnp.max(jnp.where(record.known, heights, -jnp.inf))
    responses = jnp.where(jnp.isfinite(record.values), (record.values - middle) / unit, worst)
    return jnp.where(record.known[:, None], responses, 0)


card = Card(
    method=WUGO,
    contract="asktell",
    paper="Ramazyan, Hushchyn, Derkach 2024, arXiv:2407.11917",
    seed=89,
    reference="SciPy's wasserstein_distance and energy_distance; the least score on a grid",
    needs={"values"},
    free_of={"gradient", "learning rate", "step size", "normal noise"},
    example=lambda: WUGO(points=24, first=5, repeats=2, steps=5),
)
