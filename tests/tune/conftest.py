from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from parafree.core.contracts import Job


def drive(
    scheduler: Any,
    loss: Callable[[Job], float],
    jobs: int,
    workers: int = 1,
    seed: int = 0,
) -> tuple[Any, list[tuple[str, Job]]]:
    """Ask and tell until `jobs` have started; jobs under way end in a random order."""
    order = random.Random(seed)
    state, running, log = scheduler.init(), [], []
    started = 0
    while True:
        while started < jobs and len(running) < workers:
            job = scheduler.ask(state)
            if job is None:
                break
            running.append(job)
            log.append(("ask", job))
            started += 1
        if not running:
            return state, log
        job = running.pop(order.randrange(len(running)))
        scheduler.tell(state, job, loss(job))
        log.append(("tell", job))


def hashed_loss(seed: int = 0, diverge: float = 0.0) -> Callable[[Job], float]:
    """A loss that depends on the job alone, in whatever order jobs end."""

    def loss(job: Job) -> float:
        draw = random.Random(f"{seed}/{job.trial}/{job.units}")
        if draw.random() < diverge:
            return draw.choice([float("nan"), float("inf"), float("-inf")])
        return draw.random()

    return loss


@pytest.fixture(name="drive", scope="session")
def _drive() -> Callable[..., Any]:
    return drive


@pytest.fixture(name="hashed_loss", scope="session")
def _hashed_loss() -> Callable[..., Any]:
    return hashed_loss
