import contextlib
import os
import re
import signal
import subprocess
import sys
import textwrap
import time
import warnings
from pathlib import Path

import numpy as np
import psutil
import pytest

from parafree.core.contracts import Job
from parafree.study._command import Command
from parafree.study.trainables import load_file
from parafree.study.workers import WorkerExecutor

HEADER = "import os, signal, sys, time\nfrom pathlib import Path\n"


@pytest.fixture
def start(tmp_path):
    """Return a function that writes a trainable to a file and makes an executor for it."""
    with contextlib.ExitStack() as stack:

        def start(body, name="train", **settings):
            file = tmp_path / f"target{len(list(tmp_path.glob('target*.py')))}.py"
            file.write_text(HEADER + textwrap.dedent(body))
            train = getattr(load_file(file), name)
            executor = WorkerExecutor(train, tmp_path / "study", **{"workers": 1, **settings})
            stack.callback(executor.close)
            return executor

        yield start


def run(executor, *jobs, hparams=None, seed=7, done=0):
    for job in jobs:
        executor.submit(job, hparams or {}, seed, done)
    return drain(executor)


def drain(executor, seconds=20):
    events, end = [], time.monotonic() + seconds
    while executor.running():
        events += executor.advance()
        assert time.monotonic() < end, "the executor hangs"
    return events


def curve(events, trial=0):
    return [(e.units, e.loss) for e in events if e.kind == "report" and e.trial == trial]


def message(events):
    (end,) = (event for event in events if event.kind == "end")
    return end.data["status"] + ": " + end.data["message"]


COUNTED = """
    def train(trial):
        steps = Path(trial.hparams["steps"])
        saved = trial.load() if trial.hparams["saves"] else None
        x = saved["x"] if saved else 1.0
        while True:
            x = x * 0.5 + 0.1 * trial.hparams["c"]
            with steps.open("a") as f:
                f.write(f"{os.getpid()}\\n")
            trial.report(loss=x, twice=2 * x)
            if trial.hparams["saves"]:
                trial.save(x=x)
"""


def closed_form(c, n):
    """x <- x/2 + c/10 from 1 has the fixed point c/5, approached by halves."""
    return 0.2 * c + (1 - 0.2 * c) * 0.5**n


def test_reports_arrive_in_order_with_their_metrics(start, tmp_path):
    executor = start(COUNTED, workers=2)
    hparams = {"steps": str(tmp_path / "steps"), "saves": False, "c": 3.0}
    assert executor.wants()
    executor.submit(Job(0, 4), hparams, 0, 0)
    executor.submit(Job(1, 2), hparams, 0, 0)
    assert not executor.wants()
    assert {executor.lane_of(0), executor.lane_of(1), executor.lane_of(2)} == {0, 1, None}
    events = drain(executor)
    assert executor.wants()
    assert curve(events, 0) == [(n, pytest.approx(closed_form(3, n))) for n in (1, 2, 3, 4)]
    assert curve(events, 1) == [(n, pytest.approx(closed_form(3, n))) for n in (1, 2)]
    assert all(e.data == {"twice": 2 * e.loss} for e in events)


@pytest.mark.parametrize(("saves", "steps"), [(True, 5), (False, 2 + 5)])
def test_a_paused_trial_goes_on_in_another_process_with_the_same_numbers(
    start, tmp_path, saves, steps
):
    hparams = {"steps": str(tmp_path / "steps"), "saves": saves, "c": 1.0}
    first = start(COUNTED)
    events = run(first, Job(0, 2), hparams=hparams)
    second = start(COUNTED)
    events += run(second, Job(0, 5), hparams=hparams, done=2)
    assert curve(events) == [(n, pytest.approx(closed_form(1, n))) for n in range(1, 6)]
    written = (tmp_path / "steps").read_text().split()
    assert len(written) == steps  # without a save the first units are trained again, unseen
    assert len(set(written)) == 2


def test_a_trial_without_load_does_not_train_past_its_job(start, tmp_path):
    hparams = {"steps": str(tmp_path / "steps"), "saves": False, "c": 1.0}
    run(start(COUNTED), Job(0, 3), hparams=hparams)
    assert len((tmp_path / "steps").read_text().split()) == 3


