"""The top of the page: the best configuration, what it is worth, and what it cost."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from parafree.core.space import Space
from parafree.study._figures._style import count, duration, number
from parafree.study._figures._table import Table
from parafree.study._figures.best_so_far import running_time
from parafree.study._findings import minimises, values_of
from parafree.study._goals import Goals
from parafree.study._values import text_of

if TYPE_CHECKING:
    from parafree.study._view import StudyView, TrialView


SETTINGS = 14  # of the best configuration that are shown at once
_MOST = 500  # and that are shown at all, except as JSON


def headline(study: StudyView, table: Table) -> str:
    """Return the top of the page as HTML.

    Args:
        study: the study.
        table: the study as columns.
    """
    repeats = sum(t.repeats is not None for t in study.trials)
    trials = len(study.trials) - repeats
    header = f'<header><p class="kind">parafree study</p><h1>{escape(study.name)}</h1></header>'
    tiles = _tiles(study, trials, repeats)
    inner = _nothing(study, tiles) if study.best is None else _best(study, table, tiles)
    return f'{header}<section class="hero">{inner}</section>'


def _nothing(study: StudyView, tiles: str) -> str:
    if not study.trials:
        text = "No trial has begun yet. Run the study for a while, then write this page again."
    else:
        text = "No trial has a usable result yet; the table below says what went wrong."
        if not study.failures:
            text = "No trial has reported a result yet."
    return f'<div class="wide"><h2>Nothing found yet</h2><p class="about">{text}</p>{tiles}</div>'


def _best(study: StudyView, table: Table, tiles: str) -> str:
    best = study.best
    assert best is not None
    value, about = _worth(study, best, table.sign)
    space, some = study.space, islice(best.hparams.items(), _MOST)
    settings = [_setting(space, name, value) for name, value in some]
    config = f'<dl class="config">{"".join(settings[:SETTINGS])}</dl>'
    if more := settings[SETTINGS:]:
        left = len(best.hparams) - len(settings)
        rest = f'<p class="note">{left:,} further ones stand in the JSON alone.</p>' if left else ""
        config += (
            f"<details><summary>{len(best.hparams) - SETTINGS:,} more</summary>"
            f'<dl class="config">{"".join(more)}</dl>{rest}</details>'
        )
    code = escape(json.dumps(best.hparams, indent=2, default=str, ensure_ascii=False))
    return (
        f'<div><p class="eyebrow">Best {escape(study.objective)}</p>'
        f'<p class="value">{value}</p><p class="about">{about}</p>{tiles}</div>'
        f'<div><p class="eyebrow">Best configuration</p>{config}'
        f"<details><summary>Copy as JSON</summary><pre>{code}</pre></details></div>"
    )


def _worth(study: StudyView, best: TrialView, sign: float) -> tuple[str, str]:
    """Say what the best configuration gives, and how far to trust that."""
    own = number(None if best.loss is None else sign * best.loss)
    where = f"trial {best.id}, {count(best.units, 'unit')}"
    if study.uncertainty is not None:
        mean, error, repeated, units = study.uncertainty
        early = f" after {count(units, 'unit')}" if units < best.units else ""
        return f"{number(sign * mean)} <small>± {number(error, 2)}</small>", (
            f"Mean and standard error of {count(repeated, 'fresh run')} of the best "
            f"configuration{early}. The trial itself ({where}) had {own}; it was picked for "
            "being good, so the fresh runs are the honest figure."
        )
    spec = getattr(study, "spec", {})
    if minimises(spec):
        return own, _of_minimum(study, best, spec)
    text = f"The last value of one run ({where}). It was picked for being good"
    former, losses = _repeats_of_another(study)
    if len(losses) < 2:
        return own, f"{text} and was not repeated, so a fresh run may do a little worse."
    mean, error = float(np.mean(losses)), float(np.std(losses, ddof=1)) / len(losses) ** 0.5
    return own, (
        f"{text}, so a fresh run may do a little worse: {len(losses)} fresh runs of trial "
        f"{former}, which was ahead then, gave {number(sign * mean)} ± {number(error, 2)}."
    )


def _of_minimum(study: Any, best: TrialView, spec: Mapping[str, Any]) -> str:
    """Say what the value of a minimisation's best rests on."""
    goals = Goals.from_spec(spec)
    if goals.limits and not goals.kept(goals.outcome(best.metrics)):
        broken = escape("; ".join(goals.broken(best.metrics)))
        return f"No evaluation kept all limits. Evaluation {best.id} is the nearest: {broken}."
    if goals.several:
        named = [f"{escape(name)} {number(best.metrics[name])}" for name in goals.objectives]
        return f"Evaluation {best.id}, a compromise of the front below: {', '.join(named)}."
    if spec.get("kind") == "compiled":
        return "The best value of all evaluations on the device."
    values = values_of(study.trials, spec)
    if values.noisy:
        key = text_of(best.hparams)
        times = count(len(values.fair(key)), "evaluation")
        return (
            f"The mean of {times}, with error {number(values.error(key), 2)}. Those for which the "
            "configuration was picked are left out, since luck had a part in them."
        )
    again = " Points that were asked again gave the same value." if values.asked_again else ""
    return f"The value of evaluation {best.id}.{again}"


