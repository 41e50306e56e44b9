import contextlib
import json
import os
import re
import sys
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from parafree.core.contracts import Job
from parafree.core.errors import TrainableError
from parafree.core.space import Space
from parafree.study._command import Command
from parafree.study.workers import WorkerExecutor


@pytest.fixture
def run(tmp_path):
    """Return a function that runs one job of a command and returns the events."""
    with contextlib.ExitStack() as stack:
        executors = {}

        def run(command, units, hparams=None, done=0):
            if command not in executors:
                executors[command] = WorkerExecutor(command, tmp_path / "s", workers=1)
                stack.callback(executors[command].close)
            executor, events = executors[command], []
            executor.submit(Job(0, units), hparams or {}, 5, done)
            end = time.monotonic() + 20
            while executor.running():
                events += executor.advance()
                assert time.monotonic() < end, "the executor hangs"
            return events

        run.executors = executors
        yield run


def sh(script, *arguments, **settings):
    script = script.replace("{", "{{").replace("}", "}}")
    return Command(("sh", "-c", script, "sh", *arguments), **settings)


def curve(events):
    return [(e.units, e.loss) for e in events if e.kind == "report"]


def message(events):
    (end,) = (event for event in events if event.kind == "end")
    return end.data["status"] + ": " + end.data["message"]


def alive(pid):
    # A child of a dead process is reaped by init, at init's leisure.
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().split()[2] != "Z"


def gone(pids, seconds=5):
    end = time.monotonic() + seconds
    while any(map(alive, pids.read_text().split())):
        assert time.monotonic() < end, "something was left running"
        time.sleep(0.01)


# What is refused before anything starts ----------------------------------------------------


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("sh x.sh {lr} {width}", "nothing fills: {width}"),
        ("sh x.sh {lr:.2f}", "nothing fills: {lr:.2f}"),
        ("sh x.sh {} {lr}", "nothing fills: {}"),
        ("sh x.sh", "does not use the parameter lr"),
        ("sh x.sh {{lr}}", "does not use the parameter lr"),
        ("sh x.sh {lr} }", "a single } stands"),
        ("sh x.sh {lr", "a single { stands"),
        ("sh 'x.sh {lr}", "cannot be split"),
        ("", "is empty"),
        ("no-such-program {lr}", "no program 'no-such-program'"),
    ],
)
def test_an_impossible_command_is_refused_at_once(line, said):
    with pytest.raises(TrainableError) as error:
        Command.parse(line, ["lr"])
    assert said in error.value.what
    assert error.value.fix


def test_own_and_fixed_placeholders_are_known():
    line = "sh x.sh {lr} {depth} {units} {seed} {trial} {checkpoint} '{{}}'"
    command = Command.parse(line, ["lr"], fixed=["depth", "unused"])
    assert command.resumes
    values = {"lr": 1e-300, "depth": True, "units": 1, "seed": 2, "trial": 3, "checkpoint": "c"}
    assert command.fill(values) == ["sh", "x.sh", "1e-300", "true", "1", "2", "3", "c", "{}"]


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_arrive_exactly(x):
    assert float(Command(("f", "--x={x}")).fill({"x": x})[1][4:]) == x


@given(st.text(), st.text())
def test_every_value_stays_inside_its_own_argument(a, b):
    filled = Command(("f", "{a}", "-{b}={a}", "{{b}}")).fill({"a": a, "b": b})
    assert filled == ["f", a, f"-{b}={a}", "{b}"]


def test_parameters_that_are_not_active_are_left_out_with_their_option():
    command = Command(("f", "--a", "{a}", "--b={b}", "{c}", "--d", "x{a}", "-v"))
    assert command.fill({"c": 1}) == ["f", "1", "--d", "-v"]


# What a program does ------------------------------------------------------------------------

COUNT = """
i=0; [ -f "$3/at" ] && i=$(cat "$3/at")
while :; do
  i=$((i+1)); echo "$i" >> "$2"
  echo "just a line"; echo "{\\"unit\\": $i, \\"loss\\": $i.5, \\"seed\\": $1}"
  [ "$3" != - ] && echo $i > "$3/new" && mv "$3/new" "$3/at"
  sleep 0.01
done
"""