def test_what_raises_fails_with_its_line_and_the_others_go_on(start, tmp_path):
    executor = start(
        """
        def train(trial):
            for unit in range(9):
                if trial.number == 1 and unit == 2:
                    raise ValueError("bad luck")
                trial.report(loss=unit)
        """,
        workers=2,
    )
    events = run(executor, Job(0, 5), Job(1, 5))
    assert len(curve(events, 0)) == 5
    assert curve(events, 1) == [(1, 0.0), (2, 1.0)]
    assert message(events).startswith("failed: ValueError: bad luck (")
    assert "target0.py:7)" in message(events)
    (end,) = (e for e in events if e.kind == "end")
    assert (end.trial, end.units, end.loss) == (1, 2, 1.0)
    log = (tmp_path / "study/logs/trial-1.log").read_text()
    assert "Traceback" in log and "bad luck" in log and "_worker_main" not in log


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("trial.report(accuracy=1.0)", "no 'loss'; it has accuracy"),
        ("trial.report(loss='0.3')", "loss='0.3', which is not a number"),
        ("trial.report(loss=[1, 2])", "loss=[1, 2], which is not a number"),
        ("trial.report(loss=1, a='x')", "a='x', which is not a number"),
        ("trial.report(loss=1, units=0)", "units=0"),
        ("trial.report(loss=1, a=1); trial.report(loss=1, b=1)", "loss, b after one with loss, a"),
        ("trial.report(loss=1); trial.save(m=object())", "cannot save 'm': it is a object"),
        ("trial.report(loss=1); trial.save(m={'a': [{1: 2}]})", "'m.a[0][1]': its key is not"),
        ("pass", "without ever reporting its loss"),
        ("sys.exit(3)", "SystemExit: 3"),
        ("import nonsense_module", "ModuleNotFoundError"),
    ],
)
def test_a_trainable_that_breaks_its_contract_is_told_what_and_where(start, body, said):
    events = run(start(f"def train(trial):\n    {body}\n"), Job(0, 3))
    assert message(events).startswith("failed: ")
    assert said in message(events)
    assert ".py:4)" in message(events) or body == "pass"


def test_a_save_that_fails_after_the_last_report_is_not_hidden(start):
    body = "def train(trial):\n  trial.load()\n  trial.report(loss=1)\n  trial.save(m=object())\n"
    events = run(start(body), Job(0, 1))
    assert "cannot save" in message(events)
    assert (events[-1].units, events[-1].loss) == (1, 1.0)


@pytest.mark.parametrize("value", ["nan", "inf", "-inf"])
def test_a_loss_that_is_not_finite_ends_the_job(start, value):
    body = f"""
    def train(trial):
        trial.report(loss=1.0, other=float("nan"))
        trial.report(loss=float("{value}"), other=1)
        trial.report(loss=2.0, other=1)
    """
    events = run(start(body), Job(0, 9))
    assert curve(events) == [(1, 1.0), (2, None)]
    assert events[0].data == {"other": None}


def test_returning_early_finishes_the_trial_also_when_it_is_asked_again(start):
    body = """
    def train(trial):
        for unit in range(3):
            trial.report(loss=unit)
    """
    events = run(start(body), Job(0, 9))
    assert message(events).startswith("finished")
    again = run(start(body), Job(0, 9), done=3)
    assert [(e.kind, e.units, e.loss) for e in again] == [("end", 3, 2.0)]


def test_no_handler_of_exceptions_keeps_a_trial_alive(start):
    body = """
    def train(trial):
        while True:
            try:
                trial.report(loss=1)
            except Exception:
                pass
    """
    assert len(run(start(body), Job(0, 2))) == 2


def test_a_worker_that_is_killed_goes_on_from_its_last_save(start, tmp_path):
    body = """
    def train(trial):
        saved = trial.load()
        with open(trial.hparams["starts"], "a") as f:
            print(trial.units, file=f)
        for unit in range(trial.units, 6):
            if unit == 3 and not saved:
                os.kill(os.getpid(), signal.SIGKILL)
            trial.report(loss=unit)
            trial.save(unit=unit)
    """
    events = run(start(body), Job(0, 6), hparams={"starts": str(tmp_path / "starts")})
    assert curve(events) == [(n + 1, float(n)) for n in range(6)]
    assert (tmp_path / "starts").read_text().split() == ["0", "3"]


def test_a_trial_that_gets_on_between_deaths_of_its_workers_goes_on(start):
    body = """
    def train(trial):
        trial.load()
        for unit in range(trial.units + 1, 9):
            trial.report(loss=unit)
            trial.save()
            if unit % 2 == 0:
                os.kill(os.getpid(), signal.SIGKILL)
    """
    assert curve(run(start(body), Job(0, 8))) == [(n, float(n)) for n in range(1, 9)]


