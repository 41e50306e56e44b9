"""The common checks: every card of the catalogue goes through those of its contract.

A check is a function of a card that asserts. A new method is checked by having a card; a check
that does not apply to it is named, with the reason, in the card's ``xfail``, and must then fail.
"""

from __future__ import annotations

import ast
import copy
import dataclasses
import doctest
import importlib
import inspect
import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from parafree import Bool, Choice, Int, Real, Space
from parafree.core import contracts
from parafree.core.card import Card
from parafree.core.catalogue import cards

Check = Callable[[Card], None]

TESTS = Path(__file__).parents[1]
SECTIONS = ("Args:", "Returns:", "Cost:", "Source:", "Differs:", "Example:")


# Every contract.


def check_the_docstring_has_all_sections(card: Card) -> None:
    doc = inspect.getdoc(card.method) or ""
    lines = doc.splitlines()
    assert [section for section in SECTIONS if section not in lines] == []
    assert card.summary, "the file needs a docstring whose first line says what the method does"


def check_there_is_an_example(card: Card) -> None:
    """It is run with those of all other docstrings, by pytest itself."""
    module = inspect.getmodule(card.method)
    examples = doctest.DocTestFinder(recurse=False).find(
        card.method, card.name, globs=vars(module).copy()
    )
    assert sum(len(example.examples) for example in examples) > 0


def check_a_test_compares_with_the_reference(card: Card) -> None:
    file = TESTS / card.room / f"test_{card.module.rpartition('.')[2]}.py"
    assert file.exists(), f"{file} is missing"
    functions = [
        node.name
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef)
    ]
    assert any(name.startswith("test_reference_") for name in functions), (
        f"{file} needs a test_reference_...: {card.reference}"
    )


def _functions(file: Path) -> list[str]:
    nodes = ast.walk(ast.parse(file.read_text()))
    return [node.name for node in nodes if isinstance(node, ast.FunctionDef)]


def check_the_room_exports_it(card: Card) -> None:
    room = importlib.import_module(f"parafree.{card.room}")
    assert card.name in room.__all__
    assert card.name in dir(room)
    assert getattr(room, card.name) is card.method


# Schedulers.


def drive(
    scheduler: Any, jobs: int, workers: int, seed: int, diverge: float = 0.2
) -> tuple[Any, list[tuple[str, contracts.Job, float]]]:
    """Ask and tell with random losses; jobs under way end in a random order."""
    draw = random.Random(seed)
    state, running, log = scheduler.init(), [], []
    while True:
        while len(running) < workers and jobs > 0:
            job = scheduler.ask(state)
            if job is None:
                break
            jobs -= 1
            running.append(job)
            log.append(("ask", job, 0.0))
        if not running:
            return state, log
        job = running.pop(draw.randrange(len(running)))
        loss = float("nan") if draw.random() < diverge else draw.random()
        scheduler.tell(state, job, loss)
        log.append(("tell", job, loss))


def check_it_keeps_the_scheduler_contract(card: Card) -> None:
    scheduler = card.make()
    assert isinstance(scheduler, contracts.Scheduler)
    assert scheduler.min_units is not None, "give the card an example with its units set"


def check_its_settings_are_frozen_json(card: Card) -> None:
    method = card.make()
    assert dataclasses.is_dataclass(method)
    fields = dataclasses.asdict(method)
    assert card.method(**json.loads(json.dumps(fields))) == method
    for name in fields:
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(method, name, None)


def check_jobs_are_new_and_grow(card: Card) -> None:
    scheduler = card.make()
    for workers in (1, 5, 50):
        had: dict[int, int] = {}
        for kind, job, _ in drive(scheduler, 400, workers, seed=workers)[1]:
            if kind == "ask":
                assert job.trial <= len(had)
                assert job.units > had.get(job.trial, 0)
                assert job.units % scheduler.min_units == 0
                had[job.trial] = job.units


def check_a_scheduler_is_a_fold(card: Card) -> None:
    """A replay rebuilds the state, and a copy of a state goes on as the original does."""
    scheduler = card.make()
    state, log = drive(scheduler, 300, workers=7, seed=1)
    again = scheduler.init()
    for i, (kind, job, loss) in enumerate(log):
        if i == len(log) // 2:
            again = copy.deepcopy(again)
        if kind == "ask":
            assert scheduler.ask(again) == job
        else:
            scheduler.tell(again, job, loss)
    assert again == state


def check_nothing_that_diverged_goes_on(card: Card) -> None:
    _, log = drive(card.make(), 600, workers=9, seed=2, diverge=0.5)
    diverged: set[int] = set()
    for kind, job, loss in log:
        if kind == "tell" and loss != loss:
            diverged.add(job.trial)
        assert kind == "tell" or job.trial not in diverged


