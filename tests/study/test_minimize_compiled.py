"""`parafree.minimize` of functions that are written in JAX: compiled, and one report a chunk."""

import random
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import parafree
from parafree import Choice, Int, Real, Space
from parafree.blackbox import Status
from parafree.core.errors import StudyError, TrainableError
from parafree.study import _compiled
from parafree.study._traceable import written_in_jax
from parafree.study.minimum import _ENDS
from parafree.study.store import Store

BOX = Space({f"x{i}": Real(-5, 5) for i in range(3)})


def valley(config):
    x = jnp.stack([config["x0"], config["x1"], config["x2"]])
    return jnp.sum(100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)


def bumps(config):
    x = jnp.stack([config["x0"], config["x1"], config["x2"]]) - 1.5
    return jnp.sum(x**2 + 10 * (1 - jnp.cos(2 * jnp.pi * x)))


def _minimize(f, path, space=BOX, **options):
    return parafree.minimize(f, space, store=path, **({"progress": False, "name": "s"} | options))


def _dump(path):
    store = Store.open(path)
    return store.export_dump(store.find("s").id)


def test_a_function_in_jax_runs_compiled_and_the_journal_stays_short(tmp_path):
    found = _minimize(valley, tmp_path / "p.db", evaluations=40_000)
    assert found.best.loss < 1e-8
    assert 40_000 <= found.evaluations < 40_000 + 20  # whole batches
    assert found.reason == "evaluations"
    assert "compiled on the device" in found.explain()[0]
    assert len(found.trials) < 40
    assert found.units == found.evaluations
    assert float(valley(found.best.hparams)) == pytest.approx(found.best.loss, abs=1e-6)


def test_runs_are_counted_with_how_they_ended_and_what_they_found(tmp_path):
    found = _minimize(bumps, tmp_path / "p.db", evaluations=60_000)
    assert found.best.loss < 1e-4
    assert found.restarts >= 3
    assert found.found_again >= 1
    assert sum(found._facts.ends.values()) == found.restarts
    assert "runs ended because" in found.explain()[1]


@pytest.mark.slow
def test_a_million_evaluations_are_a_journal_of_a_few_lines(tmp_path):
    found = _minimize(bumps, tmp_path / "p.db", evaluations=1_000_000)
    assert found.evaluations >= 1_000_000
    assert found.restarts > 50
    assert found.best.loss < 1e-4
    assert len(found.trials) < 1000
    assert (tmp_path / "p.db").stat().st_size < 5e6


def test_every_end_has_words():
    assert set(_ENDS) == {status.name for status in Status}


def test_a_target_ends_it(tmp_path):
    found = _minimize(valley, tmp_path / "p.db", target=1e-3, evaluations=100_000)
    assert found.reason == "target"
    assert found.best.loss <= 1e-3
    assert found.evaluations < 20_000


@pytest.mark.parametrize("lost", [False, True], ids=["saved", "lost"])
def test_it_goes_on_where_it_stopped_also_without_its_state(tmp_path, monkeypatch, lost):
    """What is computed does not depend on where chunks and calls end."""
    whole = _minimize(bumps, tmp_path / "p.db", evaluations=6000)
    monkeypatch.setattr(_compiled, "_CHUNK_S", 0.0)  # chunks of one batch
    part = _minimize(bumps, tmp_path / "q.db", evaluations=1500)
    if lost:
        for file in part.folder.rglob("*.safetensors"):
            file.write_bytes(b"damaged")
    monkeypatch.undo()
    rest = _minimize(bumps, tmp_path / "q.db", evaluations=6000)
    assert rest.evaluations == whole.evaluations
    assert rest.best.hparams == whole.best.hparams
    assert rest.best.loss == whole.best.loss
    assert _dump(tmp_path / "q.db") != _dump(tmp_path / "p.db")  # other chunks


@pytest.mark.slow
def test_whole_numbers_are_searched_on_the_device_too(tmp_path):
    space = Space(n=Int(0, 50), x=Real(-1, 1), width=Choice([8, 16, 32]), offset=3.0)

    def f(config):
        size = (config["n"] - 17) ** 2 + jnp.log2(config["width"] / 16) ** 2
        return size + (config["x"] - 0.25) ** 2 + config["offset"]

    found = _minimize(f, tmp_path / "p.db", space, evaluations=4000)
    best = found.best.hparams
    assert (best["n"], best["width"], best["offset"]) == (17, 16, 3.0)
    assert found.best.loss == pytest.approx(3, abs=1e-4)


@pytest.mark.parametrize(
    "bad",
    [jnp.nan, *(pytest.param(bad, marks=pytest.mark.slow) for bad in (jnp.inf, -jnp.inf))],
)
def test_values_that_are_not_finite_rank_last(tmp_path, bad):
    hole = lambda c: jnp.where(c["x0"] > 0.5, bad, valley(c))  # noqa: E731
    found = _minimize(hole, tmp_path / "p.db", evaluations=5000)
    assert np.isfinite(found.best.loss)
    assert found.best.hparams["x0"] <= 0.5
    nowhere = _minimize(lambda c: 0 * valley(c) + bad, tmp_path / "q.db", evaluations=500)
    assert nowhere.best is None


def test_a_study_stays_what_it_began_as(tmp_path):
    _minimize(valley, tmp_path / "p.db", evaluations=200)
    with pytest.raises(StudyError, match="exists with another"):
        _minimize(valley, tmp_path / "p.db", evaluations=300, compiled=False, workers=1)


def test_what_cannot_be_compiled_is_told(tmp_path):
    with pytest.raises(TrainableError, match="cannot be compiled"):
        _minimize(lambda c: float(c["x0"]), tmp_path / "p.db", evaluations=9, compiled=True)
    with pytest.raises(TrainableError, match=r"float32\[3\], not one real number"):
        _minimize(lambda c: jnp.zeros(3), tmp_path / "p.db", evaluations=9, compiled=True)
    with pytest.raises(StudyError, match="nothing says when to stop"):
        _minimize(valley, tmp_path / "p.db")


def _helper(x):
    return jnp.sin(x)


def test_only_functions_that_were_written_in_jax_are_taken_for_it():
    space = Space(x=Real(0, 1))
    yes = [
        lambda c: jnp.sin(c["x"]),
        lambda c: _helper(c["x"]),
        jax.jit(lambda c: c["x"] ** 2),
        lambda c: {"loss": jnp.sin(c["x"])},
    ]
    no = [
        lambda c: c["x"] ** 2,
        lambda c: jnp.sin(c["x"]) + random.random(),
        lambda c: jnp.sin(c["x"]) + time.time(),
        lambda c: float(jnp.sin(c["x"])),
        lambda c: np.sin(c["x"]),
        lambda c: jnp.zeros(2),
    ]
    assert [written_in_jax(f, space) for f in yes] == [True] * len(yes)
    assert [written_in_jax(f, space) for f in no] == [False] * len(no)
    text = Space(x=Real(0, 1), kind=Choice(["a", "b"]))
    assert not written_in_jax(yes[0], text)
