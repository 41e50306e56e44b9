"""Lanes: right results whatever the lane, the neighbours, the pool or the number of devices."""

import subprocess
import sys
import textwrap

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from parafree import Choice, Int, Real, Space
from parafree.core.contracts import Job
from parafree.core.errors import TrainableError
from parafree.study._plan import Plan
from parafree.study.lanes import Lanes

HPARAMS = {"size": 3, "rate": 0.2, "noise": 0.0}


def _lanes(trainable, folder, **options):
    plan = Plan(**({"lanes": 4, "chunk": 2, "slots": 8} | options))
    return Lanes(trainable, trainable.space, folder, plan=plan)


def _finish(lanes, jobs):
    """Run jobs to their end; return each trial's reports."""
    reports = {}
    for job, hparams, seed, done in jobs:
        lanes.submit(job, hparams, seed, done)
    while lanes.running():
        for event in lanes.advance():
            reports.setdefault(event.trial, []).append((event.units, event.loss))
    return reports


def test_a_trial_follows_the_closed_form(bowl, tmp_path):
    reports = _finish(_lanes(bowl, tmp_path), [(Job(0, 10), HPARAMS, 1, 0)])[0]
    units = np.array([2, 4, 6, 8, 10])
    assert [u for u, _ in reports] == units.tolist()
    closed_form = 0.5 * 3 * 0.8 ** (2 * units)
    np.testing.assert_allclose([loss for _, loss in reports], closed_form, rtol=1e-5)


def test_a_trial_is_what_its_own_functions_compute(bowl, tmp_path):
    """Against the same functions called one step at a time, without lanes."""
    hparams = HPARAMS | {"noise": 0.1}
    reports = _finish(_lanes(bowl, tmp_path), [(Job(0, 6), hparams, 11, 0)])[0]
    key = jax.random.key(np.uint32(11))
    state = bowl.init(jax.random.fold_in(key, 0), hparams)
    for unit in range(6):
        step_key = jax.random.fold_in(jax.random.fold_in(key, 1), unit)
        state = bowl.step(step_key, state, hparams)
    assert reports[-1][1] == pytest.approx(float(bowl.evaluate(state, hparams)["loss"]), rel=1e-5)


def test_bits_depend_on_neither_lane_nor_neighbours_nor_pauses(bowl, tmp_path):
    def jobs(trials, units, done=0):
        return [
            (Job(t, units), {"size": 2, "rate": 0.01 * (t + 1), "noise": 0.1}, 100 + t, done)
            for t in trials
        ]

    together = _finish(_lanes(bowl, tmp_path / "a"), jobs(range(7), 8))
    for trial in (0, 3, 6):
        alone = _finish(_lanes(bowl, tmp_path / "b"), jobs([trial], 8))
        assert alone[trial] == together[trial]
    lanes = _lanes(bowl, tmp_path / "c")
    first = _finish(lanes, jobs(range(7), 4))
    second = _finish(lanes, jobs(reversed(range(7)), 8, done=4))
    assert {t: first[t] + second[t] for t in first} == together


def test_states_that_leave_a_full_pool_come_back_bit_for_bit(bowl, tmp_path):
    hparams = [{"size": 2, "rate": 0.01 * (t + 1), "noise": 0.1} for t in range(30)]
    jobs = [(Job(t, 4), hparams[t], t, 0) for t in range(30)]
    more = [(Job(t, 8), hparams[t], t, 4) for t in range(30)]
    small, large = _lanes(bowl, tmp_path / "s", slots=4), _lanes(bowl, tmp_path / "l", slots=64)
    assert _finish(small, jobs) == _finish(large, jobs)
    assert list((tmp_path / "s").glob("*.safetensors"))  # the small pool spilled
    assert not list((tmp_path / "l").glob("*.safetensors"))
    assert _finish(small, more) == _finish(large, more)


