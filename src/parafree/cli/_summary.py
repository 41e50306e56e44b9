"""A study in a few lines, for the end of a run and for `parafree show`."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from parafree.study._goals import Goals
    from parafree.study.history import Trial
    from parafree.study.study import Study

_FRONT = 12  # points of a front that are listed
_SETTINGS = 40  # values of the best configuration that are listed


def lines(study: Study) -> list[str]:
    """Return what was found and what it cost, one fact a line."""
    from parafree.study._findings import minimises

    if minimises(study.spec):
        return _of_minimum(study)
    best, out = study.best, []
    if best is None or best.loss is None:
        out.append("best     nothing yet: no trial has a usable loss")
    else:
        sign = -1.0 if study.maximize else 1.0
        found = f"{study.objective} {number(sign * best.loss)} after {best.units:,} units"
        out.append(f"best     {found} (trial {best.id})")
        out += _settings(best.hparams)
        out.append(f"expect   {_expectation(study, sign)}")
    failed = len(study.failures)
    ended = f", {failed:,} diverged or failed" if failed else ""
    out.append(
        f"cost     {len(study.trials):,} trials{ended}, {study.units:,} units, {_time(study)}"
    )
    return out


def minimum_lines(
    best: Trial | None, error: float, front: Sequence[Trial], goals: Goals
) -> list[str]:
    """Return the best point, and the front where there are several objectives."""
    if best is None or best.loss is None:
        return ["best     nothing yet: no evaluation gave a finite value"]
    value = f"{number(best.loss)} ± {number(error)}" if error else number(best.loss)
    said = f"{value} (evaluation {best.id})"
    if not goals.plain:  # then all that is asked of is among the figures
        named = [f"{name} {number(best.metrics[name])}" for name in goals.names]
        said = f"{', '.join(named)} (evaluation {best.id})"
    kept = goals.kept(goals.outcome(best.metrics)) if goals.limits else True
    out = [f"best     {said}" if kept else f"nearest  {said} breaks a limit"]
    out += _settings(best.hparams)
    if goals.several:
        differ = list({tuple(t.metrics[o] for o in goals.objectives): t for t in front}.values())
        some = [differ[i * (len(differ) - 1) // (_FRONT - 1)] for i in range(_FRONT)]
        out.append(f"front    {len(differ):,} different points: {', '.join(goals.objectives)}")
        for trial in differ if len(differ) <= _FRONT else some:
            values = "  ".join(f"{number(trial.metrics[name]):>10}" for name in goals.objectives)
            out.append(f"           {values}  (evaluation {trial.id})")
    return out


def _settings(hparams: Mapping[str, Any]) -> list[str]:
    some = islice(hparams.items(), _SETTINGS)
    left = len(hparams) - _SETTINGS
    lines = [f"           {name} = {number(value)}" for name, value in some]
    return lines + [f"           and {left:,} more, which --json lists"] * (left > 0)


def ranking(study: Study) -> list[Trial]:
    """Return the trials worth listing, best first; behind them those that break a limit."""
    from dataclasses import replace

    from parafree.study._goals import Goals

    goals, best, trials = Goals.from_spec(study.spec), study.best, study.trials
    finite = [trial for trial in trials if trial.loss is not None]
    deepest = max((trial.units for trial in finite), default=0)
    # A loss after few units is not to be compared with one after many.
    finite.sort(key=lambda t: (best is None or t.id != best.id, t.units * 3 < deepest, t.loss))
    beyond = [trial for trial in trials if trial.status == "infeasible"]
    beyond.sort(key=lambda trial: goals.violation(goals.outcome(trial.metrics)))
    name = goals.objectives[0]
    return finite + [replace(trial, loss=trial.metrics[name]) for trial in beyond]


def _of_minimum(study: Study) -> list[str]:
    from parafree.study import _findings
    from parafree.study._goals import Goals

    goals, trials = Goals.from_spec(study.spec), study.trials
    values = _findings.values_of(trials, study.spec)
    front = _findings.front(trials, goals) if goals.several else []
    best = study.best
    error = values.error(values.best() or "") if values.noisy and not goals.several else 0.0
    out = minimum_lines(best, error, front, goals)
    if values.noise:
        out.append(f"noise    {number(values.noise)} in a single value")
    asked = _findings.evaluations(trials, study.spec)
    failed, beyond = len(study.failures), sum(t.status == "infeasible" for t in trials)
    bad = f", {beyond:,} beyond a limit" if beyond else ""
    bad += f", {failed:,} without a finite value" if failed else ""
    out.append(f"cost     {asked:,} evaluations{bad}, {_time(study)}")
    return out


def number(value: Any) -> str:
    """Write a number for people.

    Example:
        >>> number(0.00123456), number(64), number("relu")
        ('0.001235', '64', 'relu')
    """
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _expectation(study: Study, sign: float) -> str:
    best, history = study.best, study.history
    assert best is not None
    trial = best if history.repeats_of(best.id) else None
    if trial is None and history.confirmed is not None:
        trial = study.trials[history.confirmed["trial"]]
    measured = None if trial is None else history.uncertainty(trial.id)
    if trial is None or measured is None:
        return "not confirmed: too little of the budget was left to repeat the winner"
    seeds = f"mean and standard error of {measured.repeats} runs with fresh seeds"
    if trial is not best:
        seeds += f" of trial {trial.id}, which was ahead then"
    if measured.units != best.units:
        there = number(sign * history.loss_at(trial.id, measured.units))
        seeds += f", after {measured.units:,} units; the trial itself had {there} there"
    return f"{study.objective} {number(sign * measured.mean)} ± {number(measured.error)} ({seeds})"


def _time(study: Study) -> str:
    sessions = [each for each in study.sessions if each.ended is not None]
    spent = sum(each.ended - each.started for each in sessions if each.ended is not None)
    compiling = sum(each.compile_s or 0.0 for each in sessions)
    busy = f", lanes {sessions[-1].busy:.0%} busy" if sessions and sessions[-1].busy else ""
    return f"{spent:.1f} s (compiling {compiling:.1f} s{busy})"