def _repeats_of_another(study: StudyView) -> tuple[int | None, list[float]]:
    """The trial that was repeated last, and the last losses of its repeats."""
    repeats = [t for t in study.trials if t.repeats is not None]
    former = repeats[-1].repeats if repeats else None
    return former, [t.loss for t in repeats if t.repeats == former and t.loss is not None]


def _setting(space: Space, name: str, value: Any) -> str:
    parameter: Any = space.parameters.get(name)
    unit = escape(getattr(parameter, "unit", "") or "")
    text = "fixed" if parameter is None else escape(parameter.help)
    hint = f"<span>{text}</span>" if text else ""
    shown = escape(number(value, 5)) + (f" <span>{unit}</span>" if unit else "")
    return f"<div><dt>{escape(name)}{hint}</dt><dd>{shown}</dd></div>"


def _tiles(study: StudyView, trials: int, repeats: int) -> str:
    units = sum(t.units for t in study.trials)
    worked = float(running_time(study.clock)[0].max(initial=0.0)) if len(study.clock) else None
    compiled = [s.compile_s for s in study.sessions if s.compile_s is not None]
    tiles = [(number(units), "units in all"), (number(trials), "trials")]
    if minimises(getattr(study, "spec", {})):
        tiles = [(number(units), "evaluations")]
    if repeats:
        tiles.append((number(repeats), "repeats with fresh seeds"))
    if worked is not None:
        tiles.append((duration(worked), "of work" + _in_sessions(len(study.sessions))))
    if compiled:
        tiles.append((duration(sum(compiled)), "spent compiling"))
    if busy := _busy(study):
        tiles.append((busy, "of lanes' time in use"))
    if beyond := sum(t.status == "infeasible" for t in study.trials):
        tiles.append((number(beyond), "beyond a limit"))
    if study.failures:
        tiles.append((number(len(study.failures)), "failed or diverged"))
    cells = "".join(f"<div><b>{value}</b><span>{text}</span></div>" for value, text in tiles)
    return f'<div class="tiles">{cells}</div>'


def _in_sessions(sessions: int) -> str:
    return f", {sessions} sessions" if sessions > 1 else ""


def _busy(study: StudyView) -> str:
    """The sessions' shares of busy lanes, each weighed by how long its jobs went on, if known."""
    spans = study.spans
    last: dict[int, float] = {}
    for one in np.unique(spans["session"]) if len(spans) else ():
        last[int(one)] = float(spans["end_s"][spans["session"] == one].max())
    shares, weights = [], []
    for session in study.sessions:
        if session.busy is not None:
            shares.append(session.busy)
            weights.append(last.get(getattr(session, "id", -1), 0.0) + 1e-9)
    return f"{np.average(shares, weights=weights):.0%}" if shares else ""
