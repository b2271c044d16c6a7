"""Help texts whose examples keep their lines.

What belongs here: turning docstrings into help. What does not: the texts (each command's docstring).
"""

import re
from typing import Any

from typer.core import TyperCommand, TyperGroup

KEEP_LINES = "\b\n"
"""What tells the help formatter to leave a paragraph as it is."""

_INDENTED_PARAGRAPH = re.compile(r"(?<=\n\n)(?=[^\n]+:\n +\S)")


class Command(TyperCommand):
    """A command whose docstring may have indented paragraphs."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.help = with_kept_lines(self.help)


class Group(TyperGroup):
    """A group of commands whose docstring may have indented paragraphs."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.help = with_kept_lines(self.help)


def with_kept_lines(text: str | None) -> str | None:
    """Return a help text in which paragraphs with indented lines are not joined and wrapped."""
    return None if text is None else _INDENTED_PARAGRAPH.sub(KEEP_LINES, text)