@pytest.mark.parametrize(("where", "twice"), [("{checkpoint}", False), ("-", True)])
def test_a_command_pauses_and_goes_on(run, tmp_path, where, twice):
    steps = tmp_path / "the 'steps'; $HOME .. é"
    command = sh(COUNT, "{seed}", str(steps).replace("{", "{{"), where)
    events = run(command, 2) + run(command, 40, done=2)  # it may be past unit 4 when it is ended
    assert curve(events) == [(n, n + 0.5) for n in range(1, 41)]
    assert all(event.data == {"seed": 5.0} for event in events)
    count = steps.read_text().split().count("1")
    assert count == (2 if twice else 1)
    assert "just a line" in (tmp_path / "s/logs/trial-0.log").read_text()


def test_a_program_may_leave_when_its_units_are_done(run):
    command = sh('for i in $(seq "$1"); do echo "{\\"unit\\": $i, \\"loss\\": 0}"; done', "{units}")
    assert curve(run(command, 3)) == [(1, 0.0), (2, 0.0), (3, 0.0)]


def test_a_program_that_leaves_early_is_finished(run):
    events = run(sh('echo \'{"unit": 2, "loss": 0.5}\''), 9)
    assert curve(events) == [(2, 0.5)]
    assert message(events).startswith("finished") and events[-1].loss == 0.5


REPORT = 'echo \'{"unit": 1, "loss": 1}\'; '


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (REPORT + "echo '{unit: 2'", "not JSON: {unit: 2"),
        (REPORT + "echo '{\"unit\": 2}'", "no 'loss'"),
        (REPORT + "echo '{\"loss\": 2}'", "without a unit"),
        (REPORT + REPORT, "unit 1 after unit 1"),
        (REPORT + 'echo \'{"unit": "2", "loss": 1}\'', "unit '2' after unit 1"),
        (REPORT + 'echo \'{"unit": 2, "loss": "x"}\'', "loss='x', which is not a number"),
        (REPORT + "echo oh no >&2; echo help >&2; exit 3", "status 3: oh no | help"),
        (REPORT + "kill -SEGV $$", "was ended by SIGSEGV"),
        (REPORT + "sleep 60", "printed no report for 0.3 s"),
        (REPORT + "printf '\\377\\376 {'; exit 4", "status 4"),
    ],
)
def test_a_program_that_goes_wrong_is_told_and_nothing_is_lost(run, script, said):
    events = run(sh(script, timeout=0.3), 9)
    assert curve(events) == [(1, 1.0)]
    assert message(events).startswith("failed: ")
    assert said in message(events)


def test_a_program_without_reports_fails(run):
    assert "without ever reporting its loss" in message(run(sh("exit 0"), 1))


def test_a_program_that_cannot_be_started_fails(run, tmp_path):
    file = tmp_path / "not-executable"
    file.write_text("")
    assert "Permission denied" in message(run(Command((str(file),)), 1))


@pytest.mark.parametrize("text", ["nan", "-nan", "inf", "NaN", "-Infinity"])
def test_what_c_prints_for_no_number_counts_as_diverged(run, text):
    assert curve(run(sh(f'echo \'{{"unit": 1, "loss": {text}}}\'; sleep 9'), 5)) == [(1, None)]


def test_everything_that_a_program_started_is_ended(run, tmp_path):
    pids = tmp_path / "pids"
    run(sh('sleep 60 & echo $! $$ > "$1"; ' + REPORT + "wait", str(pids)), 1)
    gone(pids)


def test_a_program_that_ignores_sigterm_is_killed(run):
    begin = time.monotonic()
    assert curve(run(sh("trap '' TERM; " + REPORT + "while :; do sleep 0.1; done"), 1))
    assert time.monotonic() - begin < 5


def test_the_last_checkpoint_is_waited_for(run, tmp_path):
    script = REPORT + 'sleep 0.5; touch "$1/done"; ' + REPORT + "sleep 60"
    run(sh(script, "{checkpoint}"), 1)
    assert (tmp_path / "s/states/0/checkpoint/done").exists()


