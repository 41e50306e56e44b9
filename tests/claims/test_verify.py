"""`parafree verify`: what was measured is shown and kept, also when the rest never comes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from parafree.claims import run
from parafree.claims._claim import Claim, Measurement, Result
from parafree.cli.__main__ import app


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Claims take no time, and the user presses Ctrl-C during the third."""
    begun: list[str] = []

    def measure(claim: Claim, *, fast: bool = False, progress: Any = None) -> Result:
        begun.append(claim.name)
        if len(begun) == 3:
            raise KeyboardInterrupt
        found = Measurement({}, "what was seen", len(begun) == 1, "why")
        return Result(claim, found, fast, 2.0, "2026-01-01", {})

    monkeypatch.setattr(run, "measure", measure)


@pytest.mark.usefixtures("measured")
def test_ctrl_c_loses_nothing(tmp_path: Path) -> None:
    names = [claim.name for claim in run.select([], "optim")]
    page = tmp_path / "claims.md"
    result = CliRunner().invoke(app, ["verify", "--room", "optim", "--write", str(page)])
    assert result.exit_code == 130
    assert f"{names[0]}: holds, 2 s, 1 of {len(names)}" in result.stderr
    assert f"{names[1]}: does NOT hold" in result.stderr
    assert f"stopped after 2 of {len(names)} claims" in result.stderr
    kept = json.loads(page.with_suffix(".json").read_text())
    assert [each["name"] for each in kept] == names[:2]
    assert names[0] in result.stdout


@pytest.mark.usefixtures("measured")
def test_json_alone_reaches_standard_output() -> None:
    result = CliRunner().invoke(app, ["verify", "--room", "optim", "--json"])
    assert result.exit_code == 130
    assert len(json.loads(result.stdout)) == 2
    assert not result.stderr
