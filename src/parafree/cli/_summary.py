"""A study in a few lines, for the end of a run and for `parafree show`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from parafree.study.study import Study


def lines(study: Study) -> list[str]:
    """Return what was found and what it cost, one fact a line."""
    best, out = study.best, []
    if best is None or best.loss is None:
        out.append("best     nothing yet: no trial has a usable loss")
    else:
        sign = -1.0 if study.maximize else 1.0
        found = f"{study.objective} {number(sign * best.loss)} after {best.units:,} units"
        out.append(f"best     {found} (trial {best.id})")
        out += [f"           {name} = {number(value)}" for name, value in best.hparams.items()]
        out.append(f"expect   {_expectation(study, sign)}")
    failed = len(study.failures)
    ended = f", {failed:,} diverged or failed" if failed else ""
    out.append(
        f"cost     {len(study.trials):,} trials{ended}, {study.units:,} units, {_time(study)}"
    )
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