@pytest.mark.parametrize("damage", ["missing", "truncated", "foreign"])
def test_a_state_file_is_only_a_cache(bowl, tmp_path, damage):
    hparams = HPARAMS | {"noise": 0.1}
    lanes = _lanes(bowl, tmp_path)
    _finish(lanes, [(Job(0, 6), hparams, 5, 0)])
    lanes.save()
    (file,) = tmp_path.glob("*.safetensors")
    content = file.read_bytes()
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(content[: len(content) // 2] if damage == "truncated" else b"not a state")
    resumed = _finish(_lanes(bowl, tmp_path), [(Job(0, 8), hparams, 5, 6)])
    whole = _finish(_lanes(bowl, tmp_path / "w"), [(Job(0, 8), hparams, 5, 0)])
    assert resumed[0] == whole[0][-1:]


def test_nan_stops_one_trial_and_disturbs_no_other(bowl, tmp_path):
    diverging = HPARAMS | {"rate": 1e30}
    jobs = [(Job(0, 8), HPARAMS, 0, 0), (Job(1, 8), diverging, 1, 0), (Job(2, 8), HPARAMS, 0, 0)]
    reports = _finish(_lanes(bowl, tmp_path), jobs)
    assert reports[1][-1][1] is None
    assert reports[0] == reports[2] == _finish(_lanes(bowl, tmp_path), jobs[:1])[0]


def test_one_compilation_a_static_group_whatever_comes_and_goes(bowl, tmp_path):
    traces = []

    class Counting(type(bowl)):
        def step(self, key, state, hparams):
            traces.append(hparams["size"])
            return super().step(key, state, hparams)

    lanes = _lanes(Counting(), tmp_path)
    jobs = [
        (Job(t, 2 + 2 * (t % 3)), {"size": 2 + t % 2, "rate": 0.1 * (t + 1), "noise": 0.0}, t, 0)
        for t in range(13)
    ]
    _finish(lanes, jobs)
    first = list(traces)
    _finish(lanes, [(Job(t + 50, 6), job[1], t, 0) for t, job in enumerate(jobs)])
    assert traces == first
    # Twice a group: once to learn the shapes, once to compile.
    assert {size: first.count(size) for size in (2, 3)} == {2: 2, 3: 2}


def test_programs_beyond_the_limit_take_turns(bowl, tmp_path, monkeypatch):
    import parafree.study.lanes as module

    monkeypatch.setattr(module, "_MOST_PROGRAMS", 1)
    jobs = [(Job(t, 6), HPARAMS | {"size": 2 + t % 2, "noise": 0.1}, t, 0) for t in range(6)]
    alone = _finish(_lanes(bowl, tmp_path / "one"), jobs)
    monkeypatch.setattr(module, "_MOST_PROGRAMS", 8)
    assert alone == _finish(_lanes(bowl, tmp_path / "many"), jobs)


class _Base:
    space = Space(rate=Real(0.0, 1.0))

    def init(self, key, hparams):
        return {"x": jnp.zeros(3)}

    def step(self, key, state, hparams):
        return state

    def evaluate(self, state, hparams):
        return {"loss": jnp.sum(state["x"])}


def _with(**functions):
    """A trainable with some of its methods replaced by plain functions."""
    methods = {name: staticmethod(function) for name, function in functions.items()}
    return type("Broken", (_Base,), methods)()


@pytest.mark.parametrize(
    ("trainable", "message"),
    [
        (_with(step=lambda k, s, h: {"x": jnp.zeros(4)}), "from float32.3. to float32.4."),
        (_with(step=lambda k, s, h: {"x": s["x"].astype(jnp.int32)}), "float32.3. to int32"),
        (_with(step=lambda k, s, h: {"y": s["x"]}), "another structure"),
        (_with(step=lambda k, s, h: 1 / 0), "step raises ZeroDivisionError"),
        (_with(init=lambda k, h: {}), "no arrays"),
        (_with(init=lambda k, h: {"x": jnp.zeros(h["width"])}), "init raises KeyError: 'width'"),
        (_with(evaluate=lambda s, h: {"loss": s["x"]}), "shape .3,. where a scalar belongs"),
        (_with(evaluate=lambda s, h: {"error": s["x"].sum()}), "does not return 'loss'"),
        (_with(evaluate=lambda s, h: s["x"].sum()), "must return {name: scalar}"),
        (
            _with(step=lambda k, s, h: s if h["rate"] > 0.5 else {"x": -s["x"]}),
            "step raises TracerBoolConversionError",
        ),
    ],
)
def test_a_broken_trainable_is_told_what_is_wrong(trainable, message, tmp_path):
    with pytest.raises(TrainableError, match=message):
        _finish(_lanes(trainable, tmp_path), [(Job(0, 2), {"rate": 0.5}, 0, 0)])


def test_the_error_names_the_users_line(tmp_path):
    with pytest.raises(TrainableError, match=r"where: .*test_lanes\.py:\d+"):
        _lanes(_with(step=lambda k, s, h: undefined), tmp_path).submit(  # noqa: F821
            Job(0, 2), {"rate": 0.5}, 0, 0
        )


def test_states_may_hold_keys_and_functions(tmp_path):
    import equinox as eqx

    class Keeps(_Base):
        def init(self, key, hparams):
            return {"net": eqx.nn.MLP(2, 1, 4, 1, key=key), "key": key, "n": 0}

        def step(self, key, state, hparams):
            new, _ = jax.random.split(state["key"])
            return state | {"key": new, "n": state["n"] + 1}

        def evaluate(self, state, hparams):
            return {"loss": jax.random.uniform(state["key"]) + state["net"](jnp.ones(2))[0]}

    whole = _finish(_lanes(Keeps(), tmp_path / "a"), [(Job(0, 8), {"rate": 0.5}, 0, 0)])[0]
    lanes = _lanes(Keeps(), tmp_path / "b")
    _finish(lanes, [(Job(0, 4), {"rate": 0.5}, 0, 0)])
    lanes.save()
    resumed = _finish(_lanes(Keeps(), tmp_path / "b"), [(Job(0, 8), {"rate": 0.5}, 0, 4)])[0]
    assert resumed == whole[2:]


def test_choices_arrive_as_promised(tmp_path):
    seen = {}

    class Sees(_Base):
        space = Space(
            act=Choice(["relu", "tanh"]),
            batch=Choice([16, 32]),
            width=Int(4, 8, static=True),
            rate=Real(0.0, 1.0, when="act == 'tanh'"),
        )

        def evaluate(self, state, hparams):
            seen.update(hparams)
            return {"loss": hparams["act"] + 10.0 * hparams["batch"] + hparams["rate"]}

    hparams = {"act": "tanh", "batch": 32, "width": 8, "rate": 0.25}
    reports = _finish(_lanes(Sees(), tmp_path), [(Job(0, 2), hparams, 0, 0)])
    assert reports[0] == [(2, 321.25)]
    assert seen["width"] == 8 and isinstance(seen["width"], int)


def test_the_measured_plan_is_sane(bowl, tmp_path):
    lanes = Lanes(bowl, bowl.space, tmp_path)
    plan = lanes.plan
    assert plan["lanes"] >= 1 and plan["slots"] >= plan["lanes"]
    assert plan["chunk"] & (plan["chunk"] - 1) == 0
    assert lanes.usage().compile_s > 0


@pytest.mark.slow
def test_four_devices_give_the_bits_of_one(tmp_path):
    """In processes of their own, because the number of devices is fixed when jax starts."""
    program = textwrap.dedent("""
        import sys, os
        os.environ["JAX_NUM_CPU_DEVICES"] = sys.argv[1]
        sys.path.insert(0, sys.argv[3])
        import parafree, conftest
        study = parafree.tune(conftest.Bowl(), units=800, lanes=8, chunk=2, repeats=0,
                              scheduler=parafree.tune.Hyperband(max_units=54, min_units=2),
                              store=sys.argv[2], progress=False)
        for t in study.trials:
            print(t.id, t.hparams, t.units, t.loss)
        print(study.history.plan["devices"])
    """)
    from pathlib import Path

    outputs = []
    for devices in ("1", "4"):
        arguments = [devices, str(tmp_path / f"{devices}.db"), str(Path(__file__).parent)]
        run = subprocess.run(
            [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True
        )
        *trials, count = run.stdout.splitlines()
        assert count == devices
        outputs.append({line.split("{")[0] + line.split("}")[0]: line for line in trials})
    common = outputs[0].keys() & outputs[1].keys()
    same_units = [k for k in common if outputs[0][k].split()[-2] == outputs[1][k].split()[-2]]
    assert len(same_units) > 20
    assert all(outputs[0][k] == outputs[1][k] for k in same_units)
