"""Faults that end the whole run: kill -9 at random moments, signals, a second process."""

from __future__ import annotations

import contextlib
import random
import shlex
import signal
import sys
import time
from collections.abc import Sequence

import psutil

from _faults_place import BOWL, FUNCTION, PROGRAM, SPACE, Place, Run, check, same

JAX = ("bowl.py", "--units", 2400, "--seed", 3, "--lanes", 4, "--chunk", 2)
LONG = ("bowl.py", "--units", 7200, *JAX[3:])  # longer than a second process needs to start
PYTHON = ("fn.py", "--units", 240, "--seed", 3, "--workers", 1)


def command_line(units: int = 150) -> tuple[object, ...]:
    """Return the arguments that tune the program that stands beside the study."""
    line = shlex.join([sys.executable, "-S", "-E", "program.py"])
    line += " {x} {rate} {checkpoint} {units} {seed}"
    space = ("--space", "space.toml")
    return ("--command", line, *space, "--units", units, "--seed", 3, "--workers", 1)


def prepare(at: Place) -> None:
    """Write all programs to tune."""
    for name, text in (("bowl.py", BOWL), ("fn.py", FUNCTION), ("program.py", PROGRAM)):
        at.write(name, text)
    at.write("space.toml", SPACE)


def kinds() -> dict[str, tuple[object, ...]]:
    """Return arguments for each kind of trainable."""
    return {"JAX": JAX, "function": PYTHON, "command": command_line()}


def _kill_all(run: Run) -> None:
    """Kill a run, its workers and their keepers, so that none sees another one's end."""
    ours = ("parafree.study._worker_main", "_keeper_main.py")
    chosen = []
    with contextlib.suppress(psutil.NoSuchProcess):
        main = psutil.Process(run.pid)
        main.suspend()
        for process in main.children(recursive=True):
            if any(argument.endswith(ours) for argument in process.cmdline()):
                process.suspend()
                chosen.append(process)
    for process in chosen:
        process.kill()
    run.signal(signal.SIGKILL)


def _nothing_left(at: Place) -> None:
    """Check that what a run had started ends by itself."""
    deadline = time.monotonic() + 10
    while left := [each for each in psutil.process_iter() if at.holds(each)]:
        check(time.monotonic() < deadline, f"{len(left)} processes outlive the study")
        time.sleep(0.05)


def _storm(at: Place, arguments: Sequence[object], kills: int, seed: int) -> str:
    """Kill a run at random moments until it has been killed so often; compare every journal.

    Every other time its workers and their keepers are killed at the same moment.
    """
    prepare(at)
    at.tune(*arguments, "--store", "whole.db")
    whole = at.dump("whole.db")
    draw, killed, studies, found = random.Random(seed), 0, 0, []
    while killed < kills:
        studies += 1
        store = f"{studies}.db"
        while killed < kills:
            run = at.start("tune", *arguments, "--store", store, "--no-report")
            # Some die while they start, most in the middle, and some get to the end.
            if draw.random() < 0.8:
                at.wait_for(run, at.count(store) + 1, store)
            if run.ends_within(draw.uniform(0.0, 0.6)):
                break
            if draw.random() < 0.5:
                _kill_all(run)
            else:
                run.signal(signal.SIGKILL)
            result = run.result()
            _nothing_left(at)
            killed += result.status == -signal.SIGKILL
            dump = at.dump(store)
            # Only the beginning is there, but that must be equal.
            same(dump, whole[: len(dump)])
            found.append(dump.count("\n"))
            if killed % 10 == 0:
                at.say(f"killed {killed} of {kills}; {found[-1]} of {whole.count(chr(10))} events")
        at.tune(*arguments, "--store", store)
        same(at.dump(store), whole)
    inside = sum(0 < count < whole.count("\n") for count in found)
    return (
        f"{killed} kills over {studies} studies ({inside} in the middle of the journal), "
        f"each journal of {whole.count(chr(10))} events equal to the uninterrupted one"
    )


def kill_jax(at: Place, kills: int, seed: int) -> str:
    return _storm(at, JAX, kills, seed)


def kill_function(at: Place, kills: int, seed: int) -> str:
    return _storm(at, PYTHON, kills, seed)


def kill_command(at: Place, kills: int, seed: int) -> str:
    return _storm(at, command_line(), kills, seed)


