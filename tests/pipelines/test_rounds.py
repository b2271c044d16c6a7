"""A round for each line that asks for one."""

import json
from pathlib import Path

import dagster as dg
import pytest


def heard(capfd: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capfd.readouterr().out.splitlines() if line.startswith("{")]


def test_every_line_is_answered_by_a_run_of_tables_statistics_and_verdict(
    filled_url: str,
    dagster_home: Path,
    instance: dg.DagsterInstance,
    definitions: dg.Definitions,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    from qe_pipelines.rounds import main

    monkeypatch.setenv("DAGSTER_HOME", str(dagster_home))
    before = instance.get_runs_count()
    assert main(["--agent", "quality-gate"], ["again\n", "again\n"]) == 0
    said = heard(capfd)
    assert [line["finished"] for line in said if "finished" in line] == [True, True]
    # What follows from the agent's own experiences, and what all agents share.
    assert instance.get_runs_count() - before == 4
    assert main(["--agent", "nobody"], ["again\n"]) == 1
    assert "no agent is called 'nobody'" in str(heard(capfd)[-1]["error"])
