"""Where the project keeps things: the answers of the environment and the working directory.

What belongs here: reading the few variables that name places. What does not: settings of learning
(`loading`). No other module of the product reads the environment.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qe_core.errors import ConfigError

HOME_VARIABLE = "QE_HOME"
DATABASE_VARIABLE = "QE_DATABASE_URL"
WEBHOOK_VARIABLE = "QE_ALERT_WEBHOOK_URL"
TEAM_VARIABLE = "QE_TEAM_URL"
PRIVACY_KEY_VARIABLE = "QE_PRIVACY_KEY_FILE"
PRIVACY_KEY_NAME = "privacy.key"
SETTINGS_VARIABLE = "QE_SETTINGS"
SETTINGS_NAME = "learning.json"
DAGSTER_HOME_VARIABLE = "DAGSTER_HOME"
FILE_SUFFIX = "_FILE"
"""What is added to the name of a variable for a file that holds the value: secrets do not stand in it."""


def project_home() -> Path:
    """Return the directory of this project's private files: ``QE_HOME``, or ``.qe`` in the present one."""
    return Path(os.environ.get(HOME_VARIABLE) or ".qe").expanduser().resolve()


@contextmanager
def home_apart(home: Path) -> Iterator[None]:
    """Let this process and its children work in a home of its own, on an embedded server of its own.

    Args:
        home: the other home; whatever database, Dagster home, key or team was configured is not touched
            meanwhile.
    """
    team = (TEAM_VARIABLE, TEAM_VARIABLE + FILE_SUFFIX)
    hidden = (HOME_VARIABLE, DATABASE_VARIABLE, DAGSTER_HOME_VARIABLE, PRIVACY_KEY_VARIABLE, *team)
    before = {name: os.environ.pop(name) for name in hidden if name in os.environ}
    os.environ[HOME_VARIABLE] = str(home)
    try:
        yield
    finally:
        del os.environ[HOME_VARIABLE]
        os.environ.update(before)


def configured_database_url() -> str | None:
    """Return ``QE_DATABASE_URL``, or None where it is unset or blank: then the embedded server is used."""
    return os.environ.get(DATABASE_VARIABLE, "").strip() or None


def configured_webhook_url() -> str | None:
    """Return where alerts are posted to, or None where nobody asked for it. Its path may be a secret.

    ``QE_ALERT_WEBHOOK_URL`` is the URL itself, ``QE_ALERT_WEBHOOK_URL_FILE`` a file that holds it.

    Raises:
        ConfigError: the file cannot be read.
    """
    return _secret(WEBHOOK_VARIABLE)


def configured_team_url() -> str | None:
    """Return where the team's server is, with the login of this contributor, or None where none is named.

    ``QE_TEAM_URL`` is the URL itself, ``QE_TEAM_URL_FILE`` a file that holds it.

    Raises:
        ConfigError: the file cannot be read.
    """
    return _secret(TEAM_VARIABLE)


def privacy_key_file() -> tuple[Path, bool]:
    """Return where the key for pseudonyms is, and whether ``QE_PRIVACY_KEY_FILE`` names it.

    Otherwise it is ``privacy.key`` in the project's home.
    """
    named = os.environ.get(PRIVACY_KEY_VARIABLE, "").strip()
    path = Path(named).expanduser().absolute() if named else project_home() / PRIVACY_KEY_NAME
    return path, bool(named)


def settings_file() -> Path | None:
    """Return the settings file to read, or None where there is none.

    ``QE_SETTINGS`` names it (it is returned even if nothing is there, so that a typo is an error); otherwise
    it is ``learning.json`` in the working directory if that exists.
    """
    named = os.environ.get(SETTINGS_VARIABLE)
    if named:
        return Path(named).expanduser()
    found = Path(SETTINGS_NAME)
    return found if found.is_file() else None


def _secret(variable: str) -> str | None:
    """Return what a variable says, or what is in the file that its twin names."""
    file_variable = variable + FILE_SUFFIX
    value = os.environ.get(variable, "").strip()
    file = os.environ.get(file_variable, "").strip()
    if value or not file:
        return value or None
    try:
        return Path(file).expanduser().read_text(encoding="utf-8").strip() or None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"the file {file} that {file_variable} names cannot be read: {error}") from None
