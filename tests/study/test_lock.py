"""Locks: one process to a study, whatever happens to it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading

import pytest

from parafree.core.errors import StoreError, StudyError
from parafree.study._lock import lock_file
from parafree.study.store import Store

HOLDER = """
import sys, time
from pathlib import Path
from parafree.study._lock import lock_file
lock = lock_file(Path(sys.argv[1]), "digits")
print("held", flush=True)
time.sleep(60)
"""

FORKER = """
import os, sys, time
from pathlib import Path
from parafree.study._lock import lock_file
lock = lock_file(Path(sys.argv[1]), "digits")
child = os.fork()
if child == 0:
    time.sleep(60)
print("held", child, flush=True)
time.sleep(60)
"""


@pytest.fixture
def path(tmp_path):
    return tmp_path / "files" / "digits.lock"


def hold(script, path):
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdout=subprocess.PIPE, text=True
    )
    return process, process.stdout.readline().split()


def test_the_second_process_learns_who_holds_the_study(path):
    process, _ = hold(HOLDER, path)
    with process:
        with pytest.raises(StudyError, match=f"'digits' is in use by process {process.pid} on"):
            lock_file(path, "digits")
        process.send_signal(signal.SIGKILL)
        process.wait()
    lock_file(path, "digits").release()


def test_an_orphan_of_a_killed_process_does_not_keep_the_study(path):
    process, (_, child) = hold(FORKER, path)
    with process:
        process.send_signal(signal.SIGKILL)
        process.wait()
        try:
            lock_file(path, "digits").release()
        finally:
            os.kill(int(child), signal.SIGKILL)


def test_one_process_cannot_take_a_study_twice(path):
    with lock_file(path, "digits") as lock:
        with pytest.raises(StudyError, match="in use by this process"):
            lock_file(path, "digits")
        lock.release()
        lock.release()
        assert not path.exists()
        with lock_file(path, "digits"):
            pass


def test_of_many_threads_one_gets_the_study(path):
    won, together = [], threading.Barrier(8)

    def compete():
        together.wait()
        with contextlib.suppress(StudyError):
            won.append(lock_file(path, "digits"))

    threads = [threading.Thread(target=compete) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    won[0].release()


CONTENDER = """
import sys
from pathlib import Path
from parafree.core.errors import StudyError
from parafree.study._lock import lock_file
path, counter = Path(sys.argv[1]), Path(sys.argv[2])
done = 0
while done < 100:
    try:
        with lock_file(path, "digits"):
            # Not atomic: an overlap of two holders would lose a count.
            counter.write_text(str(int(counter.read_text()) + 1))
            done += 1
    except StudyError:
        pass
"""


def test_the_lock_excludes_while_its_file_comes_and_goes(path, tmp_path):
    counter = tmp_path / "counter"
    counter.write_text("0")
    command = [sys.executable, "-c", CONTENDER, str(path), str(counter)]
    contenders = [subprocess.Popen(command) for _ in range(3)]
    assert [contender.wait(60) for contender in contenders] == [0, 0, 0]
    assert counter.read_text() == "300"


def test_studies_are_locked_one_by_one_and_gone_when_deleted(tmp_path):
    with Store.open(tmp_path / "a.db") as store:
        one, two = store.create("one", {}), store.create("two", {})
        with store.lock(one.id), store.lock(two.id), pytest.raises(StudyError, match="'one'"):
            store.lock(one.id)
        store.delete("one")
        with pytest.raises(StudyError, match="deleted"):
            store.lock(one.id)


def test_a_lock_that_cannot_be_made_says_why(tmp_path):
    (tmp_path / "files").write_text("in the way")
    with pytest.raises(StoreError, match="cannot be locked"):
        lock_file(tmp_path / "files" / "digits.lock", "digits")
