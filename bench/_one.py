"""Runs one measurement in a fresh process: ``python bench/_one.py '{"peer": ...}'``.

A fresh process for each keeps caches, compiled programs and memory of one from helping another.
The last line of standard output is the result as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from _workload import load_trainable

PARAFREE = "parafree"


def run_parafree(job: dict[str, Any], trainable: Any) -> dict[str, Any]:
    """Run ``parafree.tune`` with nothing set; the clock covers the whole call."""
    import parafree

    begin = time.perf_counter()
    study = parafree.tune(
        trainable,
        time=job["seconds"],
        seed=job["seed"],
        target=job.get("target"),
        store=Path(job["folder"]) / "parafree.db",
        name="bench",
        progress=False,
        lanes=job.get("lanes"),
    )
    total = time.perf_counter() - begin
    session = study.sessions[-1]
    plan = next(iter(study.store.journal(study.store.find(study.name).id))).data or {}
    reached = session.reason == "target"
    return {
        "steps": study.units,
        "reports": len(study.reports),
        "trials": len(study.trials),
        "total_s": total,
        "compile_s": session.compile_s,
        "steps_per_s": study.units / (total - session.compile_s),
        "steps_per_s_with_compile": study.units / total,
        "best": None if study.best is None else study.best.best_loss,
        "reached_s": total if reached else None,
        "busy": session.busy,
        "overhead_s": session.overhead_s,
        "overhead_share": session.overhead_s / total,
        "plan": plan,
    }


def main() -> None:
    job = json.loads(sys.argv[1])
    trainable = load_trainable()
    if job["peer"] == PARAFREE:
        result = run_parafree(job, trainable)
    else:
        from _peers import Job, run_peer

        result = run_peer(Job(**job), trainable)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
