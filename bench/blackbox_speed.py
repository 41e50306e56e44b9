"""Measure how fast ``parafree.blackbox`` asks and learns: ``python bench/blackbox_speed.py``.

Beside the same algorithms of pycma, PyPop7 and evosax, in turn, in one process, on the same
functions. What is measured is told in ``docs/blackbox-speed.md``. The last line of standard output
is JSON.
"""

from __future__ import annotations

import argparse
import json
import time
from itertools import product
from pathlib import Path
from typing import Any

import jax

import _blackbox_speed_peers as peers
from _blackbox_speed_jax import evosax, length, measure, on_host, ours, region
from _blackbox_speed_objectives import OBJECTIVES, Objective
from _blackbox_speed_peers import PEERS, QUICK
from _blackbox_speed_report import (
    cost_table,
    goals_of,
    machine,
    ratios_of,
    speed_table,
    write,
)
from optim_speed import Others
from parafree.core.catalogue import cards

DIMENSIONS = (10, 100, 1000)
KINDS = ("speeds", "compiles", "hosts", "loads")
SPEED, COST = "evaluations per second", "compiling and batches"


def say(text: str) -> None:
    print(f"[{time.strftime('%H:%M:%S')}] {text}", flush=True)


def made() -> dict[str, Any]:
    """Return how to make every method of the room that asks and tells."""
    return {card.name: card.make for card in cards("blackbox") if card.contract == "asktell"}


def batch(method: Any, dimension: int) -> int:
    """Return how many candidates a method asks for at a time."""

    def ask(key: Any) -> Any:
        return method.ask(key, method.init(key, region(dimension)))[0]

    return int(jax.eval_shape(ask, jax.random.key(0)).shape[0])


def speed(
    name: str, objective: Objective, d: int, population: int | None, seconds: float
) -> dict[str, Any]:
    """Measure a method and its peers; they are given as many candidates in a batch."""
    kind = type(made()[name]())
    method = kind() if population is None else kind(population=population)
    count = batch(method, d)
    row = {"method": name, "objective": objective.name, "d": d, "population": count}
    batches = length(count, d)
    row |= measure(ours(method, objective, d), count, batches, seconds)._asdict() | {"peers": {}}
    same, found = PEERS[name], row["peers"]
    members = population or count
    if same.evosax and peers.installed("evosax"):
        rival = evosax(same.evosax, members, objective, d)
        found["evosax"] = measure(rival, members, batches, seconds)._asdict()
    if same.pycma is not None and peers.installed("cma"):
        per_s = peers.pycma(same.pycma, members, objective, d, seconds)
        found["pycma"] = {"per_s": per_s, "compile_s": 0.0}
    if same.pypop7 and peers.installed("pypop7"):
        per_s = peers.pypop7(same.pypop7, members, objective, d, seconds)
        found["pypop7"] = {"per_s": per_s, "compile_s": 0.0}
    times = (f"{row['per_s'] / x['per_s']:.3g} x {peer}" for peer, x in found.items())
    say(f"{name}, d {d}, {count}, {objective.name}: {row['per_s']:,.0f}/s, {', '.join(times)}")
    return row


def costs(name: str, d: int, seconds: float) -> tuple[dict[str, Any], dict[str, Any]]:
    """Measure how long a method compiles, and a batch of it with a function on the host."""
    method, objective = made()[name](), OBJECTIVES[0]
    about = {"method": name, "d": d}
    shown = measure(ours(method, objective, d), batch(method, d), 1, 0.0)
    host = on_host(method, objective, d, seconds)
    say(f"{name}, d {d}: compiles {shown.compile_s:.2f} s, a batch {1e3 * host.batch_s:.2f} ms")
    return about | {"compile_s": shown.compile_s}, about | host._asdict()


class Kept:
    """What was measured, a list for each kind; in a file, if one is given, to go on from."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        found = json.loads(path.read_text()) if path is not None and path.is_file() else {}
        self.rows: dict[str, list[dict[str, Any]]] = {kind: found.get(kind, []) for kind in KINDS}

    @property
    def count(self) -> int:
        """How much was measured."""
        return len(self.rows["speeds"]) + len(self.rows["hosts"])

    def has(self, kind: str, **about: Any) -> bool:
        """Whether there is a row about this."""
        return any(about.items() <= row.items() for row in self.rows[kind])

    def add(self, **rows: dict[str, Any]) -> None:
        """Keep a row of each kind that is given."""
        for kind, row in rows.items():
            self.rows[kind].append(row)
        if self._path is not None:
            beside = self._path.with_suffix(".tmp")
            beside.write_text(json.dumps(self.rows))
            beside.replace(self._path)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few methods, under three minutes")
    parser.add_argument("--methods", nargs="+", help="only these; by default all")
    parser.add_argument("--dimensions", type=int, nargs="+", default=DIMENSIONS)
    parser.add_argument("--functions", nargs="+", choices=[x.name for x in OBJECTIVES])
    parser.add_argument("--keep", type=Path, help="go on with what is in this file, and add to it")
    parser.add_argument("--seconds", type=float, help="of a turn; by default 0.5, quick 0.2")
    parser.add_argument("--write", type=Path, help="put the tables into this Markdown file")
    return parser.parse_args()


def main() -> None:
    args = parse()
    seconds = args.seconds or (0.2 if args.quick else 0.5)
    named = args.functions or [x.name for x in (OBJECTIVES[1:2] if args.quick else OBJECTIVES)]
    objectives = [x for x in OBJECTIVES if x.name in named]
    compared = [x for x in args.methods or (QUICK if args.quick else PEERS) if x in PEERS]
    every = args.methods or (QUICK if args.quick else list(made()))
    populations = (None,) if args.quick else (None, 256)
    kept, others = Kept(args.keep), Others()
    before = kept.count
    for d in args.dimensions:
        for name, population, x in product(compared, populations, objectives):
            about = {"method": name, "d": d, "asked": population, "objective": x.name}
            if not kept.has("speeds", **about):
                kept.add(speeds=speed(name, x, d, population, seconds) | about)
        for name in every:
            if not kept.has("hosts", method=name, d=d):
                compiles, hosts = costs(name, d, seconds)
                kept.add(compiles=compiles, hosts=hosts)
    if kept.count > before:
        kept.add(loads={"cores": others.cores()})
    rows, compiles, hosts, loads = (kept.rows[kind] for kind in KINDS)
    used = max((row["cores"] for row in loads), default=0.0)
    rows.sort(key=lambda row: (row["d"], list(PEERS).index(row["method"])))
    tables = {SPEED: speed_table(rows, seconds, used), COST: cost_table(compiles, hosts, used)}
    for name, table in tables.items():
        print(table, flush=True)
        if args.write is not None:
            write(args.write, name, table)
    goals = goals_of(rows, compiles, hosts)
    for name, goal in goals.items():
        print(f"{name}: {'met' if goal['met'] else 'MISSED'}, {goal['value']:.3g} ({goal['at']})")
    told = {"bench": "blackbox_speed", "ratios": ratios_of(rows), "goals": goals}
    print(json.dumps(told | machine()))


if __name__ == "__main__":
    main()
