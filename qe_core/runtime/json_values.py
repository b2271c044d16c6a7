"""Reports and figures as JSON, for the database, files and `--json`.

What belongs here: the conversion. What does not: which figures are told.
"""

import math
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from datetime import date, timedelta
from enum import Enum
from typing import Any
from uuid import UUID

from pydantic import BaseModel


def as_json(value: Any) -> Any:
    """Return figures as JSON values: times in ISO 8601, durations in seconds, None for what is not finite."""
    match value:
        case float():
            return value if math.isfinite(value) else None
        case Enum():
            return value.value
        case date():  # and datetime, which is one
            return value.isoformat()
        case UUID():
            return str(value)
        case BaseModel():
            return value.model_dump(mode="json")
        case timedelta():
            return value.total_seconds()
        case Mapping():
            return {str(as_json(name)): as_json(one) for name, one in value.items()}
        case list() | tuple() | frozenset():
            return [as_json(one) for one in value]
        case _ if is_dataclass(value) and not isinstance(value, type):
            return as_json(asdict(value))
        case _:
            return value
