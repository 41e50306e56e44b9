"""The command line as a user runs it, and studies that were made once for all tests."""

import json
import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing

import pytest

from parafree.study import _schema
from parafree.study.store import Store

_COUNT = f"SELECT count(*) FROM {_schema.events.name}"

JAX = """
import jax
import jax.numpy as jnp
from parafree import Choice, Real, Space


class Bowl:
    space = Space(size=Choice([2, 3], static=True), rate=Real(1e-3, 3.0, log=True))

    def init(self, key, hparams):
        return {"x": jnp.zeros(hparams["size"])}

    def step(self, key, state, hparams):
        noise = 0.01 * jax.random.normal(key, state["x"].shape)
        return {"x": state["x"] + hparams["rate"] * (1.0 - state["x"]) + noise}

    def evaluate(self, state, hparams):
        return {"loss": 0.5 * jnp.sum((state["x"] - 1.0) ** 2)}
"""

FUNCTION = """
import time
from parafree import Real, Space

space = Space(x=Real(0, 1))


def train(trial):
    state = trial.load() or {"z": 1.0}
    while True:
        time.sleep(0.005)
        state["z"] *= 0.9
        trial.report(loss=(trial.hparams["x"] - 0.3) ** 2 + state["z"])
        trial.save(**state)
"""


class Ended:
    """How a run ended."""

    def __init__(self, status, out, err):
        self.status, self.out, self.err = status, out, err

    @property
    def json(self):
        return json.loads(self.out)

    def refuses(self, *words):
        """Check that it ended with status 2 and one message that has these words."""
        assert self.status == 2, self.err
        assert "Traceback" not in self.err
        for word in words:
            assert word in self.err


class Cli:
    """Runs ``parafree`` in a folder."""

    def __init__(self, folder):
        self.folder = folder
        self._started = []

    def write(self, name, text):
        (self.folder / name).write_text(text, encoding="utf-8")

    def start(self, *arguments):
        command = [sys.executable, "-m", "parafree.cli", *map(str, arguments)]
        environment = {k: v for k, v in os.environ.items() if k != "PARAFREE_STORE"}
        process = subprocess.Popen(
            command,
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._started.append(process)
        return process

    def close(self):
        """End what a test that failed half-way left running."""
        for process in self._started:
            with process:
                process.kill()

    def finish(self, process):
        with process:
            out, err = process.communicate(timeout=60)
        return Ended(process.returncode, out, err)

    def run(self, *arguments):
        return self.finish(self.start(*arguments))

    def tune(self, *arguments):
        """Run to a good end."""
        ended = self.run("tune", *arguments, "--no-report")
        assert ended.status == 0, ended.err
        return ended

    def wait_for(self, process, events, store="p.db"):
        """Wait until a run has written so many events."""
        deadline = time.monotonic() + 60
        while self.count(store) < events and time.monotonic() < deadline:
            assert process.poll() is None, "the run ended too early"
            time.sleep(0.02)

    def count(self, store):
        try:
            with closing(sqlite3.connect(f"file:{self.folder / store}?mode=ro", uri=True)) as db:
                return db.execute(_COUNT).fetchone()[0]
        except sqlite3.OperationalError:
            return 0

    def journal(self, store="p.db"):
        """The journal of the only study in a store, as text."""
        with Store.open(self.folder / store, create=False) as opened:
            (record,) = opened.studies()
            return opened.export_dump(record.id)


@pytest.fixture
def cli(tmp_path):
    cli = Cli(tmp_path)
    cli.write("bowl.py", JAX)
    cli.write("fn.py", FUNCTION)
    yield cli
    cli.close()


@pytest.fixture(scope="session")
def done(tmp_path_factory):
    """A folder with a finished study of a JAX trainable in ``p.db``; tests only read it."""
    cli = Cli(tmp_path_factory.mktemp("done"))
    cli.write("bowl.py", JAX)
    cli.ended = cli.tune(
        *("bowl.py", "--units", 240, "--seed", 3, "--lanes", 4, "--chunk", 2),
        *("--store", "p.db", "--json"),
    )
    return cli
