"""What every command prints: JSON that parses, help, and errors of one message."""

import csv
import io
import json
import subprocess
import sys

import pytest

COMMANDS = [
    "tune",
    "minimize",
    "studies",
    "show",
    "report",
    "export",
    "delete",
    "methods",
    "verify",
]


def test_help_names_every_command_and_loads_nothing_heavy():
    script = (
        "import sys; sys.argv = ['parafree', '--help']\n"
        "from parafree.cli.__main__ import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'jax', 'numpy', 'sqlalchemy', 'pandas', 'plotly', 'sklearn'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout
    assert all(command in out for command in COMMANDS)
    assert out.splitlines()[-1] == "[]"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(cli, command):
    ended = cli.run(command, "--help")
    assert ended.status == 0
    assert "Usage: parafree" in ended.out.replace("python -m parafree.cli", "parafree")
    assert "--json" in ended.out or command == "delete"  # which prints nothing to be read


def test_tune_json(done):
    found = done.ended.json
    assert found["study"] == "bowl"
    assert found["reason"] == "units"
    assert found["units"] >= 240 - 4 * 2
    assert set(found["best"]["hparams"]) == {"size", "rate"}
    assert found["store"] == str(done.folder / "p.db")


def test_studies_json(done):
    (study,) = done.run("studies", "--json", "--store", "p.db").json
    assert study["study"] == "bowl"
    assert study["units"] == done.ended.json["units"]
    assert study["trials"] == done.ended.json["trials"]


def test_show_json(done):
    found = done.run("show", "bowl", "--json", "--store", "p.db").json
    assert found["best"]["loss"] == done.ended.json["best"]["loss"]
    assert found["top"][0]["id"] == found["best"]["id"]
    assert found["failures"] == []


def test_export_gives_the_same_trials_as_csv_and_json(done):
    table = done.run("export", "bowl", "--csv", "--store", "p.db").out
    rows = list(csv.DictReader(io.StringIO(table)))
    records = done.run("export", "bowl", "--json", "--store", "p.db").json
    assert len(rows) == len(records) == done.ended.json["trials"]
    for row, record in zip(rows, records, strict=True):
        assert int(row["trial"]) == record["trial"]
        assert float(row["hparams.rate"]) == pytest.approx(record["hparams.rate"])


def test_delete_asks_and_then_removes_a_study_and_its_files(cli):
    tune = ("tune", "fn.py", "--trials", 2, "--repeats", 0, "--store", "p.db", "--study", "old one")
    assert cli.run(*tune, "--scheduler", "RandomSearch:max_units=1").status == 0
    assert cli.run("delete", "old one", "--store", "p.db").status != 0  # nobody answers
    assert cli.run("studies", "--json", "--store", "p.db").json != []
    assert cli.run("delete", "old one", "--store", "p.db", "--yes").out == "deleted 'old one'\n"
    assert cli.run("studies", "--json", "--store", "p.db").json == []
    assert not list((cli.folder / "p.db.files").glob("old*/*"))


def test_first_configurations_come_from_a_file(cli):
    cli.write("first.json", '{"x": 0.3125}')
    tune = ("tune", "fn.py", "--trials", 3, "--repeats", 0, "--store", "p.db", "--json")
    run = cli.run(*tune, "--scheduler", "RandomSearch:max_units=2", "--first", "first.json")
    assert run.json["best"]["hparams"] == {"x": 0.3125}


def test_methods_json(cli):
    methods = cli.run("methods", "--json").json
    assert {"Deepening", "Hyperband", "SobolSampler"} <= {each["method"] for each in methods}
    assert cli.run("methods", "no such word").status == 1


def test_report_is_one_page_that_needs_no_network(done, tmp_path):
    ended = done.run("report", "bowl", "--json", "--store", "p.db", "-o", tmp_path / "a page.html")
    assert ended.status == 0, ended.err
    page = tmp_path / "a page.html"
    assert json.loads(ended.out)["report"] == str(page)
    assert "<script src=" not in page.read_text(encoding="utf-8")


def test_a_store_in_the_environment(done, monkeypatch, cli):
    command = [sys.executable, "-m", "parafree.cli", "studies", "--json"]
    monkeypatch.setenv("PARAFREE_STORE", str(done.folder / "p.db"))
    out = subprocess.run(command, cwd=cli.folder, capture_output=True, text=True).stdout
    assert json.loads(out)[0]["study"] == "bowl"
    assert not (cli.folder / "parafree.db").exists()


REFUSED = {
    "no budget": (["tune", "fn.py"], ["when to stop", "time"]),
    "no such file": (["tune", "none.py", "--units", 3], ["none.py"]),
    "no such name": (["tune", "fn.py:other", "--units", 3], ["other", "train"]),
    "nothing to tune": (["tune", "--units", 3], ["--command"]),
    "no such scheduler": (["tune", "fn.py", "--units", 3, "--scheduler", "Magic"], ["Magic"]),
    "a bad setting": (
        ["tune", "fn.py", "--units", 3, "--scheduler", "Hyperband:max=3"],
        ["max"],
    ),
    "an impossible setting": (
        ["tune", "fn.py", "--units", 3, "--scheduler", "Hyperband:max_units=0"],
        ["max_units"],
    ),
    "an impossible time": (["tune", "fn.py", "--time", "soon"], ["soon", "10m"]),
    "a negative budget": (["tune", "fn.py", "--units", -3], ["units"]),
    "a command without a space": (["tune", "--command", "true {x}", "--units", 3], ["--space"]),
    "no such space": (
        ["tune", "--command", "true {x}", "--units", 3, "--space", "none.toml"],
        ["none.toml"],
    ),
    "no first configurations": (
        ["tune", "fn.py", "--units", 3, "--first", "fn.py"],
        ["fn.py", "write JSON"],
    ),
    "no such study": (["show", "none"], ["no database"]),
    "no store to list": (["studies", "--store", "none.db"], ["none.db"]),
    "no such claim": (["verify", "none"], ["none"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_errors_are_one_message(cli, case):
    arguments, words = REFUSED[case]
    cli.run(*arguments).refuses(*words)


def test_a_misspelt_study_is_met_with_close_names(done):
    done.run("show", "bowll", "--store", "p.db").refuses("bowll", "'bowl'")