def check_decisions_do_not_slow_down(card: Card) -> None:
    """With 3,000 trials a decision takes at most twice the work that it takes with 100.

    Work is counted in instructions of the interpreter, which no busy machine disturbs; seconds are
    measured in bench/tune_throughput.py, up to 100,000 trials.
    """
    assert _work_per_decision(card, trials=3000) <= 2 * _work_per_decision(card, trials=100)


def _work_per_decision(card: Card, trials: int) -> float:
    scheduler = card.make()
    if any(field.name == "trials" for field in dataclasses.fields(scheduler)):
        scheduler = dataclasses.replace(scheduler, trials=trials)
    draw = random.Random(0)
    losses = [draw.random() for _ in range(1024)]
    decisions = seen = instructions = 0

    def count(frame: Any, event: str, _: Any) -> Any:
        nonlocal instructions
        frame.f_trace_opcodes = True
        instructions += event == "opcode"
        return count

    state, running = scheduler.init(), []
    before = sys.gettrace()
    sys.settrace(count)
    try:
        while seen < trials or running:
            job = scheduler.ask(state) if seen < trials and len(running) < 32 else None
            if job is not None:
                seen = max(seen, job.trial + 1)
                running.append(job)
                decisions += 1
                continue
            if not running:
                break
            scheduler.tell(state, running.pop(decisions % len(running)), losses[decisions % 1024])
    finally:
        sys.settrace(before)
    return instructions / decisions


# Samplers.

SPACE = Space(
    lr=Real(1e-4, 1.0, log=True),
    width=Int(8, 64, static=True),
    depth=Int(1, 4),
    optimizer=Choice(["sgd", "adam"]),
    momentum=Real(0.0, 0.99, when="optimizer == 'sgd'"),
    bias=Bool(),
    epochs=10,
    constraints=["depth < 3 or width < 32"],
)


def check_it_keeps_the_sampler_contract(card: Card) -> None:
    assert isinstance(card.make(), contracts.Sampler)


def check_every_configuration_is_in_the_space(card: Card) -> None:
    sampler = card.make()
    state = sampler.init(SPACE, seed=0)
    configs = [sampler.ask(state, trial) for trial in range(200)]
    for config in configs:
        assert SPACE.check(config) == config
        json.dumps(config)
    assert len({json.dumps(config, sort_keys=True) for config in configs}) > 100
    assert any("momentum" in config for config in configs)
    assert any("momentum" not in config for config in configs)


def check_a_sampler_is_a_fold(card: Card) -> None:
    """The same questions and answers give the same configurations and the same state."""
    sampler = card.make()
    draw = random.Random(0)
    losses = [draw.choice([draw.random(), float("nan")]) for _ in range(60)]

    def replay(seed: int) -> tuple[Any, list[Any]]:
        state, configs = sampler.init(SPACE, seed), []
        for trial, loss in enumerate(losses):
            configs.append(sampler.ask(state, trial))
            sampler.tell(state, trial, 1, loss)
        return state, configs

    assert replay(3) == replay(3)
    assert replay(3)[1] != replay(4)[1]


COMMON: tuple[Check, ...] = (
    check_the_docstring_has_all_sections,
    check_there_is_an_example,
    check_a_test_compares_with_the_reference,
    check_the_room_exports_it,
)
CHECKS: dict[str, tuple[Check, ...]] = {
    "scheduler": (
        check_it_keeps_the_scheduler_contract,
        check_its_settings_are_frozen_json,
        check_jobs_are_new_and_grow,
        check_a_scheduler_is_a_fold,
        check_nothing_that_diverged_goes_on,
        check_decisions_do_not_slow_down,
    ),
    "sampler": (
        check_it_keeps_the_sampler_contract,
        check_its_settings_are_frozen_json,
        check_every_configuration_is_in_the_space,
        check_a_sampler_is_a_fold,
    ),
}


def pairs() -> list[Any]:
    found = []
    for card in cards():
        for check in (*COMMON, *CHECKS.get(card.contract, ())):
            name = check.__name__.removeprefix("check_")
            reason = card.xfail.get(name)
            marks = [pytest.mark.xfail(reason=reason, strict=True)] if reason else []
            found.append(pytest.param(card, check, id=f"{card.name}-{name}", marks=marks))
    return found


@pytest.mark.parametrize(("card", "check"), pairs())
def test_card(card: Card, check: Check) -> None:
    check(card)


@pytest.mark.parametrize("room", sorted({card.room for card in cards()}))
def test_a_room_exports_its_methods_and_no_others(room: str) -> None:
    exported = set(importlib.import_module(f"parafree.{room}").__all__)
    assert exported == {card.name for card in cards() if card.room == room}


def test_no_card_excuses_itself_from_a_check_that_does_not_exist() -> None:
    files = Path(__file__).parent.glob("test_*.py")
    known = {name.removeprefix("check_") for file in files for name in _functions(file)}
    for card in cards():
        assert set(card.xfail) <= known
