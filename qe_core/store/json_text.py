"""JSON on its way into PostgreSQL.

What belongs here: turning values into text PostgreSQL takes. What does not: what is stored.
"""

import json
from typing import Any


def json_text(value: dict[str, Any]) -> str:
    """Return a value as JSON; numbers that are not finite, which JSON does not have, become null.

    Evidence for a rollback may well hold a figure that could not be computed: it must not stop the rollback.
    """
    return json.dumps(json.loads(json.dumps(value), parse_constant=lambda _: None))
