"""Dagster's home: where it keeps its settings, with all of its records in PostgreSQL.

What belongs here: writing ``dagster.yaml`` and creating the tables behind it; run it as
``python -m qe_pipelines.home``. What does not: the definitions Dagster loads, and the product's own database.
"""

import argparse
import asyncio
import os
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import yaml

from qe_core.config import project_home
from qe_core.errors import QEError
from qe_core.store import migrate
from qe_core.store.server.project import DAGSTER_DATABASE, database_url
from qe_core.store.urls import with_database


def dagster_settings(storage_url: str) -> dict[str, Any]:
    """Return the content of ``dagster.yaml``.

    Args:
        storage_url: the PostgreSQL URL of Dagster's own database.
    """
    return {
        "storage": {"postgres": {"postgres_url": storage_url}},
        "telemetry": {"enabled": False},
        "nux": {"enabled": False},
        "concurrency": {"runs": {"max_concurrent_runs": 2}},
        "run_monitoring": {
            "enabled": True,
            "start_timeout_seconds": 180,
            "poll_interval_seconds": 60,
            "free_slots_after_run_end_seconds": 60,
        },
        "run_retries": {"enabled": True, "max_retries": 2, "retry_on_asset_or_op_failure": False},
        "schedules": {"use_threads": True, "num_workers": 2},
        "sensors": {"use_threads": True, "num_workers": 2},
        "retention": {
            "schedule": {"purge_after_days": 30},
            "sensor": {"purge_after_days": {"skipped": 2, "success": 30, "failure": 30, "started": 2}},
        },
        "freshness": {"enabled": True},
    }


def default_home() -> Path:
    """Return ``DAGSTER_HOME``, or else this project's own."""
    configured = os.environ.get("DAGSTER_HOME")
    return Path(configured) if configured else project_home() / "dagster"


def prepare_dagster_home(home: Path, url: str) -> Path:
    """Return ``home``, ready for Dagster; harmless to repeat and to run from two processes at once.

    The file may name a password, so only its owner can read it. The product's database is brought up to date
    in passing, because whoever opens Dagster wants both.

    Args:
        home: the directory to use as ``DAGSTER_HOME``, created if missing.
        url: the product's database; Dagster's own is its neighbour in the same server.

    Raises:
        StoreError: the server cannot be reached or the databases cannot be created.
    """
    asyncio.run(migrate(url))
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    content = yaml.safe_dump(dagster_settings(with_database(url, DAGSTER_DATABASE)), sort_keys=False)
    target = home / "dagster.yaml"
    if not target.exists() or target.read_text(encoding="utf-8") != content:
        draft = home / f".dagster.yaml.{os.getpid()}"
        draft.touch(mode=0o600)
        draft.write_text(content, encoding="utf-8")
        draft.replace(target)
    with dg.DagsterInstance.from_config(str(home)):
        pass
    return home


def main(arguments: list[str] | None = None) -> int:
    """Prepare the home and print its path; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m qe_pipelines.home", description=__doc__)
    parser.add_argument("--home", type=Path, default=default_home(), help="directory to prepare")
    parser.add_argument("--database-url", default=None, help="the product's database")
    options = parser.parse_args(arguments)
    try:
        url = options.database_url or database_url()
        home = prepare_dagster_home(options.home.expanduser().resolve(), url)
    except QEError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"{home}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
