"""`qe experiment`: arguments, what is printed and what is written."""

import json
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from qe_core.cli.app import app
from qe_core.cli.experiments import numbers_in

RUNNER = CliRunner()


@pytest.mark.parametrize(
    ("text", "numbers"), [("0-4", [0, 1, 2, 3, 4]), ("7", [7]), ("5,0-1, 1", [0, 1, 5]), ("3-3", [3])]
)
def test_numbers_are_read_as_ranges_and_lists(text: str, numbers: list[int]) -> None:
    assert numbers_in(text) == numbers


@pytest.mark.parametrize("text", ["", "a", "1-b", "-3", "4-2", "1,,2"])
def test_what_names_no_numbers_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        numbers_in(text)


def test_the_table_compares_with_optimum_chance_and_the_best_action(tmp_path: Path) -> None:
    written, drawn = tmp_path / "curves.json", tmp_path / "curves.png"
    asked = ["experiment", "convergence", "--agents", "quality-gate", "--worlds", "0", "--seeds", "2"]
    done = RUNNER.invoke(app, [*asked, "--episodes", "30", "--json", str(written), "--plot", str(drawn)])
    assert done.exit_code == 0, done.output
    assert "quality-gate" in done.output
    assert "2 sessions do" in done.output
    (curve,) = json.loads(written.read_text())
    assert curve["checkpoints"] == [10, 30]
    assert curve["optimum"] > curve["best_fixed"] > curve["random"]
    assert drawn.read_bytes().startswith(b"\x89PNG")


def test_rules_can_be_compared(tmp_path: Path) -> None:
    found = {}
    for rule in ("pooled", "matching", "epsilon_greedy"):
        path = tmp_path / f"{rule}.json"
        asked = ["experiment", "convergence", "--agent", "quality-gate", "--worlds", "0", "--seeds", "1"]
        done = RUNNER.invoke(app, [*asked, "--episodes", "40", "--rule", rule, "--json", str(path)])
        assert done.exit_code == 0, done.output
        found[rule] = json.loads(path.read_text())[0]["shares"]
    assert len({str(shares) for shares in found.values()}) == 3
