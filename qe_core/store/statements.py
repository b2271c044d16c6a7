"""Every SQL statement the store sends, by name.

What belongs here: reading the files of ``sql/``. What does not: SQL itself.
"""

import re
from collections.abc import Mapping
from importlib.resources import files
from types import MappingProxyType

from qe_core.errors import StoreError

_HEADER = re.compile(r"^-- name: (?P<name>[a-z][a-z0-9_]*)\n-- (?P<purpose>\S.*)\n", re.MULTILINE)


def parse_statements(text: str, origin: str) -> dict[str, str]:
    """Return the statements of one file by name.

    Each starts with a line ``-- name: the_name`` and one comment line that says what it answers or does.

    Args:
        text: the file's content.
        origin: the file's name, for messages.

    Raises:
        StoreError: text before the first name, a statement without purpose or body, or a name used twice.
    """
    headers = list(_HEADER.finditer(text))
    leading = text[: headers[0].start()] if headers else text
    if leading.strip() or len(headers) != text.count("-- name:"):
        raise StoreError(f"{origin}: every statement needs a name line and one line of purpose")
    ends = [header.start() for header in headers[1:]] + [len(text)]
    statements: dict[str, str] = {}
    for header, end in zip(headers, ends, strict=True):
        name, body = header["name"], text[header.end() : end].strip().rstrip(";")
        if not body or name in statements:
            raise StoreError(f"{origin}: statement {name} is empty or occurs twice")
        statements[name] = f"-- {name}\n{body}"
    return statements


def load_statements() -> Mapping[str, str]:
    """Return the statements of all files below ``sql/``; names are unique across files."""
    found: dict[str, str] = {}
    for file in sorted(files("qe_core.store").joinpath("sql").iterdir(), key=lambda entry: entry.name):
        if file.name.endswith(".sql"):
            statements = parse_statements(file.read_text(encoding="utf-8"), file.name)
            if twice := statements.keys() & found.keys():
                raise StoreError(f"{file.name}: statements {sorted(twice)} exist in another file already")
            found |= statements
    return MappingProxyType(found)


STATEMENTS = load_statements()
"""All statements; the name leads each text, so that it shows in the server's log and statistics."""
