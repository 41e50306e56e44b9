"""A function of a configuration as a trainable: one evaluation is one trial of one unit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from parafree.core.errors import TrainableError
from parafree.study._goals import PLAIN, Goals
from parafree.study._printed import Place, Program


@dataclass(frozen=True)
class Evaluation:
    """Asks a function, or a program, for the value of one configuration.

    Nothing is kept between two evaluations, so a trial needs neither a directory nor a log of its
    own: what was under way when a study was killed is asked for again.

    Args:
        f: ``f(config)`` returns a number, or a mapping with ``loss`` and other numbers; or a
            :class:`Program` that prints one of these.
        timeout: seconds after which an evaluation counts as hung; ``None`` waits for ever.
        goals: what the figures are for. Only a point that may be a result has a loss, so that
            whatever reads losses recommends no other one; where there is more than a loss, all
            figures stand beside it.

    Example:
        >>> Evaluation(lambda config: config["x"] ** 2).value({"x": 3.0}, None)
        (9.0, {})
    """

    f: Any
    timeout: float | None = None
    goals: Goals = PLAIN

    @property
    def __name__(self) -> str:
        from parafree.study._spec import name_of

        return name_of(self.f)

    @property
    def space(self) -> Any | None:
        """The space that comes with the function."""
        from parafree.study.trainables import space_of

        return space_of(self.f)

    def __call__(self, trial: Any) -> None:
        """Report the value of a trial's configuration, as any other trainable would."""
        loss, metrics = self.value(trial.hparams, None)
        trial.report(loss=loss, **metrics)

    def value(
        self, config: Mapping[str, Any], place: Place | None
    ) -> tuple[float | None, dict[str, float | None]]:
        """Return the loss of a configuration, ``None`` where it has none, and the rest.

        Raises:
            TrainableError: what comes back is no number.
        """
        if isinstance(self.f, Program):
            assert place is not None, "programs run in worker processes"
            found = self.f.run(config, place, self.goals.objectives)
        else:
            found = self.f(dict(config))
        return read(found) if self.goals.plain else self.goals.read(found)


def read(found: Any) -> tuple[float | None, dict[str, float | None]]:
    """Read what a function has returned, or a program has printed.

    Raises:
        TrainableError: it is neither a number nor a mapping with a loss.

    Example:
        >>> read(0.5), read({"loss": float("nan"), "size": 3})
        ((0.5, {}), (None, {'size': 3.0}))
    """
    from parafree.study._trial import _number

    numbers = dict(found) if isinstance(found, Mapping) else {"loss": found}
    if numbers.get("loss") is None:
        raise TrainableError(
            f"an evaluation gave {found!r:.80}, which has no loss",
            fix='return a number, or {"loss": number, ...}',
        )
    metrics = {str(name): _number(value, str(name)) for name, value in numbers.items()}
    return metrics.pop("loss"), metrics
