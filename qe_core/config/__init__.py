"""Settings and places: the only part of the product that reads the environment or the settings file.

What belongs here: typed settings, where their values come from, where the project keeps its files. What does
not: defaults hidden in other modules, secrets in files.
"""

from qe_core.config.loading import LoadedSettings, Origin, flatten, load_settings, settings_schema
from qe_core.config.locations import (
    configured_database_url,
    configured_team_url,
    configured_webhook_url,
    home_apart,
    privacy_key_file,
    project_home,
    settings_file,
)
from qe_core.config.settings import Settings

__all__ = [
    "LoadedSettings",
    "Origin",
    "Settings",
    "configured_database_url",
    "configured_team_url",
    "configured_webhook_url",
    "flatten",
    "home_apart",
    "load_settings",
    "privacy_key_file",
    "project_home",
    "settings_file",
    "settings_schema",
]
