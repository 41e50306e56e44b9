"""Measure the store: reports written durably, and a study with a million reports opened.

Usage: ``python bench/store.py [--reports N] [--folder DIR]``. The last line is JSON; ``ratios`` are
against what is asked of the store (above 1 is better than asked).
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from typing import Any

from sqlalchemy import event

from parafree.study.events import Event
from parafree.study.history import History
from parafree.study.store import Clock, Store

BATCH = 32
TRIALS = 2000
ASKED_REPORTS_PER_S = 20_000
ASKED_OPEN_S = 2.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--reports", type=int, default=1_000_000)
    parser.add_argument("--folder", help="on the disk to measure; the system's own for temporaries")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        figures = measure(f"{folder}/parafree.db", given.reports)
    for name, value in figures.items():
        print(f"{name:40} {value:14,.3f}")
    ratios = {
        "write": figures["written_per_s"] / ASKED_REPORTS_PER_S,
        "write_synced_in_32s": figures["synced_per_s_in_32s"] / ASKED_REPORTS_PER_S,
        "write_synced_in_1024s": figures["synced_per_s_in_1024s"] / ASKED_REPORTS_PER_S,
        "open": ASKED_OPEN_S / figures["open_load_best_s"],
    }
    print(json.dumps({"bench": "store", "cpus": os.cpu_count(), **figures, "ratios": ratios}))


def measure(path: str, reports: int) -> dict[str, float]:
    # Other work on the machine makes the figures worse; above the number of CPUs they say little.
    figures = {"reports": float(reports), "load_average": os.getloadavg()[0]}
    with Store.open(path) as store:
        figures["written_per_s"] = write(store, "million", reports)
    with Store.open(path) as store:
        # Every batch reaches the platter, not only the operating system.
        event.listen(store._database.engine, "connect", sync_each_transaction)
        store._database.close()
        figures["synced_per_s_in_32s"] = write(store, "synced", reports // 20)
        # What a run does: everything since the last flush, a quarter of a second ago.
        figures["synced_per_s_in_1024s"] = write(store, "synced more", reports // 4, 1024)
    begin, begin_cpu = time.perf_counter(), time.process_time()
    with Store.open(path, create=False) as store:
        study = store.find("million").id
        History.load(store, study).best()
        figures["open_load_best_s"] = time.perf_counter() - begin
        figures["open_load_best_cpu_s"] = time.process_time() - begin_cpu
        figures["reports_columns_s"] = timed(lambda: store.reports(study))
        figures["summary_s"] = timed(lambda: store.summary(study))
        read = timed(lambda: sum(1 for _ in store.journal(study)))
        figures["journal_events_per_s"] = (reports + TRIALS) / read
        fold = timed(lambda: History.from_events(store.journal(study)))
        figures["fold_events_per_s"] = (reports + TRIALS) / fold
    return figures


def write(store: Store, name: str, reports: int, size: int = BATCH) -> float:
    """Write reports in batches as a run does, and return how many a second."""
    study = store.create(name, {}).id
    session = store.begin_session(study, {})
    made = [Event("trial", trial, data={"hparams": {"lr": 0.1}}) for trial in range(TRIALS)]
    place = store.append(study, 1, made)
    begin = time.perf_counter()
    for first in range(0, reports, size):
        batch = [
            Event("report", number % TRIALS, number // TRIALS + 1, 1 / (number + 1))
            for number in range(first, min(first + size, reports))
        ]
        place = store.append(study, place, batch, Clock(session, 0.0))
    return reports / (time.perf_counter() - begin)


def sync_each_transaction(raw: Any, _record: Any) -> None:
    raw.execute("PRAGMA synchronous=FULL")


def timed(job: Callable[[], Any]) -> float:
    begin = time.perf_counter()
    job()
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
