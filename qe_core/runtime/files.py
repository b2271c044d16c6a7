"""Files that appear whole or not at all.

What belongs here: writing beside the target and renaming. What does not: what is in the files.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from qe_core.errors import QEError


class OutputError(QEError):
    """A file the product was asked to write cannot be written."""


@contextmanager
def replaced_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; it takes its place when the block ends well.

    Raises:
        OutputError: the directory does not exist or cannot be written to.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        temporary.touch()
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written: {error.strerror}; choose a directory that exists and is yours"
        ) from error
    try:
        yield temporary
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole; its directory is made if missing.

    Raises:
        OutputError: it cannot be written there.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{path.parent} cannot be made: {error.strerror}; choose another --out") from error
    with replaced_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
