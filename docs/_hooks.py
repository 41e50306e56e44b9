"""Makes the pages that nobody types: methods from their cards, the interface from its docstrings.

MkDocs calls ``on_config`` and ``on_files``. ``pages`` is what the tests look at.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

# The order of the menu. What exists and is not named here follows by name.
_ORDER = [
    "index.md",
    "trainables.md",
    "space.md",
    "api.md",
    "cli.md",
    "minimize.md",
    "optimisers.md",
    "methods/index.md",
    "architecture.md",
]
_TITLES = {
    "index.md": "Start",
    "trainables.md": "What can be tuned",
    "space.md": "The search space",
    "minimize.md": "Minimising a function",
    "optimisers.md": "Which optimiser?",
    "noknob.md": "Optimisers, judged",
    "bbob.md": "Black-box search, judged",
    "optim-speed.md": "Speed of optimisers",
    "blackbox-speed.md": "Speed of black-box search",
    "api.md": "Python",
    "cli.md": "Command line",
    "architecture.md": "Architecture",
    "bench.md": "Speed",
    "claims.md": "Claims",
    "glossary.md": "Glossary",
}
_SECTIONS = (
    "Args", "Returns", "Shapes", "Raises", "Cost", "Source", "Differs", "Example",
)  # fmt: skip
_WIDTH = 92


def on_config(config: Any) -> Any:
    """Build the menu from the pages that exist."""
    written = [str(p.relative_to(config.docs_dir)) for p in Path(config.docs_dir).rglob("*.md")]
    made = pages()
    names = sorted({*written, *made} - {name for name in made if name.startswith("methods/")})
    names.append("methods/index.md")
    names.sort(key=lambda name: _ORDER.index(name) if name in _ORDER else len(_ORDER))
    menu: list[Any] = []
    for name in names:
        if name == "methods/index.md":
            inside = [
                {_title(n): n} for n in sorted(made) if n.startswith("methods/") and n != name
            ]
            menu.append({"Methods": [{"All methods": name}, *inside]})
        else:
            menu.append({_TITLES.get(name, _title(name)): name})
    config.nav = menu
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that are made here."""
    from mkdocs.structure.files import File

    for name, text in pages().items():
        files.append(File.generated(config, name, content=text))
    return files


def pages() -> dict[str, str]:
    """Return every page that is made, by its path below ``docs/``."""
    from parafree.core.catalogue import cards

    made = {_page(card): method_page(card) for card in cards()}
    return made | {"methods/index.md": index_page(), "api.md": api_page(), "cli.md": cli_page()}


# Methods ----------------------------------------------------------------------------------


def index_page() -> str:
    """Return the table of all methods, room by room."""
    from parafree.core.catalogue import cards

    lines = ["# Methods", ""]
    rooms: dict[str, list[Any]] = {}
    for card in cards():
        rooms.setdefault(card.room, []).append(card)
    for room, members in rooms.items():
        about = inspect.getdoc(importlib.import_module(f"parafree.{room}")) or ""
        lines += [f"## {room}", "", about.splitlines()[0], ""]
        lines += ["| method | what it does | free of | paper |", "|---|---|---|---|"]
        for card in members:
            link = f"[{card.name}]({_page(card).removeprefix('methods/')})"
            free = ", ".join(sorted(card.free_of)) or "-"
            cells = [link, _cell(card.summary), _cell(free), _cell(_linked(card.paper))]
            lines.append("| " + " | ".join(cells) + " |")
        lines.append("")
    return "\n".join(lines)


def method_page(card: Any) -> str:
    """Return the page of one method."""
    facts = {
        "import": f"`from parafree.{card.room} import {card.name}`",
        "kind": card.contract,
        "paper": _linked(card.paper),
        "free of": ", ".join(sorted(card.free_of)) or "-",
        "needs": ", ".join(sorted(card.needs)) or "-",
        "checked against": card.reference,
    }
    lines = [f"# {card.name}", "", "|  |  |", "|---|---|"]
    lines += [f"| {name} | {_cell(value)} |" for name, value in facts.items()]
    lines += ["", _signature(card.name, card.method), "", _docstring(card.method, level=2)]
    return "\n".join(lines) + "\n"


def _page(card: Any) -> str:
    return f"methods/{card.room}/{card.name}.md"


# The Python interface and the command line ------------------------------------------------


