"""The dbt project: its address in the environment, and its manifest, parsed once for each content."""

import shutil
from pathlib import Path

import pytest

from qe_core.errors import ConfigError
from qe_pipelines.manifest import PROJECT, dbt_environment, prepared_manifest, project_digest


def test_socket_url_leads_dbt_to_the_directory() -> None:
    found = dbt_environment("postgresql://qe@/qe?host=/run/a%20place&port=5433")
    assert found == {
        "QE_DBT_HOST": "/run/a place",
        "QE_DBT_PORT": "5433",
        "QE_DBT_USER": "qe",
        "DBT_ENV_SECRET_QE_PASSWORD": "",
        "QE_DBT_DATABASE": "qe",
        "QE_DBT_SSLMODE": "prefer",
    }


def test_network_url_leads_dbt_to_the_host_with_the_password_unquoted() -> None:
    found = dbt_environment("postgresql://ann:p%40ss@db.example:6000/learning?sslmode=require")
    assert found["QE_DBT_HOST"] == "db.example"
    assert found["QE_DBT_PORT"] == "6000"
    assert found["DBT_ENV_SECRET_QE_PASSWORD"] == "p@ss"
    assert found["QE_DBT_DATABASE"] == "learning"
    assert found["QE_DBT_SSLMODE"] == "require"


def test_digest_follows_the_content_and_not_what_dbt_leaves_behind(tmp_path: Path) -> None:
    project = tmp_path / "project"
    shutil.copytree(PROJECT, project, ignore=shutil.ignore_patterns("target", "logs"))
    before = project_digest(project)
    (project / "target").mkdir()
    (project / "target" / "left.yml").write_text("left: behind")
    assert project_digest(project) == before == project_digest(PROJECT)
    model = project / "models" / "marts" / "convergence.sql"
    model.write_text(model.read_text() + "\n-- changed")
    assert project_digest(project) != before


def test_manifest_is_parsed_once(
    project_home: Path, definitions: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QE_HOME", str(project_home))
    [kept] = (project_home / "dbt").glob("manifest-*.json")
    before = kept.stat().st_mtime_ns
    assert prepared_manifest() == kept
    assert kept.stat().st_mtime_ns == before


def test_missing_project_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="run from a checkout"):
        prepared_manifest(tmp_path)


def test_broken_project_is_an_error_in_dbts_own_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QE_HOME", str(tmp_path / "home"))
    project = tmp_path / "project"
    project.mkdir()
    (project / "dbt_project.yml").write_text("name: 1\nprofile: [")
    with pytest.raises(ConfigError, match="dbt cannot read"):
        prepared_manifest(project)
