from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parafree.core.contracts import Job
from parafree.core.errors import MethodError
from parafree.tune import Hyperband, IDHyperband

RECORDED = json.loads((Path(__file__).parent / "data" / "id_hyperband_decisions.json").read_text())
RUNS = [pytest.param(run, id=f"{run['variant']}, {run['curves']}") for run in RECORDED["runs"]]


def scheduler_of(run: dict[str, Any]) -> IDHyperband:
    deepenings = len(run["rounds"]) - 1
    return IDHyperband(
        run["first_max_units"], eta=run["eta"], variant=run["variant"], deepenings=deepenings
    )


def loss_of(run: dict[str, Any]) -> Any:
    table = RECORDED["tables"][run["curves"]]
    return lambda job: table["losses"][job.trial][table["units"].index(job.units)]


@pytest.mark.parametrize("run", RUNS)
def test_reference_every_evaluation_of_the_authors_implementation(
    drive: Any, run: dict[str, Any]
) -> None:
    state, log = drive(scheduler_of(run), loss_of(run), jobs=10**6)
    asked = [list(job) for kind, job in log if kind == "ask"]
    for recorded in run["rounds"]:
        evaluations = recorded["evaluations"]
        now, asked = asked[: len(evaluations)], asked[len(evaluations) :]
        assert now == evaluations
    assert not asked
    assert scheduler_of(run).done(state)


@pytest.mark.parametrize("run", RUNS)
def test_the_incumbent_of_every_round_is_the_authors(drive: Any, run: dict[str, Any]) -> None:
    _, log = drive(scheduler_of(run), loss_of(run), jobs=10**6)
    asked = [job for kind, job in log if kind == "ask"]
    for recorded in run["rounds"]:
        evaluations = len(recorded["evaluations"])
        now, asked = asked[:evaluations], asked[evaluations:]
        at_the_top = [job for job in now if job.units == recorded["max_units"]]
        assert min(at_the_top, key=loss_of(run)).trial == recorded["incumbent"]


@settings(deadline=None, max_examples=15)
@given(run=st.sampled_from(RECORDED["runs"]), workers=st.integers(2, 40), seed=st.integers(0, 999))
def test_any_number_of_workers_decides_the_same(
    drive: Any, run: dict[str, Any], workers: int, seed: int
) -> None:
    _, log = drive(scheduler_of(run), loss_of(run), jobs=10**6, workers=workers, seed=seed)
    asked = [job for kind, job in log if kind == "ask"]
    recorded = [Job(*e) for round_ in run["rounds"] for e in round_["evaluations"]]
    assert sorted(asked) == sorted(recorded)


@pytest.mark.parametrize("variant", ["efficient", "conservative", "discarding"])
def test_without_a_deepening_it_is_hyperband(drive: Any, hashed_loss: Any, variant: Any) -> None:
    loss = hashed_loss(3, diverge=0.1)
    _, plain = drive(Hyperband(27, sweeps=1), loss, jobs=10**6)
    _, log = drive(IDHyperband(27, variant=variant, deepenings=0), loss, jobs=10**6)
    assert log == plain


def test_the_efficient_variant_costs_as_much_as_hyperband_from_scratch(
    drive: Any, hashed_loss: Any
) -> None:
    """It only takes up what is missing, so it ends with the trials of the larger Hyperband."""
    state, log = drive(IDHyperband(3, deepenings=2), hashed_loss(), jobs=10**6)
    _, scratch = drive(Hyperband(27, sweeps=1), hashed_loss(), jobs=10**6)
    jobs, jobs_scratch = ({job for kind, job in each if kind == "ask"} for each in (log, scratch))
    assert len({job.trial for job in jobs}) == len({job.trial for job in jobs_scratch})
    assert [len(rung) for rung in state.brackets[0].losses] == [27, 9, 3, 1]
    # Early promotions that a later round would not make are what efficient keeps paying for.
    assert sum(job.units for job in jobs) <= 1.2 * sum(job.units for job in jobs_scratch)


def test_an_unknown_variant_is_refused() -> None:
    with pytest.raises(MethodError, match="no variant 'frugal'"):
        IDHyperband(9, variant="frugal")  # type: ignore[arg-type]