def test_a_trial_that_kills_every_worker_fails_and_the_others_go_on(start):
    body = """
    def train(trial):
        if trial.number == 0:
            if os.fork() == 0:
                time.sleep(30)  # holds the socket open after its parent's death
            os.kill(os.getpid(), signal.SIGKILL)
        trial.report(loss=1)
    """
    events = run(start(body, workers=1), Job(0, 1), Job(1, 1))
    assert "was killed (SIGKILL" in message(events) and "twice" in message(events)
    assert curve(events, 1) == [(1, 1.0)]


def test_what_was_reported_but_never_stored_is_told_again(start, tmp_path):
    hparams = {"steps": str(tmp_path / "steps"), "saves": True, "c": 1.0}
    told = run(start(COUNTED), Job(0, 4), hparams=hparams)
    # The study was killed before it stored anything, and starts the same job again.
    assert run(start(COUNTED), Job(0, 4), hparams=hparams) == told
    assert len((tmp_path / "steps").read_text().split()) == 4
    # A line that was cut off in the middle counts as never written.
    journal = tmp_path / "study/states/0/reports.jsonl"
    journal.write_bytes(journal.read_bytes()[:-9])
    assert curve(run(start(COUNTED), Job(0, 3), hparams=hparams)) == curve(told)[:3]
    # Another configuration has nothing to do with any of it.
    assert len(run(start(COUNTED), Job(0, 2), hparams={**hparams, "c": 2.0})) == 2
    assert len((tmp_path / "steps").read_text().split()) == 6


def test_states_come_back_bit_for_bit(start):
    body = """
    import numpy as np
    def train(trial):
        state = {"w": np.arange(6, dtype="f2").reshape(2, 3).T, "n": {"dict": [1, None, "é", True]},
                 "z": np.float32(0.1), "x": 0.1, "empty": np.zeros((0, 3))}
        saved = trial.load()
        if saved:
            assert saved["w"].dtype == "f2" and (saved["w"] == state["w"]).all()
            assert saved["n"] == state["n"] and saved["x"] == 0.1
            assert saved["z"] == np.float32(0.1) and saved["empty"].shape == (0, 3)
        trial.report(loss=trial.units)
        trial.save(**state)
    """
    executor = start(body)
    assert len(run(executor, Job(0, 1))) == 1
    assert curve(run(executor, Job(0, 2), done=1)) == [(2, 1.0)]


def test_an_objective_that_is_to_be_large_is_a_loss_with_its_sign_turned(start):
    body = "def train(trial):\n    trial.report(score=0.75, loss=2.0)\n"
    (event,) = run(start(body, objective="score", maximize=True), Job(0, 1))
    assert (event.loss, event.data) == (-0.75, {"score": 0.75, "loss": 2.0})


def test_functions_without_a_file_travel_as_bytes(start, tmp_path):
    factor = 3

    def train(trial):
        trial.report(loss=factor * trial.hparams["x"])

    executor = WorkerExecutor(train, tmp_path, workers=1)
    assert curve(run(executor, Job(0, 1), hparams={"x": 2})) == [(1, 6.0)]
    executor.close()
    made = start("def make(k):\n  def f(trial):\n    trial.report(loss=g(k))\n  return f\n"
                 "def g(k):\n  return k + 1\ntrain = make(4)\n")  # fmt: skip
    assert curve(run(made, Job(0, 1))) == [(1, 5.0)]


def test_workers_share_the_cores_and_stay_light(start, monkeypatch):
    monkeypatch.setenv("MKL_NUM_THREADS", "3")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    body = """
    def train(trial):
        print("noise")
        heavy = len({"jax", "pandas", "sqlalchemy", "numpy"} & set(sys.modules))
        trial.report(loss=heavy, omp=int(os.environ["OMP_NUM_THREADS"]),
                     mkl=int(os.environ["MKL_NUM_THREADS"]), worker="PARAFREE_WORKER" in os.environ
                     and 1)
    """
    executor = start(body, workers=os.cpu_count())
    (event,) = run(executor, Job(0, 1))
    assert (event.loss, event.data) == (0.0, {"omp": 1.0, "mkl": 3.0, "worker": 1.0})
    assert "noise" in (executor._folder / "logs/trial-0.log").read_text()


