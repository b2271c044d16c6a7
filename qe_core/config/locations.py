"""Where the project keeps things: the answers of the environment and the working directory.

What belongs here: reading the few variables that name places. What does not: settings of learning
(`loading`). No other module of the product reads the environment.
"""

import os
from pathlib import Path

HOME_VARIABLE = "QE_HOME"
DATABASE_VARIABLE = "QE_DATABASE_URL"
SETTINGS_VARIABLE = "QE_SETTINGS"
SETTINGS_NAME = "learning.json"


def project_home() -> Path:
    """Return the directory of this project's private files: ``QE_HOME``, or ``.qe`` in the present one."""
    return Path(os.environ.get(HOME_VARIABLE) or ".qe").expanduser().resolve()


def configured_database_url() -> str | None:
    """Return ``QE_DATABASE_URL``, or None where it is unset or blank: then the embedded server is used."""
    return os.environ.get(DATABASE_VARIABLE, "").strip() or None


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