def two_processes(at: Place) -> str:
    """The second process is turned away, and the first never notices."""
    prepare(at)
    at.tune(*LONG, "--store", "whole.db")
    first = at.start("tune", *LONG, "--store", "p.db", "--no-report")
    at.wait_for(first, 1)
    first.signal(signal.SIGSTOP)  # or it may be done before the second has begun
    check(first.process.poll() is None, "the first run was over at once")
    second = at.run("tune", *LONG, "--store", "p.db", "--no-report")
    first.signal(signal.SIGCONT)
    second.says("in use", f"process {first.pid}")
    first.result().says(status=0)
    same(at.dump(), at.dump("whole.db"))
    return f"the second is told of process {first.pid}, and the first is unharmed"


def readers_meanwhile(at: Place) -> str:
    """Looking at a study does not disturb the one that works on it."""
    prepare(at)
    at.tune(*LONG, "--store", "whole.db")
    first = at.start("tune", *LONG, "--store", "p.db", "--no-report")
    at.wait_for(first, 5)
    for words in (("studies",), ("show", "bowl"), ("export", "bowl"), ("report", "bowl")):
        at.run(*words, "--store", "p.db").says(status=0)
    first.result().says(status=0)
    same(at.dump(), at.dump("whole.db"))
    return "studies, show, export and report work while the study runs"


def _stopped_by(at: Place, kind: str, numbers: Sequence[int]) -> str:
    """Stop a run by signals, go on, and compare with an uninterrupted one."""
    whole, arguments = f"whole-{kind}.db", LONG if kind == "JAX" else kinds()[kind]
    at.tune(*arguments, "--store", whole)
    store = f"stopped-{kind}.db"
    run = at.start("tune", *arguments, "--store", store, "--no-report")
    at.wait_for(run, 40, store)
    begin = time.monotonic()
    for number in numbers:
        run.signal(number)
        time.sleep(0.02)
    result = run.result(60.0)
    seconds = time.monotonic() - begin
    before = at.dump(store)
    check(before != at.dump(whole), "the run was over before the signal came")
    result.says("parafree tune", store, status=130)
    at.tune(*arguments, "--store", store)
    same(at.dump(store), at.dump(whole))
    return f"{seconds:.1f} s"


def _each_stopped_by(at: Place, numbers: Sequence[int]) -> str:
    prepare(at)
    took = [f"{kind} in {_stopped_by(at, kind, numbers)}" for kind in kinds()]
    return f"{', '.join(took)}; status 130, and it resumes to the same journal"


def ctrl_c_once(at: Place) -> str:
    """Finishes the chunk, saves, and says how to go on."""
    said = _each_stopped_by(at, [signal.SIGINT])
    states = list(at.folder.glob("stopped-JAX.db.files/*/states/*"))
    check(states, "no state was saved")
    return f"{said}; {len(states)} JAX states saved"


def ctrl_c_twice(at: Place) -> str:
    """Leaves at once, and loses nothing."""
    return _each_stopped_by(at, [signal.SIGINT, signal.SIGINT])


def terminated(at: Place) -> str:
    """SIGTERM is a Ctrl-C."""
    return _each_stopped_by(at, [signal.SIGTERM])


def ctrl_c_anywhere(at: Place, times: int, seed: int) -> str:
    """Ctrl-C at any moment, while it starts too: no traceback, and nothing lost."""
    prepare(at)
    begin = time.monotonic()
    at.tune(*JAX, "--store", "whole.db")
    whole_s, whole, draw = time.monotonic() - begin, at.dump("whole.db"), random.Random(seed)
    for turn in range(times):
        run = at.start("tune", *JAX, "--store", "p.db", "--no-report")
        early = run.ends_within(draw.uniform(0.3, whole_s))
        run.signal(signal.SIGINT)
        result = run.result(60.0)
        check("Traceback" not in result.err, f"turn {turn}: {result.err.strip()[-300:]}")
        wanted = (0,) if early else (0, 130)
        # Before Python runs, and once it shuts down with everything said, nothing catches signals.
        if not result.text or "go on " in result.out:
            wanted = (0, 130, -signal.SIGINT)
        check(result.status in wanted, f"turn {turn}: exit status {result.status}")
        check(whole.startswith(at.dump()), f"turn {turn}: the journal is no beginning of the whole")
    at.tune(*JAX, "--store", "p.db")
    same(at.dump(), whole)
    return f"{times} times at random moments of a run of {whole_s:.1f} s"
