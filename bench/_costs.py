"""What parafree costs by itself: deciding, starting, importing. Plain Python, no training."""

from __future__ import annotations

import random
import shutil
import statistics
import subprocess
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

RUNNING = 32
WINDOW = 1000


def decision_seconds(scheduler: Any, trials: int, seed: int) -> float:
    """Return the mean seconds of one ask and one tell once there are so many trials.

    Thirty-two jobs run at a time; the loss falls with the units and differs between trials. The
    window of decisions is timed in one piece, so the rare dear ones are in the mean.
    Processor time, so that other programs on the machine do not count.
    """
    draw = random.Random(seed)
    quality: list[float] = []
    state, running = scheduler.init(), deque[Any]()

    def decide() -> None:
        job = scheduler.ask(state)
        while job is None or len(running) == RUNNING:
            # The oldest job ends: all lanes are filled, or the scheduler waits for one.
            done = running.popleft()
            scheduler.tell(state, done, quality[done.trial] + 1 / done.units)
            if job is None:
                job = scheduler.ask(state)
        while job.trial >= len(quality):
            quality.append(draw.random())
        running.append(job)

    while len(quality) < trials:
        decide()
    begin = time.process_time()
    for _ in range(WINDOW):
        decide()
    return (time.process_time() - begin) / WINDOW


def decisions(scheduler: Any, few: int = 100, many: int = 100_000) -> dict[str, float]:
    """Return microseconds a decision among few and among many trials, and their ratio."""
    at_few = statistics.median(decision_seconds(scheduler, few, seed) for seed in range(15))
    at_many = statistics.median(decision_seconds(scheduler, many, seed) for seed in range(7))
    return {"few_us": at_few * 1e6, "many_us": at_many * 1e6, "ratio": at_many / at_few}


def start_seconds(*command: str, runs: int = 5) -> float:
    """Return the median wall-clock of a command, the interpreter's own start included."""
    times = []
    for _ in range(runs):
        begin = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def help_seconds() -> float:
    """Return the time of ``parafree --help``."""
    script = shutil.which("parafree", path=str(Path(sys.executable).parent))
    if script is not None:
        return start_seconds(script, "--help")
    return start_seconds(sys.executable, "-m", "parafree.cli", "--help")


def import_seconds() -> float:
    """Return the time of ``import parafree`` in a new interpreter, less an empty one's."""
    empty = start_seconds(sys.executable, "-c", "pass")
    return start_seconds(sys.executable, "-c", "import parafree") - empty