def test_a_script_that_tunes_without_a_guard_is_not_run_again(tmp_path):
    script = tmp_path / "my script's.py"
    script.write_text(
        textwrap.dedent(
            """
            import os, parafree
            from parafree import Real, Space

            print("imported")
            space = Space(x=Real(0, 1))

            def train(trial):
                trial.report(loss=trial.hparams["x"])

            study = parafree.tune(train, trials=3, workers=1, repeats=0, progress=False)
            print("trials", len(study.trials), study.best.loss < 1)
            """
        )
    )
    done = subprocess.run(
        [sys.executable, script.name], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("imported") == 1
    assert "trials 3 True" in done.stdout


def test_pausing_all_keeps_what_was_reported(start):
    body = """
    def train(trial):
        saved = trial.load() or {"n": 0}
        for n in range(saved["n"] + 1, 1000):
            time.sleep(0.02)
            trial.report(loss=1 / n)
            trial.save(n=n)
    """
    executor = start(body)
    executor.submit(Job(0, 500), {}, 0, 0)
    executor.submit(Job(1, 500), {}, 0, 0)
    seen = []
    while len(seen) < 3:
        seen += executor.advance()
    assert 0.01 < executor.estimate(4, 1) < 20
    executor.pause_all()
    assert executor.running() == 0
    seen += executor.advance()
    units = seen[-1].units
    assert curve(seen) == [(n, 1 / n) for n in range(1, units + 1)]
    more = run(executor, Job(0, units + 2), done=units, seed=0)
    assert curve(more) == [(n, 1 / n) for n in (units + 1, units + 2)]
    assert 0 < executor.usage().busy <= 1


def test_a_pause_that_comes_too_late_stops_no_other_job(start):
    executor = start("def train(trial):\n    while True:\n        trial.report(loss=trial.units)\n")
    executor.submit(Job(0, 1), {}, 0, 0)
    worker = executor._workers[0]
    number = worker.run.number
    drain(executor)
    worker.send(kind="stop", number=number)  # as when it was sent while the job ended
    assert len(run(executor, Job(1, 5))) == 5


def test_any_number_of_jobs_is_taken_and_urgent_ones_go_first(start):
    executor = start("def train(trial):\n    trial.report(loss=1)\n")
    for trial in range(4):
        executor.submit(Job(trial, 1), {}, 0, 0, urgent=trial == 3)
    assert executor.running() == 4
    assert [event.trial for event in drain(executor)] == [0, 3, 1, 2]


def sleepers_below(pid):
    """The processes that sleep below `pid`, by for how long; none that has yet to become one."""
    commands = {each: each.cmdline() for each in psutil.Process(pid).children(recursive=True)}
    return {line[1]: each for each, line in commands.items() if line[:1] == ["sleep"]}


@pytest.mark.parametrize("also", ["nobody", "workers", "all in Python"])
def test_children_die_with_the_study(tmp_path, also):
    script = tmp_path / "study.py"
    script.write_text(
        textwrap.dedent(
            """
            import os, subprocess, sys, time
            from pathlib import Path
            from parafree.core.contracts import Job
            from parafree.study._command import Command
            from parafree.study.workers import WorkerExecutor

            def train(trial):
                subprocess.Popen(["sleep", "62"])
                Path("pid").write_text(str(os.getpid()))
                trial.report(loss=1)
                sum(range(10**12))  # lets no other thread of this process run

            if __name__ == "__main__":
                a = WorkerExecutor(train, Path("a"), workers=1)
                b = WorkerExecutor(Command(("sh", "-c", "sleep 61 & echo $$ > pids; wait")),
                                   Path("b"), workers=1)
                a.submit(Job(0, 9), {}, 0, 0)
                b.submit(Job(0, 9), {}, 0, 0)
                while True:
                    a.advance()
                    b.advance()
            """
        )
    )
    with subprocess.Popen([sys.executable, script.name], cwd=tmp_path) as study:
        try:
            wait_for(lambda: all(read(tmp_path / name) for name in ("pid", "pids")))
            wait_for(lambda: set(sleepers_below(study.pid)) == {"61", "62"})
            family = psutil.Process(study.pid).children(recursive=True)
            # Two workers, their keepers, the program, and what it and the function started.
            assert len(family) == 7
            sleepers = sleepers_below(study.pid)
            (program,) = (each for each in family if each.name() == "sh")
            chosen = {
                "nobody": [],
                "workers": psutil.Process(study.pid).children(),
                "all in Python": [each for each in family if "python" in each.name()],
            }[also]
            for process in chosen:  # all at the same moment: none sees another one's end
                process.suspend()
            study.send_signal(signal.SIGSTOP)
            for process in chosen:
                process.kill()
        finally:
            study.kill()
    if also == "all in Python":  # what they started is left, a program's until the study goes on
        wait_for(lambda: not alive(program))
        assert alive(sleepers["61"])
        sleepers["62"].kill()
        report = """echo '{"unit": 1, "loss": 1}'; sleep 9"""
        command = Command(("sh", "-c", report.replace("{", "{{").replace("}", "}}")))
        with contextlib.closing(WorkerExecutor(command, tmp_path / "b", workers=1)) as executor:
            assert curve(run(executor, Job(0, 1), seed=0)) == [(1, 1.0)]
    wait_for(lambda: not any(alive(process) for process in family))


def flip(file, at):
    content = bytearray(file.read_bytes())
    content[at] ^= 1
    file.write_bytes(content)


SPOILT = {
    "state cut short": ("state.safetensors", lambda file: os.truncate(file, 50)),
    "state empty": ("state.safetensors", lambda file: os.truncate(file, 0)),
    "state noise": ("state.safetensors", lambda file: file.write_bytes(os.urandom(300))),
    "state with a bit flipped": ("state.safetensors", lambda file: flip(file, -3)),
    "reports cut short": ("reports.jsonl", lambda file: os.truncate(file, 100)),
    "reports empty": ("reports.jsonl", lambda file: os.truncate(file, 0)),
    "reports noise": ("reports.jsonl", lambda file: file.write_bytes(os.urandom(300))),
    "reports with a line of noise": (
        "reports.jsonl",
        lambda file: file.write_text(file.read_text().replace("[4,", "[nonsense,")),
    ),
    "reports without a line": (
        "reports.jsonl",
        lambda file: file.write_text(re.sub(r"\[8,.*\n", "", file.read_text())),
    ),
    "reports deleted": ("reports.jsonl", lambda file: file.unlink()),
}


@pytest.mark.parametrize("known", [0, 3, 8])
def test_damaged_files_cost_time_and_nothing_else(start, tmp_path, known):
    hparams = {"steps": str(tmp_path / "steps"), "saves": True, "c": 1.0}
    before = run(start(COUNTED), *(Job(trial, 8) for trial in range(len(SPOILT))), hparams=hparams)
    for trial, (name, spoil) in enumerate(SPOILT.values()):
        spoil(tmp_path / f"study/states/{trial}" / name)
    executor = start(COUNTED)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        jobs = [Job(trial, 12) for trial in range(len(SPOILT))]
        after = run(executor, *jobs, hparams=hparams, done=known)
    texts = [str(each.message) for each in said]
    for trial, (name, _) in enumerate(SPOILT.values()):
        assert curve(after, trial) == [
            (n, pytest.approx(closed_form(1, n))) for n in range(known + 1, 13)
        ]
        assert curve(after, trial)[: 8 - known] == curve(before, trial)[known:]
        mine = [text.split(": ", 1)[1] for text in texts if text.startswith(f"trial {trial}: ")]
        # Where the study knew no report and the file has none, nothing can be missed.
        assert mine or (known == 0 and name == "reports.jsonl")
        assert all("zero" in text for text in mine)
        log = (tmp_path / f"study/logs/trial-{trial}.log").read_text()
        assert all(text in log for text in mine)


def test_the_forest_example_learns_and_its_pauses_change_nothing(tmp_path):
    forest = load_file(Path(__file__).parents[2] / "examples/forest.py")
    values = forest.space.config(np.full(forest.space.dimension, 0.5))
    executor = WorkerExecutor(forest.train, tmp_path, workers=1)
    events = run(executor, Job(0, 1), hparams=values)
    events += run(executor, Job(0, 3), hparams=values, done=1)
    events += run(executor, Job(1, 3), hparams=values)
    executor.close()
    curves = [curve(events, 0), curve(events, 1)]
    assert curves[0] == curves[1]
    assert [units for units, _ in curves[0]] == [1, 2, 3]
    assert curves[0][-1][1] < curves[0][0][1] < 1.1  # 1 is what the mean alone would give


def read(path: Path) -> str:
    return path.read_text().strip() if path.exists() else ""


def alive(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)
