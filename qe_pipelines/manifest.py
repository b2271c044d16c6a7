"""The dbt project and its manifest, which Dagster reads to know the views.

What belongs here: where the project is, how dbt is told about the database, and preparing the manifest:
parsing takes seconds, so it is done once for each content of the project and not at every import; run it as
``python -m qe_pipelines.manifest``. What does not: running dbt inside the graph (`defs.reporting`).
"""

import hashlib
import os
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import parse_qsl, unquote, urlsplit

from qe_core.config import project_home
from qe_core.errors import ConfigError
from qe_core.store.urls import checked_url

PROJECT = Path(__file__).resolve().parents[1] / "dbt_views"
"""The dbt project, beside the package."""

DBT = Path(sys.executable).parent / "dbt"
"""The dbt of this Python's environment, whether or not that is active."""

PARTIAL_PARSE = "partial_parse.msgpack"
"""What dbt keeps of a parse to save the next one."""


def dbt_environment(database_url: str) -> dict[str, str]:
    """Return the variables that lead dbt to a database; ``profiles.yml`` reads them.

    Args:
        database_url: a PostgreSQL URL; a Unix socket's directory may be its host.

    Raises:
        ConfigError: it is not a PostgreSQL URL.
    """
    parts = urlsplit(checked_url(database_url))
    query = dict(parse_qsl(parts.query))
    return {
        "QE_DBT_HOST": query.get("host") or parts.hostname or "localhost",
        "QE_DBT_PORT": str(query.get("port") or parts.port or 5432),
        "QE_DBT_USER": unquote(query.get("user") or parts.username or ""),
        "DBT_ENV_SECRET_QE_PASSWORD": unquote(query.get("password") or parts.password or ""),
        "QE_DBT_DATABASE": unquote(parts.path.strip("/")),
        "QE_DBT_SSLMODE": query.get("sslmode", "prefer"),
    }


def dbt_cache() -> Path:
    """Return the directory for what dbt needs between runs, inside this project's home."""
    return project_home() / "dbt"


def project_digest(project: Path = PROJECT) -> str:
    """Return a digest, 16 hexadecimal digits, of every file of the project that decides the manifest."""
    digest = hashlib.blake2b(digest_size=8)
    for file in sorted(project.rglob("*")):
        if file.suffix in {".sql", ".yml"} and not {"target", "logs"} & set(file.relative_to(project).parts):
            digest.update(str(file.relative_to(project)).encode() + b"\0" + file.read_bytes() + b"\0")
    return digest.hexdigest()


def prepared_manifest(project: Path = PROJECT) -> Path:
    """Return the manifest of the project as it is now, parsing it only if that was never done before.

    Two processes may do so at once: each writes a file of its own and moves it into place.

    Raises:
        ConfigError: the project is not there, or dbt does not accept it; the message carries dbt's words.
    """
    if not (project / "dbt_project.yml").is_file():
        raise ConfigError(
            f"there is no dbt project in {project}; run from a checkout of the project, installed with "
            "`pip install --editable .`"
        )
    cache = dbt_cache()
    manifest = cache / f"manifest-{project_digest(project)}.json"
    if manifest.exists():
        return manifest
    cache.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=cache) as target:
        parse = subprocess.run(  # noqa: S603 - our own interpreter's dbt with fixed arguments
            [DBT, "--no-use-colors", "parse", "--project-dir", project, "--profiles-dir", project],
            env=os.environ | {"DBT_TARGET_PATH": target, "DBT_LOG_PATH": target},
            capture_output=True,
            text=True,
            check=False,
        )
        if parse.returncode != 0:
            raise ConfigError(f"dbt cannot read {project}:\n{parse.stdout.strip()}\n{parse.stderr.strip()}")
        for stale in cache.glob("manifest-*.json"):
            stale.unlink(missing_ok=True)
        (Path(target) / "manifest.json").replace(manifest)
    return manifest


if __name__ == "__main__":
    sys.stdout.write(f"{prepared_manifest()}\n")