def api_page() -> str:
    """Return the reference of what ``parafree`` itself exports."""
    import parafree

    lines = ["# Python", "", "What `import parafree` gives. Methods have [pages of their own]"]
    lines[-1] += "(methods/index.md)."
    for name in parafree.__all__:
        found = getattr(parafree, name)
        if inspect.ismodule(found):  # a room that can be called: show the function behind it
            found = getattr(importlib.import_module(f"parafree.study.{name}"), name)
        lines += ["", f"## {name}", "", _signature(f"parafree.{name}", found), ""]
        lines.append(_docstring(found, level=3))
        if inspect.isclass(found) and not dataclasses.is_dataclass(found):  # no plain record
            lines += _members(found)
    return "\n".join(lines) + "\n"


def _members(kind: type) -> list[str]:
    lines: list[str] = []
    for name, member in vars(kind).items():
        if name.startswith("_"):
            continue
        if isinstance(member, property):
            lines += ["", f"### {kind.__name__}.{name}", "", _docstring(member, level=4)]
        elif callable(member) or isinstance(member, classmethod | staticmethod):
            function = getattr(kind, name)
            title = f"{kind.__name__}.{name}"
            lines += ["", f"### {title}", "", _signature(title, function), ""]
            lines.append(_docstring(function, level=4))
    return lines


def cli_page() -> str:
    """Return the help of every command, as the commands print it."""
    from typer.main import get_command

    from parafree.cli.__main__ import app

    group: Any = get_command(app)
    lines = ["# Command line", "", *_help("parafree", group, None)]
    context = group.make_context("parafree", ["studies"], resilient_parsing=True)
    for name, command in group.commands.items():
        lines += ["", f"## parafree {name}", "", *_help(f"parafree {name}", command, context)]
    return "\n".join(lines) + "\n"


def _help(name: str, command: Any, parent: Any) -> Iterable[str]:
    info = name.rpartition(" ")[2]
    context = command.context_class(command, info_name=info, parent=parent, terminal_width=_WIDTH)
    return ["```text", command.get_help(context).rstrip(), "```"]


# Docstrings -------------------------------------------------------------------------------


def _docstring(thing: Any, level: int) -> str:
    """Turn a docstring with sections into Markdown; headings begin at ``level``."""
    text = inspect.getdoc(thing) or ""
    lines: list[str] = []
    blocks = re.split(rf"^({'|'.join(_SECTIONS)}):\n", text, flags=re.MULTILINE)
    lines.append(_prose(blocks[0]))
    for title, body in zip(blocks[1::2], blocks[2::2], strict=True):
        render: Callable[[str], str] = {
            "Args": _entries, "Raises": _entries, "Example": _example,
        }.get(title, _prose)  # fmt: skip
        lines += ["", f"{'#' * level} {title}", "", render(inspect.cleandoc(body))]
    return "\n".join(lines).strip()


def _entries(body: str) -> str:
    """Turn ``name: what it means`` into a list; further lines of an entry are indented."""
    entry = re.compile(r"^(\*{0,2}[\w.]+): ?(.*)$")
    lines = []
    for line in body.splitlines():
        match = entry.match(line)
        if match:
            lines.append(f"- `{match[1]}`: {match[2]}")
        else:
            lines.append(f"  {line.strip()}" if line.startswith(" ") else line)
    return _prose("\n".join(lines))


def _example(body: str) -> str:
    return f"```python\n{body}\n```"


def _prose(text: str) -> str:
    text = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", text)  # roles, as :class:`Space`
    text = re.sub(r"``([^`]+)``", r"`\1`", text)
    return _linked(text.strip())


def _linked(text: str) -> str:
    """Link the identifiers of papers."""
    text = re.sub(r"arXiv:(\d{4}\.\d{4,5})", r"[arXiv:\1](https://arxiv.org/abs/\1)", text)
    return re.sub(r"doi:(10\.\S+[\w)])", r"[doi:\1](https://doi.org/\1)", text)


def _signature(name: str, function: Any) -> str:
    """Return the signature in a code block, one argument a line where it is long."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return ""
    parameters = [
        p.replace(annotation=inspect.Parameter.empty)
        for p in signature.parameters.values()
        if p.name != "self"
    ]
    shown = [str(p) for p in parameters]
    stars = [p.kind for p in parameters]
    only = inspect.Parameter.KEYWORD_ONLY
    if only in stars and inspect.Parameter.VAR_POSITIONAL not in stars:
        shown.insert(stars.index(only), "*")
    line = f"{name}({', '.join(shown)})"
    if len(line) > _WIDTH:
        line = f"{name}(\n" + "".join(f"    {each},\n" for each in shown) + ")"
    return f"```python\n{line}\n```"


def _title(name: str) -> str:
    return Path(name).stem.replace("-", " ")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
