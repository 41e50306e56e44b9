"""Names, paths and arguments that would do harm in a shell or in a path."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path

from _faults_place import FUNCTION, Place, check

NASTY = [
    "two words",
    "a'b\"c",
    "../../up",
    "..",
    "größer-日本",
    "$(touch pwned)",
    "`touch pwned`",
    "; touch pwned",
    "a/b\\c",
    "-rf",
    "%2E%2E",
    "*?[x]",
    "x" * 200,
]
IMPOSSIBLE = ["", "line\nbreak", "nul\x00", "bell\a", "x" * 201]


def study_names(at: Place) -> str:
    """Any name makes one folder inside the study's own, and every command finds it again."""
    home = at.folder / "home"
    home.mkdir()
    at.write("fn.py", FUNCTION)
    for name in NASTY:
        arguments = ("fn.py", f"--study={name}", "--trials", 2, "--units", 6, "--workers", 1)
        at.tune(*arguments, "--store", home / "p.db")
        shown = at.run("show", "--json", "--store", home / "p.db", "--", name).says(status=0)
        check(json.loads(shown.out)["study"] == name, f"show does not name {name!r}")
        at.run("export", "--store", home / "p.db", "--", name).says("trial", status=0)
        _nothing_outside(at, home)
    at.run("report", "--store", home / "p.db", "--", NASTY[0]).says("report.html", status=0)
    _nothing_outside(at, home)
    listed = json.loads(at.run("studies", "--json", "--store", home / "p.db").out)
    check([each["study"] for each in listed] == NASTY, "studies does not list every name")
    for name in IMPOSSIBLE:
        if "\x00" in name:
            continue  # no program can be given one
        arguments = ("fn.py", "--trials", 2, "--units", 6, "--store", home / "p.db")
        at.run("tune", *arguments, f"--study={name}").says("name")
    return f"{len(NASTY)} names work, {len(IMPOSSIBLE) - 1} impossible ones are refused"


def _nothing_outside(at: Place, home: Path) -> None:
    top = {path.name for path in at.folder.iterdir()} - {"__pycache__"}
    check(top <= {"fn.py", "home"}, f"files outside of the study's folder: {top}")
    inside = {path.name for path in home.iterdir()}
    check(all(name.startswith("p.db") for name in inside), f"files beside the database: {inside}")
    pwned = list(at.folder.rglob("pwned"))
    check(not pwned, f"a shell ran: {pwned}")


def paths(at: Place) -> str:
    """Programs and databases in folders with any name."""
    names = ["two words", "a'b\"c", "größer-日本", "$(touch pwned)", "; touch pwned", "a#b?c%d"]
    for name in names:
        folder = at.folder / name
        folder.mkdir()
        (folder / "my fn.py").write_text(FUNCTION, encoding="utf-8")
        store = folder / "my studies.db"
        common = ("--trials", 2, "--units", 6, "--workers", 1, "--store", store)
        at.tune(folder / "my fn.py", *common)
        at.run("show", "my fn", "--store", store).says("best", status=0)
        at.run("report", "my fn", "--store", store, "-o", folder / "a page.html").says(status=0)
        check((folder / "a page.html").is_file(), f"no report in {name!r}")
    top = {path.name for path in at.folder.iterdir()} - {"__pycache__"}
    check(top == set(names), f"other files appeared: {top - set(names)}")
    check(not list(at.folder.rglob("pwned")), "a shell ran")
    return f"{len(names)} folders"


ECHO = """
import json, sys
with open(sys.argv[1] + "/arguments.json", "w", encoding="utf-8") as file:
    json.dump(sys.argv[2:], file)
print(json.dumps({"unit": 1, "loss": 0.5}), flush=True)
"""


def arguments(at: Place) -> str:
    """Values reach a command as arguments, letter by letter, and no shell sees them."""
    values = [*NASTY[:-1], "line\nbreak", "{x}", "tab\there", "a=b"]
    space = {"parameters": {"word": {"type": "choice", "options": values}}}
    at.write("space.json", json.dumps(space))
    at.write("echo.py", ECHO)
    line = shlex.join([sys.executable, "-E", "echo.py"]) + " {checkpoint} {word} --is={word}"
    result = at.run("tune", "--command", line, "--space", "space.json", "--trials", 60, "--units",
                    60, "--workers", 2, "--repeats", 0, "--store", "p.db", "--no-report",
                    "--scheduler", "RandomSearch:max_units=1")  # fmt: skip
    check(result.status == 0, f"exit status {result.status}: {result.err.strip()[-300:]}")
    seen = set()
    for file in at.folder.glob("p.db.files/*/states/*/checkpoint/arguments.json"):
        word, named = json.loads(file.read_text(encoding="utf-8"))
        check(word in values and named == f"--is={word}", f"the program got {word!r}, {named!r}")
        seen.add(word)
    check(len(seen) > len(values) // 2, f"only {len(seen)} of {len(values)} values were tried")
    check(not list(at.folder.rglob("pwned")), "a shell ran")
    return f"{len(seen)} values arrived letter by letter"
