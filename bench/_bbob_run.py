"""Runs solvers on problems side by side, and keeps what they did."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from importlib.metadata import version
from pathlib import Path
from typing import Any

from _bbob_choices import SUITE as OWN_SUITE
from _bbob_problems import Problem, Recorder
from _bbob_solvers import SOLVERS, solve
from parafree.core.errors import ParafreeError

_ONE_THREAD = {
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}


class Results:
    """What was run, in a file: for each suite a budget and one row for a solver on a problem."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.content: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}

    def begin(self, suite: str, budget: int, again: bool) -> None:
        """Make room for rows with a budget.

        Raises:
            ParafreeError: what is kept was run with another one.
        """
        kept = self.content.get(suite)
        if kept is not None and kept["budget"] != budget and not again:
            raise ParafreeError(
                f"{suite} was run with {kept['budget']} evaluations for each dimension, "
                f"not {budget}",
                where=str(self.path),
                fix="give another file with --results, or --again to throw those away",
            )
        if kept is None or kept["budget"] != budget:
            self.content[suite] = {"budget": budget, "runs": []}

    def done(self, suite: str) -> set[tuple[str, str]]:
        """Return the solvers and problems of which there are rows."""
        return {(row["solver"], row["problem"]) for row in self.content[suite]["runs"]}

    def add(self, suite: str, rows: list[dict[str, Any]]) -> None:
        """Take in rows, in place of others of the same solver on the same problem, and save."""
        entry = self.content[suite]
        new = {(row["solver"], row["problem"]) for row in rows}
        kept = [row for row in entry["runs"] if (row["solver"], row["problem"]) not in new]
        names = list(SOLVERS)
        entry["runs"] = sorted([*kept, *rows], key=lambda row: names.index(row["solver"]))
        judge = set() if suite == OWN_SUITE else {"coco-experiment"}
        ran = {SOLVERS[row["solver"]].package for row in rows} - {"parafree"} | judge
        entry["versions"] = entry.get("versions", {}) | {each: version(each) for each in ran}
        beside = self.path.with_suffix(".tmp")
        beside.write_text(json.dumps(self.content, separators=(",", ":")))
        beside.replace(self.path)


class Crew:
    """Processes with one thread each, which run one problem after another."""

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs
        os.environ.update(_ONE_THREAD)  # read by the processes when they begin
        self._pool: ProcessPoolExecutor | None = None

    def run(
        self, tasks: list[tuple[Problem, str, int]], keep: Callable[[list[dict[str, Any]]], None]
    ) -> list[dict[str, Any]]:
        """Run tasks and return their rows; ``keep`` gets them too, and gets them if stopped."""
        rows: list[dict[str, Any]] = []
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self._jobs, context, _begin)
        try:
            for future in as_completed([self._pool.submit(_row, *task) for task in tasks]):
                rows.append(future.result())
        except BrokenProcessPool:
            say(f"a process died: {len(tasks) - len(rows)} of {len(tasks)} runs are missing")
            self._pool = None
        finally:
            keep(rows)
        return rows

    def stop(self) -> None:
        """End all processes, whatever they do."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():
            process.terminate()


def _begin() -> None:
    """Set a process up: it dies of Ctrl-C in silence, and keeps what it compiles."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    from parafree.study._jax_setup import use_compilation_cache

    use_compilation_cache()


def _row(problem: Problem, name: str, budget: int) -> dict[str, Any]:
    """Let a solver loose on a problem; return when it reached which targets."""
    begin = time.perf_counter()
    recorder = Recorder(problem, budget * problem.dimension)
    failure = recorder.watch(solve(name), seed=problem.instance)
    row = {
        "solver": name,
        "problem": problem.name,
        "dimension": problem.dimension,
        "function": problem.function,
        "hits": recorder.hits,
        "seconds": round(time.perf_counter() - begin, 3),
    }
    return row | ({"failure": failure} if failure else {})


def run_suite(
    crew: Crew, results: Results, suite: str, solvers: list[str], found: list[Problem], again: bool
) -> None:
    """Let solvers loose on problems of one dimension, and save after each solver."""
    budget = results.content[suite]["budget"]
    for name in solvers:
        done = set() if again else results.done(suite)
        fit = [p for p in found if SOLVERS[name].fits(p) and (name, p.name) not in done]
        begin = time.perf_counter()
        tasks = [(problem, name, budget) for problem in fit]
        rows = crew.run(tasks, lambda rows: results.add(suite, rows)) if tasks else []
        if rows:
            each = sum(row["seconds"] for row in rows) / len(rows)
            failed = [row["failure"] for row in rows if "failure" in row]
            say(
                f"{suite} d={found[0].dimension} {name}: {len(rows)} problems, {each:.1f} s each, "
                f"{time.perf_counter() - begin:.0f} s in all"
                + (f"; {len(failed)} ended early, one by {failed[0]}" if failed else "")
            )


def say(text: str) -> None:
    """Tell what goes on."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)
