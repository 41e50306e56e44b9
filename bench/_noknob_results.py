"""Runs methods on workloads, and keeps what they did."""

from __future__ import annotations

import datetime
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from _noknob_freeze import dump, first_at, shorten
from _noknob_methods import make
from _noknob_suite import build
from _noknob_train import Speed, baseline, speeds, train
from _noknob_workload import LONGER, Workload
from parafree import optim
from parafree.claims._machine import describe
from parafree.core.errors import ParafreeError

RESULTS = Path(__file__).with_name("noknob_results.json")
REFERENCE = "nadamw"


def load(path: Path = RESULTS) -> dict[str, Any]:
    """Return what is stored: a method, a workload, and what was measured."""
    return dict(json.loads(path.read_text())) if path.is_file() else {}


def check(workload: Workload, entry: dict[str, Any]) -> None:
    """Refuse a workload that is not the one that its target was made for.

    Raises:
        ParafreeError: its code or its data changed.
    """
    if workload.digest() != entry["digest"]:
        raise ParafreeError(
            "the workload changed after its target was frozen",
            where=workload.name,
            fix="undo the change, or take its entry out of the frozen file and freeze again",
        )


def run(names: list[str], methods: list[str], seeds: list[int], frozen: dict[str, Any]) -> None:
    """Run all methods on each workload in turn, and store what came out after each workload."""
    for name in names:
        workload, entry = build(name), frozen["workloads"][name]
        check(workload, entry)
        made = {method: make(method) for method in methods}
        # The reference takes part in every measurement of time, so that ratios hold anywhere.
        times = speeds(workload, made | {REFERENCE: baseline(nesterov=True)})
        for method in methods:
            done = train(workload, made[method], seeds, LONGER)
            record = _record(workload, entry["target"], done.losses, done.state)
            record |= _clock(times[method], times[REFERENCE]) | {"seeds": seeds}
            _store(method, name, record)
            _say(workload, method, record)


def time_again(names: list[str], methods: list[str], frozen: dict[str, Any]) -> None:
    """Measure the time of a step of what is stored once more, and keep all else."""
    for name in names:
        workload = build(name)
        check(workload, frozen["workloads"][name])
        stored = [method for method in methods if name in load().get(method, {})]
        made = {method: make(method) for method in stored}
        times = speeds(workload, made | {REFERENCE: baseline(nesterov=True)})
        for method in stored:
            record = load()[method][name] | _clock(times[method], times[REFERENCE])
            _store(method, name, record)
            _say(workload, method, record)


def _record(workload: Workload, target: float, losses: np.ndarray, state: Any) -> dict[str, Any]:
    reached = first_at(losses, target)
    report = optim.diagnose(state)
    return {
        "steps": [int(at) * workload.every if np.isfinite(at) else None for at in reached],
        "lowest": [shorten(float(np.nanmin(row))) for row in losses],
        "last": [shorten(float(row[-1])) for row in losses],
        "stuck": report.stuck,
    }


def _clock(own: Speed, reference: Speed) -> dict[str, Any]:
    return {
        "step_s": shorten(own.step_s),
        "nadamw_step_s": shorten(reference.step_s),
        "compile_s": shorten(own.compile_s),
        "nadamw_compile_s": shorten(reference.compile_s),
        "date": datetime.date.today().isoformat(),
        "versions": {package: version(package) for package in ("parafree", "jax", "optax")},
        "machine": describe()["processor"],
    }


def _store(method: str, workload: str, record: dict[str, Any]) -> None:
    """Read, change and write: several processes may measure different methods one by one."""
    content = load()
    content.setdefault(method, {})[workload] = record
    RESULTS.write_text(dump(content))


def _say(workload: Workload, method: str, record: dict[str, Any]) -> None:
    slower = record["step_s"] / record["nadamw_step_s"]
    print(
        f"{workload.name:22} {method:22} steps {record['steps']} lowest {record['lowest']} "
        f"time/step x{slower:.2f}{' STUCK' if record['stuck'] else ''}",
        flush=True,
    )
