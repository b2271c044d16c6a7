"""`qe experiment team`: what is printed, written and drawn."""

from math import inf
from pathlib import Path

import pytest
from typer.testing import CliRunner

from qe_core.cli.app import app
from qe_core.runtime.experiments import team_figures, team_picture, team_report

RUNNER = CliRunner()


def test_the_tables_are_printed_written_and_drawn(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for module in (team_figures, team_report, team_picture):
        monkeypatch.setattr(module, "EPSILONS", (8.0, inf))
    monkeypatch.setattr(team_figures, "TEAM_SIZES", (4,))
    monkeypatch.setattr(team_figures, "DEVELOPER_COUNTS", (3_000,))
    written, drawn = tmp_path / "tables.md", tmp_path / "team.png"
    asked = ["experiment", "team", "--agent", "quality-gate", "--worlds", "3"]
    done = RUNNER.invoke(app, [*asked, "--markdown", str(written), "--plot", str(drawn)])
    assert done.exit_code == 0, done.output
    tables = written.read_text(encoding="utf-8")
    assert "mean over quality-gate, worlds 3 to 3" in tables
    assert "| databases | ε = 8 | no noise |" in tables
    assert "| with a team of 4 |" in tables
    assert "no number is enough" in done.output
    assert drawn.read_bytes().startswith(b"\x89PNG")
