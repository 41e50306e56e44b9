"""``parafree minimize`` as a user runs it."""

import json
import signal
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"

FUNCTION = """
import time
from parafree import Choice, Real, Space

space = Space(x=Real(-2, 2), y=Real(-1, 3))


def objective(config):
    time.sleep(0.002)
    return 100 * (config["y"] - config["x"] ** 2) ** 2 + (1 - config["x"]) ** 2
"""
SPACE = '{"parameters": {"x": {"type": "real", "low": -3, "high": 3}}}'
RUN = ("valley.py", "--seed", 3, "--workers", 1, "--store", "p.db", "--no-report")


@pytest.fixture
def valley(cli):
    cli.write("valley.py", FUNCTION)
    cli.write("space.json", SPACE)
    return cli


def test_a_function_is_minimised_and_the_study_can_be_shown(valley):
    ended = valley.run("minimize", *RUN, "--evaluations", 300, "--json")
    assert ended.status == 0, ended.err
    found = ended.json
    assert found["evaluations"] == 300
    assert found["reason"] == "evaluations"
    assert found["best"]["loss"] < 1e-3
    assert set(found["best"]["config"]) == {"x", "y"}
    assert found["noise"] == 0
    shown = valley.run("show", "valley", "--store", "p.db")
    assert shown.status == 0
    assert "x = " in shown.out


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=["killed", "Ctrl-C"])
def test_a_stopped_run_goes_on_to_the_same_journal(valley, number, tmp_path_factory):
    budget = ("--evaluations", 120)
    run = valley.start("minimize", *RUN, *budget)
    valley.wait_for(run, 60)
    run.send_signal(number)
    ended = valley.finish(run)
    if number == signal.SIGINT:
        assert ended.status == 130
        assert "parafree minimize valley.py" in ended.out + ended.err
    before = valley.journal()
    assert valley.run("minimize", *RUN, *budget).status == 0
    after = valley.journal()
    assert after.startswith(before)
    other = [*RUN[:-2], "q.db", RUN[-1]]
    assert valley.run("minimize", *other, *budget).status == 0
    assert valley.journal("q.db") == after


def test_a_program_is_minimised_until_the_target(valley):
    program = f"{sys.executable} -c 'import sys; print((float(sys.argv[1]) - 1) ** 2)' {{x}}"
    ended = valley.run(
        *("minimize", "--command", program, "--space", "space.json", "--target", 0.01),
        *("--name", "square", "--store", "p.db", "--no-report"),
    )
    assert ended.status == 0, ended.err
    assert "stopped by target" in ended.out
    assert "'square'" in ended.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), ["either a Python file or --command"]),
        (("valley.py",), ["nothing says when to stop"]),
        (("none.py", "--evaluations", 3), ["none.py"]),
        (("valley.py:none", "--evaluations", 3), ["no 'none'", "it has objective"]),
        (("valley.py", "--time", "soon"), ["soon", "10m"]),
        (("--command", "true {x}", "--evaluations", 3), ["--space"]),
        (("--command", "true", "--space", "space.json", "--evaluations", 3), ["{x}"]),
        (("bowl.py", "--evaluations", 3), ["no function of a configuration", "f(config)"]),
    ],
)
def test_mistakes_are_told_in_one_message(valley, arguments, words):
    valley.run("minimize", *arguments).refuses(*words)


def test_a_function_without_a_finite_value_is_no_success(valley):
    valley.write("bad.py", "from parafree import *\nspace = Space(x=Real(0, 1))\nf = lambda c: 1/0")
    ended = valley.run("minimize", "bad.py", "--evaluations", 3, "--no-report")
    assert ended.status == 1
    assert "ZeroDivisionError" in ended.err
    assert "Traceback" not in ended.err


def test_the_example_runs(cli):
    options = ("--evaluations", 40, "--workers", 1, "--json")
    ended = cli.run("minimize", EXAMPLES / "compress.py", *options)
    assert ended.status == 0, ended.err
    found = ended.json
    assert found["best"]["metrics"]["share"] < 0.4  # a third of the text or so
    assert found["best"]["config"]["lc"] + found["best"]["config"]["lp"] <= 4
    assert "compress" in Path(found["report"]).read_text()
    assert json.loads(ended.out)["noise"] > 0  # the clock is asked too
    told = cli.run("minimize", EXAMPLES / "compress.py", *options[:-1], "--no-report")
    assert told.status == 0, told.err
    assert "best     -1." in told.out
    assert cli.run("show", "compress").status == 0


def test_the_example_with_two_objectives_runs(cli):
    options = ("--objectives", "error,leaves", "--workers", 1)
    ended = cli.run("minimize", EXAMPLES / "tree.py", *options, "--evaluations", 60, "--json")
    assert ended.status == 0, ended.err
    front = [point["metrics"] for point in ended.json["front"]]
    leaves = [figures["leaves"] for figures in front]
    assert len(front) >= 3
    assert leaves == sorted(leaves, reverse=True)  # the front is sorted by the error
    assert front[0]["error"] < 0.08
    assert min(leaves) <= 2.5
    shown = cli.run("show", "tree")
    assert "points: error, leaves" in shown.out
    more = cli.run("minimize", EXAMPLES / "tree.py", *options, "--evaluations", 65, "--no-report")
    assert more.status == 0, more.err
    listed = [line for line in more.out.splitlines() if "(evaluation" in line]
    assert len(listed) > 3
    assert len({line.split("(")[0] for line in listed}) == len(listed)  # no two alike
