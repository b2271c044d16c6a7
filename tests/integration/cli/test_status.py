"""`qe status`, `qe config`, `qe db` and the schema: what people and scripts read."""

import json
import subprocess
import sys
from datetime import timedelta

import numpy as np
import pytest

from qe_core.config import load_settings
from qe_core.environments.catalogue import world_of
from qe_core.fleet import registry
from qe_core.runtime.training import TrainingPlan, simulated_play, train
from qe_core.store import Store
from tests.conftest import execute
from tests.integration.store.rows import START, experiences

KEYS = ["agent", "category", "experiences", "episodes", "updates", "states_visited", "convergence"]


def test_status_lists_every_agent_with_exactly_the_promised_keys(qe_here):
    outcome = qe_here("status", "--json")
    lines = json.loads(outcome.stdout)
    assert [line["agent"] for line in lines] == list(registry().names())
    assert len(lines) == 18
    assert all(list(line) == KEYS for line in lines)
    assert {line["convergence"] for line in lines} == {"insufficient data"}


async def test_status_counts_what_was_played(store, qe, database_url):
    contract = registry().get("quality-gate")
    plan = TrainingPlan("quality-gate", 30)
    report = await train(
        store, contract, plan, "simulated", simulated_play(world_of(contract), load_settings().values)
    )
    lines = {line["agent"]: line for line in json.loads((await qe("status", "--json")).stdout)}
    assert lines["quality-gate"]["experiences"] == report.experiences_new
    assert lines["quality-gate"]["episodes"] == 30
    table = (await qe("status")).stdout
    assert "quality-gate" in table
    assert f"{report.experiences_new:,}" in table


def test_settings_are_shown_with_their_origin(qe_here, tmp_path):
    (tmp_path / "learning.json").write_text('{"exploration": {"rate_initial": 0.5}}')
    outcome = qe_here("config", "show", "--json", QE_LEARNING__DISCOUNT="0.9")
    rows = {row["key"]: row for row in json.loads(outcome.stdout)}
    assert rows["learning.discount"] == {
        "key": "learning.discount",
        "value": 0.9,
        "origin": "environment QE_LEARNING__DISCOUNT",
    }
    assert rows["exploration.rate_initial"]["origin"] == "file learning.json"
    assert rows["exploration.rate_min"]["origin"] == "default"
    assert "QE_LEARNING__DISCOUNT" in qe_here("config", "show", QE_LEARNING__DISCOUNT="0.9").stdout


def test_the_settings_have_a_schema(qe_here):
    assert "learning" in json.loads(qe_here("config", "schema").stdout)["properties"]


def test_the_schema_names_every_column_agent_and_an_example(qe_here, tmp_path):
    text = qe_here("import", "--schema").stdout
    for words in ("next_state", "test-executor", "state.<feature>", "occurred_at", "Example rows"):
        assert words in text


@pytest.mark.parametrize("file_format", ["jsonl", "csv"])
def test_the_example_rows_import_as_they_are(qe_here, tmp_path, file_format):
    path = tmp_path / f"example.{file_format}"
    path.write_text(qe_here("import", "--schema", "--format", file_format).stdout)
    outcome = qe_here("import", str(path))
    assert outcome.returncode == 0, outcome.stderr
    assert "3 rows as import:example: 3 new" in outcome.stdout


def test_database_commands_with_a_server_of_ones_own(qe_here, database_url, empty_database_url):
    assert "QE_DATABASE_URL names postgresql://" in qe_here("db", "status").stdout
    assert qe_here("db", "url").stdout.strip() == database_url
    assert (
        qe_here("db", "url", "--database", "qe_dagster").stdout.strip().split("?")[0].endswith("/qe_dagster")
    )
    assert "is up to date" in qe_here("db", "migrate").stdout
    assert "schema empty ->" in qe_here("db", "migrate", QE_DATABASE_URL=empty_database_url).stdout


async def test_retention_summarises_what_is_older_than_the_setting(store, qe, database_url):
    for number, day in enumerate((1, 2)):
        await store.experiences.append(
            experiences(
                40, source=f"import:{number}", occurred_at=START + timedelta(days=day), step=np.arange(40)
            )
        )
    execute(database_url, "SELECT ensure_chunk_partition((now() AT TIME ZONE 'UTC')::date - 8)")
    execute(database_url, "UPDATE experience_chunks SET arrived_at = now() - interval '8 days'")
    told = await qe("db", "retention")
    assert "0 older experiences summarised, 0 kept for replay, 0 days removed" in told.stdout
    week = {"QE_RETENTION__EXPERIENCES_DAYS": "7", "QE_REPLAY__CAPACITY_TRANSITIONS": "32"}
    told = await qe("db", "retention", **week)
    assert "40 older experiences summarised, 40 kept for replay, 0 days removed" in told.stdout
    [line] = await store.retention.evidence()
    assert (line.live, line.summarised) == (40, 40)


def test_psql_takes_further_arguments(environment):
    command = [sys.executable, "-m", "qe_core.cli", "db", "psql", "-Atc", "select count(*) from q_tables"]
    outcome = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, timeout=60)
    assert outcome.stdout.strip() == "0"


def test_the_embedded_server_starts_stops_and_says_where_it_is(qe_here, server_directory, monkeypatch):
    monkeypatch.delenv("QE_DATABASE_URL")
    monkeypatch.setenv("QE_HOME", str(server_directory / "own home"))
    assert "not running" in qe_here("db", "status").stdout
    assert "running: postgresql://" in qe_here("db", "start").stdout
    try:
        assert "running, version 18." in qe_here("db", "status").stdout
        assert json.loads(qe_here("status", "--json").stdout)[0]["experiences"] == 0  # migrated in passing
    finally:
        assert "stopped" in qe_here("db", "stop").stdout
    assert "was not running" in qe_here("db", "stop").stdout


@pytest.mark.parametrize(
    "command",
    [
        (),
        ("demo",),
        ("report",),
        ("up",),
        ("status",),
        ("import",),
        ("export",),
        ("train",),
        ("checks",),
        ("alerts", "list"),
        ("alerts", "show"),
        ("alerts", "resolve"),
        ("workbench",),
        ("workbench", "record"),
        ("workbench", "verify"),
        ("workbench", "summary"),
        ("workbench", "compare"),
        ("config", "show"),
        ("db", "psql"),
    ],
    ids=" ".join,
)
def test_every_help_text_has_examples_on_lines_of_their_own(qe_here, command):
    outcome = qe_here(*command, "--help")
    assert outcome.returncode == 0
    lines = [line.strip() for line in outcome.stdout.splitlines()]
    if command not in ((), ("workbench",)):
        heading = next(index for index, line in enumerate(lines) if line in ("Example:", "Examples:"))
        assert lines[heading + 1].startswith(("qe ", "QE_", "psql "))
    assert "\b" not in outcome.stdout


def test_the_version_is_printed(qe_here):
    outcome = qe_here("--version")
    assert (outcome.returncode, outcome.stdout.split()[0]) == (0, "qe")


async def test_importing_again_says_that_nothing_is_new(store: Store, qe, tmp_path, good_row, write_lines):
    path = write_lines([good_row()])
    assert "1 rows as import:rows: 1 new" in (await qe("import", str(path))).stdout
    assert "0 new, 1 already there" in (await qe("import", str(path))).stdout
    (report,) = json.loads((await qe("import", str(path), "--json")).stdout)
    assert report["new"] == 0
