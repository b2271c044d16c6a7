"""Dagster's home: what is written, how often, and what is said when it cannot be."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dagster as dg
import pytest
import yaml

from qe_core.store.server import EmbeddedServer
from qe_pipelines.home import dagster_settings, main, prepare_dagster_home


def test_home_keeps_everything_in_postgresql_and_is_for_its_owner_alone(
    dagster_home: Path, instance: dg.DagsterInstance
) -> None:
    file = dagster_home / "dagster.yaml"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    settings = yaml.safe_load(file.read_text())
    assert "/qe_dagster?" in settings["storage"]["postgres"]["postgres_url"]
    assert type(instance.event_log_storage).__module__.startswith("dagster_postgres")
    assert type(instance.run_storage).__module__.startswith("dagster_postgres")
    assert type(instance.schedule_storage).__module__.startswith("dagster_postgres")


def test_settings_keep_quiet_free_slots_and_retry_crashed_runs(
    instance: dg.DagsterInstance,
) -> None:
    assert not instance.telemetry_enabled
    assert not instance.nux_enabled
    assert instance.run_monitoring_enabled
    assert instance.run_retries_enabled
    settings = dagster_settings("postgresql://host/qe_dagster")
    assert settings["run_monitoring"]["free_slots_after_run_end_seconds"] == 60
    assert settings["run_retries"] == {
        "enabled": True,
        "max_retries": 2,
        "retry_on_asset_or_op_failure": False,
    }


def test_preparing_again_and_at_once_is_harmless(dagster_home: Path, postgres_server: EmbeddedServer) -> None:
    before = (dagster_home / "dagster.yaml").stat()
    with ThreadPoolExecutor(2) as pool:
        url = postgres_server.url("qe_template")
        homes = list(pool.map(lambda _: prepare_dagster_home(dagster_home, url), range(2)))
    assert homes == [dagster_home, dagster_home]
    assert (dagster_home / "dagster.yaml").stat().st_mtime_ns == before.st_mtime_ns
    assert [path.name for path in dagster_home.glob(".dagster.yaml*")] == []


def test_command_prints_the_home(
    tmp_path: Path, postgres_server: EmbeddedServer, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "a home with spaces"
    assert main(["--home", str(home), "--database-url", postgres_server.url("qe_template")]) == 0
    assert capsys.readouterr().out == f"{home}\n"
    assert (home / "dagster.yaml").exists()


def test_command_says_what_is_wrong_with_a_database_that_is_not_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = f"postgresql://qe@/qe?host={tmp_path}"
    assert main(["--home", str(tmp_path / "home"), "--database-url", missing]) == 1
    assert "QE_DATABASE_URL" in capsys.readouterr().err


def test_default_home_follows_the_variable_and_else_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qe_pipelines.home import default_home

    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    assert default_home() == tmp_path
    monkeypatch.delenv("DAGSTER_HOME")
    monkeypatch.setenv("QE_HOME", str(tmp_path / "project"))
    assert default_home() == tmp_path / "project" / "dagster"