def test_a_program_dies_with_its_worker(run, tmp_path):
    pids = tmp_path / "pids"
    script = 'echo $$ >> "$1"; sleep 0.2; kill -9 $PPID; sleep 60'
    assert "was killed" in message(run(sh(script, str(pids)), 9))
    assert len(pids.read_text().split()) == 2
    gone(pids)


AHEAD = """
at=0; [ -f "$1/at" ] && at=$(cat "$1/at")
[ $at = 0 ] && kill -STOP $PPID
for i in $(seq $((at+1)) $((at+3))); do
  echo "{\\"unit\\": $i, \\"loss\\": $i.5}"
  echo $i > "$1/new"; mv "$1/new" "$1/at"
done
[ $at = 0 ] && kill -KILL $PPID
sleep 60
"""


def test_what_a_program_printed_before_its_checkpoint_outlives_its_worker(run):
    """The worker is stopped, so that the program runs ahead of it, and then killed."""
    assert curve(run(sh(AHEAD, "{checkpoint}"), 5)) == [(n, n + 0.5) for n in range(1, 6)]


SLOW_TO_LEAVE = """
at=0; [ -f "$1/at" ] && at=$(cat "$1/at")
trap 'for i in 4 5 6; do say $i; done; exit' TERM
say() { echo "{\\"unit\\": $1, \\"loss\\": $1.5}"; echo $1 > "$dir/new"; mv "$dir/new" "$dir/at"; }
dir=$1
for i in $(seq $((at+1)) $((at+3))); do say $i; done
while :; do sleep 0.01; done
"""


def test_what_a_program_does_while_it_leaves_is_kept(run):
    command = sh(SLOW_TO_LEAVE, "{checkpoint}")
    assert curve(run(command, 2)) == [(1, 1.5), (2, 2.5)]
    assert curve(run(command, 8, done=2)) == [(n, n + 0.5) for n in range(3, 9)]


SAVES_FIRST = """
at=0; [ -f "$1/at" ] && at=$(cat "$1/at")
while :; do
  at=$((at+$2)); echo $at > "$1/new"; mv "$1/new" "$1/at"
  [ $at = 6 ] && [ ! -f "$3" ] && touch "$3" && kill -KILL $PPID && sleep 60
  echo "{\\"unit\\": $at, \\"loss\\": $at.5}"
done
"""


@pytest.mark.parametrize("step", [1, 2, 3, 6])
def test_a_checkpoint_without_its_report_is_not_gone_on_from(run, tmp_path, step):
    """A program that saves before it reports, and is killed in between, begins again."""
    command = sh(SAVES_FIRST, "{checkpoint}", str(step), str(tmp_path / "killed"))
    with pytest.warns(UserWarning, match="units before were not reported; it starts again"):
        events = run(command, 12)
    assert curve(events) == [(n, n + 0.5) for n in range(step, 13, step)]
    assert not (tmp_path / "s/states/0/damaged").exists()


