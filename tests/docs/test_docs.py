"""The pages: complete, without dead links, and with code that runs."""

from __future__ import annotations

import doctest
import importlib
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from parafree.core.catalogue import cards

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
# A Python block, and the comment on the line before it, if there is one.
BLOCK = re.compile(r"(?:<!--(?P<note>[^\n]*?)-->\n)?^```python\n(?P<code>.*?)^```$", re.M | re.S)
FENCE = re.compile(r"^```.*?^```$", re.M | re.S)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")


def load_hook() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docs_hooks", DOCS / "_hooks.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


HOOK = load_hook()
MADE = HOOK.pages()
WRITTEN = {str(path.relative_to(ROOT)): path.read_text() for path in sorted(DOCS.rglob("*.md"))}
WRITTEN |= {name: (ROOT / name).read_text() for name in ("README.md", "CONTRIBUTING.md")}
WRITTEN["CHANGELOG.md"] = (ROOT / "CHANGELOG.md").read_text()
ALL = {f"docs/{name}": text for name, text in MADE.items()} | WRITTEN
ROOMS = sorted({card.room for card in cards()})


# Cards = exports = files = rows ------------------------------------------------------------


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_exports_exactly_its_methods(room):
    package = importlib.import_module(f"parafree.{room}")
    members = {card.name: card for card in cards() if card.room == room}
    assert set(package.__all__) == set(members)
    assert all(getattr(package, name) is card.method for name, card in members.items())


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_file_of_a_room_holds_one_method(room):
    folder = ROOT / "src" / "parafree" / room
    files = {path.stem for path in folder.rglob("*.py") if not path.stem.startswith("_")}
    modules = [card.module.rpartition(".")[2] for card in cards() if card.room == room]
    assert sorted(modules) == sorted(files)


def test_the_table_has_one_row_for_each_card():
    rows = re.findall(r"^\| \[(\w+)\]\((\S+)\) \|", MADE["methods/index.md"], re.M)
    assert [name for name, _ in rows] == [card.name for card in cards()]
    assert all(f"methods/{page}" in MADE for _, page in rows)


@pytest.mark.parametrize("card", cards(), ids=lambda card: card.name)
def test_a_page_says_what_the_card_says(card):
    page = MADE[f"methods/{card.room}/{card.name}.md"]
    for text in (card.reference, *card.free_of, *card.needs):
        assert text in page
    assert "## Example" in page


def test_every_command_and_export_has_its_place():
    import parafree
    from parafree.cli.__main__ import app

    for command in app.registered_commands:
        assert f"## parafree {command.name}\n" in MADE["cli.md"]
    for name in parafree.__all__:
        assert f"## {name}\n" in MADE["api.md"]


def test_docstrings_become_markdown_without_leftovers():
    for name, text in MADE.items():
        prose = FENCE.sub("", text)
        assert not re.search(r":(class|func|meth|data|mod):`", prose), name
        assert "``" not in prose, name


# Links ------------------------------------------------------------------------------------


def anchors(text):
    """The anchors of a page's headings, made as MkDocs and other viewers make them."""
    titles = re.findall(r"^#+ (.+)$", FENCE.sub("", text), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", sorted(ALL))
def test_internal_links_lead_somewhere(page):
    for link in LINK.findall(FENCE.sub("", ALL[page])):
        if re.match(r"\w+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = os.path.normpath(Path(page).parent / path) if path else page
        assert target in ALL or (ROOT / target).exists(), f"{page}: {link}"
        if anchor and target in ALL:
            assert anchor in anchors(ALL[target]), f"{page}: {link}"


# Code -------------------------------------------------------------------------------------


def blocks(page):
    """The Python blocks of a page that are to be run.

    The comment before a block may say "not runnable: why", or "run: quick": the block gets a
    budget that does not depend on how busy this machine is, instead of its time.
    """
    found = []
    for match in BLOCK.finditer(ALL[page]):
        code, note = match["code"], (match["note"] or "").strip()
        if note == "run: quick":
            code = re.sub(r'time="\d+s"', "units=20", code)
        elif note:
            assert re.fullmatch(r"not runnable: .+", note), f"{page}: {note}"
            continue
        found.append(code)
    return found


def scripts(page):
    """Return a page's scripts; code that imports nothing goes on where the code above it ended."""
    found = []
    for code in blocks(page):
        if ">>>" in code:
            continue
        if found and not re.search(r"^(import|from) ", code, re.MULTILINE):
            found[-1] += "\n" + code
        else:
            found.append(code)
    return found


SCRIPTS = [
    pytest.param(code, id=f"{page}-{number}")
    for page in sorted(set(WRITTEN) - {"CONTRIBUTING.md"})
    for number, code in enumerate(scripts(page))
]
PROMPTS = [page for page in sorted(WRITTEN) if any(c.startswith(">>>") for c in blocks(page))]


@pytest.mark.parametrize("code", SCRIPTS)
def test_scripts_run_as_a_reader_would_run_them(code, tmp_path):
    file = tmp_path / "train.py"
    file.write_text(code)
    done = subprocess.run(
        [sys.executable, str(file)], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "{" in done.stdout  # the best configuration


@pytest.mark.parametrize("page", PROMPTS)
def test_prompts_print_what_the_page_says(page):
    text = "\n".join(code for code in blocks(page) if code.startswith(">>>"))
    test = doctest.DocTestParser().get_doctest(text, {}, page, page, 0)
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    assert doctest.DocTestRunner(optionflags=flags).run(test).failed == 0


def test_the_worked_example_works(monkeypatch, capsys):
    files = {code.split("\n", 1)[0].removeprefix("# "): code for code in blocks("CONTRIBUTING.md")}
    loaded = {}
    for path, code in files.items():
        name = path.removeprefix("src/").removesuffix(".py").replace("/", ".")
        loaded[name] = module = ModuleType(name)
        monkeypatch.setitem(sys.modules, name, module)
        exec(compile(code, path, "exec"), module.__dict__)
    method = loaded["parafree.tune.halton_sampler"]
    assert (method.card.name, method.card.room) == ("HaltonSampler", "tune")
    assert method.card.summary.startswith("Halton sampling")
    assert doctest.testmod(method).failed == 0
    test = loaded["tests.tune.test_halton_sampler"].test_law_every_cell_is_hit_once
    for arguments in test.pytestmark[0].args[1]:
        test(*arguments)
    claim = loaded["parafree.claims.halton_sampler"].claim
    assert claim.measure(True, print).holds
