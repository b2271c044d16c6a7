"""Where each setting's value comes from, and what is wrong with it if it is wrong.

What belongs here: merging defaults, ``learning.json`` and the environment, origins, error messages. What does
not: the settings themselves (`settings`).
"""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeAlias, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails
from pydantic_settings import EnvSettingsSource, SettingsError

from qe_core.config.locations import settings_file
from qe_core.config.settings import Settings
from qe_core.errors import ConfigError, nearest

ENVIRONMENT_PREFIX = "QE_"
NESTING = "__"
Scalar: TypeAlias = bool | int | float | str
_KINDS = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}


@dataclass(frozen=True, slots=True)
class Origin:
    """Where one value came from.

    Attributes:
        kind: default, file or environment; a later one wins.
        name: the file's path or the variable's name; empty for a default.
    """

    kind: Literal["default", "file", "environment"]
    name: str = ""

    def __str__(self) -> str:
        return f"{self.kind} {self.name}".strip()


@dataclass(frozen=True, slots=True)
class LoadedSettings:
    """Effective settings and where each came from.

    Attributes:
        values: the validated settings.
        origins: an origin for every key of `flatten`, for example ``learning.discount``.
    """

    values: Settings
    origins: Mapping[str, Origin]


def load_settings(path: Path | None = None) -> LoadedSettings:
    """Return defaults overridden by the settings file, overridden by the environment.

    Args:
        path: the settings file; None for ``QE_SETTINGS`` or ``learning.json`` in the working directory, which
            is optional.

    Raises:
        ConfigError: names the file or variable, the key, the value and what is allowed.
    """
    file = path if path is not None else settings_file()
    from_file = {} if file is None else _read(file)
    from_environment = _environment()
    origins = {key: Origin("default") for key in flatten(Settings())}
    origins |= {key: Origin("file", str(file)) for key, _ in _leaves(from_file)}
    origins |= {key: Origin("environment", _variable(key)) for key, _ in _leaves(from_environment)}
    try:
        values = Settings.model_validate(_merge(from_file, from_environment))
    except ValidationError as error:
        lines = [_explain(detail, origins) for detail in error.errors()]
        raise ConfigError("\n".join(lines)) from None
    return LoadedSettings(values, MappingProxyType({key: origins[key] for key in flatten(values)}))


def flatten(settings: Settings) -> dict[str, Scalar]:
    """Return every setting by its dotted key, in the order of declaration."""
    return dict(_leaves(settings.model_dump()))


def settings_schema() -> dict[str, Any]:
    """Return the JSON schema of ``learning.json``, with descriptions, ranges and defaults."""
    return Settings.model_json_schema()


def _read(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"), object_pairs_hook=_unique_keys)
    except FileNotFoundError:
        raise ConfigError(f"settings file {file} does not exist; create it or unset QE_SETTINGS") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"settings file {file} cannot be read: {error}") from None
    except json.JSONDecodeError as error:
        raise ConfigError(
            f"settings file {file} is not JSON: {error.msg} at line {error.lineno}, column {error.colno}"
        ) from None
    except ValueError as error:
        raise ConfigError(f"settings file {file}: {error}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"settings file {file} must hold one JSON object of sections, not {content!r:.40}")
    return content


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    twice = sorted({key for key in keys if keys.count(key) > 1})
    if twice:
        raise ValueError(f"key {twice[0]!r} occurs twice in one object; keep one of them")
    return dict(pairs)


def _environment() -> dict[str, Any]:
    sections = tuple(Settings.model_fields)
    for variable in sorted(os.environ):
        head, nesting, _ = variable.upper().removeprefix(ENVIRONMENT_PREFIX).partition(NESTING)
        is_ours = variable.upper().startswith(ENVIRONMENT_PREFIX) and nesting
        if is_ours and head.lower() not in sections:
            raise ConfigError(
                f"environment variable {variable}: {head.lower()!r} is not a section of the settings; "
                f"{nearest(head.lower(), sections)}"
            )
    source = EnvSettingsSource(
        Settings, case_sensitive=False, env_prefix=ENVIRONMENT_PREFIX, env_nested_delimiter=NESTING
    )
    try:
        return source()
    except SettingsError:
        whole = [
            name for name in os.environ if name.upper().removeprefix(ENVIRONMENT_PREFIX).lower() in sections
        ]
        raise ConfigError(
            f"environment variable {' or '.join(whole)} is not JSON; it stands for a whole section, "
            f"single settings are named like {_variable('learning.discount')}"
        ) from None


def _variable(key: str) -> str:
    return ENVIRONMENT_PREFIX + key.replace(".", NESTING).upper()


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(value, dict) and isinstance(below, dict):
            merged[key] = _merge(below, value)
        else:
            merged[key] = value
    return merged


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Scalar]]:
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _explain(detail: ErrorDetails, origins: Mapping[str, Origin]) -> str:
    key = ".".join(str(part) for part in detail["loc"])
    field, siblings = _declared(detail["loc"])
    origin = origins.get(key) or next(
        (o for k, o in origins.items() if k.startswith(key + ".") and o.name), None
    )
    where = f"{origin}: " if origin is not None and origin.name else ""
    if detail["type"] == "extra_forbidden":
        return f"{where}{key} is not a setting; {nearest(str(detail['loc'][-1]), siblings)}"
    if detail["type"] == "model_type":
        return f"{where}{key} = {detail['input']!r:.60} must be an object with the keys {', '.join(siblings)}"
    if detail["type"] == "value_error":
        shown = "" if isinstance(detail["input"], Mapping | BaseModel) else f" = {detail['input']!r}"
        return f"{where}{key}{shown}: {detail['msg'].removeprefix('Value error, ')}"
    return f"{where}{key} = {detail['input']!r:.60} is not allowed; {_allowed(field)}"


def _declared(location: tuple[str | int, ...]) -> tuple[FieldInfo | None, tuple[str, ...]]:
    model: type[BaseModel] = Settings
    field: FieldInfo | None = None
    siblings = tuple(model.model_fields)
    for part in location:
        siblings = tuple(model.model_fields)
        field = model.model_fields.get(str(part))
        inner = field.annotation if field is not None else None
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            model = inner
            siblings = tuple(model.model_fields) if part == location[-1] else siblings
    return field, siblings


def _allowed(field: FieldInfo | None) -> str:
    if field is None:
        return "see the list of settings"
    options = get_args(field.annotation)
    if options:
        return "one of " + ", ".join(repr(option) for option in options)
    bounds = {
        name: getattr(rule, name)
        for rule in field.metadata
        for name in ("ge", "gt", "le", "lt")
        if hasattr(rule, name)
    }
    kind = next((words for of, words in _KINDS.items() if field.annotation is of), "a value")
    words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    limits = " and ".join(f"{words[name]} {bound:g}" for name, bound in bounds.items())
    return f"it must be {kind} {limits}".strip()