@pytest.mark.parametrize(
    ("known", "spoil"),
    [
        (0, lambda trial: os.truncate(trial / "reports.jsonl", 60)),
        (5, lambda trial: os.truncate(trial / "reports.jsonl", 60)),
        (2, lambda trial: (trial / "reports.jsonl").unlink()),
        (2, lambda trial: (trial / "output").write_bytes(os.urandom(300))),
        (2, lambda trial: (trial / "checkpoint/at").write_text("12")),
    ],
)
def test_damaged_files_cost_time_and_nothing_else(run, tmp_path, spoil, known):
    command = sh(COUNT, "{seed}", str(tmp_path / "steps"), "{checkpoint}")
    run(command, 5)
    spoil(tmp_path / "s/states/0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert curve(run(command, 40, done=known)) == [(n, n + 0.5) for n in range(known + 1, 41)]


def test_a_checkpoint_of_the_last_unit_without_its_reports_is_not_the_end(run, tmp_path):
    """The program goes on from there, has nothing left to do and leaves: it begins again."""
    script = """
    at=0; [ -f "$1/at" ] && at=$(cat "$1/at")
    for i in $(seq $((at+1)) $2); do
      echo "{\\"unit\\": $i, \\"loss\\": $i.5}"; echo $i > "$1/at"
    done
    """
    command = sh(script, "{checkpoint}", "{units}")
    run(command, 3)
    (tmp_path / "s/states/0/checkpoint/at").write_text("6")
    with pytest.warns(UserWarning, match="left before unit 6; it starts again from zero"):
        events = run(command, 6, done=3)
    assert curve(events) == [(4, 4.5), (5, 5.5), (6, 6.5)]


def test_two_programs_never_share_a_checkpoint(run, tmp_path):
    """A program that outlived its study by its own session is ended before another one starts."""
    orphan = tmp_path / "orphan"
    script = 'setsid sleep 61 & echo $! > "$1"; kill -KILL $PPID; sleep 60'
    running = "grep -q ') [^Z]' /proc/$(cat \"$1\")/stat 2>/dev/null && echo '{still there'; "
    events = run(sh(f'if [ -f "$1" ]; then {running}{REPORT} else {script}; fi', str(orphan)), 1)
    assert curve(events) == [(1, 1.0)]
    gone(orphan)


@pytest.mark.parametrize("flood", ["yes", "yes | tr -d '\\n'", "yes '{'", "yes >&2"])
@pytest.mark.parametrize("timeout", [0.5, None])
def test_a_flood_is_stopped_and_fills_neither_memory_nor_disk(run, tmp_path, flood, timeout):
    if timeout is None and ">&2" in flood:
        pytest.skip("without a timeout a program may complain for ever")
    events = run(sh(REPORT + flood, timeout=timeout), 9)
    assert curve(events) == [(1, 1.0)]
    said = message(events)
    assert "not JSON" in said or "no report for 0.5 s" in said or "than 64 MiB without" in said
    assert len(said) < 1000
    log = tmp_path / "s/logs/trial-0.log"
    assert log.stat().st_size < 20 << 20
    worker = next(iter(run.executors.values()))._workers[0].process.pid
    assert int(re.search(r"VmHWM:\s*(\d+) kB", Path(f"/proc/{worker}/status").read_text())[1]) < 9e4


def test_standard_output_that_is_opened_again_is_told(run):
    again = REPORT + 'echo \'{"unit": 2, "loss": 1}\' > /dev/stdout; sleep 60'
    assert "emptied it" in message(run(sh(again), 9))


def test_another_python_with_its_own_environment_works(run):
    code = "import json,sys; print(json.dumps({'unit': 1, 'loss': float(sys.argv[1])}), flush=True)"
    (event,) = run(Command((sys.executable, "-c", code.replace("{", "{{").replace("}", "}}"),
                            "{lr}")), 1, {"lr": 0.1 + 0.2})  # fmt: skip
    assert json.dumps(event.loss) == "0.30000000000000004"


# The example -------------------------------------------------------------------------------

EXAMPLE = Path(__file__).parents[2] / "examples/command"
WINE = (
    "awk -v lr={lr} -v momentum={momentum} -v decay={decay} -v cooling={cooling} -v units={units}"
    f" -v seed={{seed}} -v checkpoint={{checkpoint}} -f {EXAMPLE}/softmax.awk {EXAMPLE}/wine.csv"
)


def test_the_example_learns_and_its_pauses_change_nothing(run, tmp_path):
    space = Space.from_toml((EXAMPLE / "space.toml").read_text())
    command = Command.parse(WINE, space.names, fixed=space.fixed)
    assert all(f"{{{name}}}" in (EXAMPLE / "README.md").read_text() for name in space.names)
    values = space.check({"lr": 0.03, "momentum": 0.5, "decay": 1e-4, "cooling": 0.1})
    paused = run(command, 2, values) + run(command, 5, values, done=2)
    straight = run(Command(command.arguments, timeout=9.0), 5, {**values, "again": 1})
    assert curve(paused) == curve(straight)
    # As good on the rows that were kept away as scikit-learn's own softmax regression.
    table = np.loadtxt(EXAMPLE / "wine.csv", delimiter=",", skiprows=1)
    x, label, valid = table[:, :-1], table[:, -1], np.arange(1, len(table) + 1) % 3 == 0
    x = (x - x[~valid].mean(0)) / x[~valid].std(0)
    peer = LogisticRegression().fit(x[~valid], label[~valid]).score(x[valid], label[valid])
    assert paused[-1].data["accuracy"] >= peer - 0.02
