"""Whose an experience is: the pseudonyms of a developer and a project.

What belongs here: the value that goes into the log beside experiences. What does not: names, which never
reach PostgreSQL, and how they become pseudonyms (`qe_core.privacy.pseudonyms`).
"""

import re
from dataclasses import dataclass

from qe_core.errors import PrivacyError

_PSEUDONYM = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Identity:
    """For whom a process works and on what, as pseudonyms.

    Attributes:
        developer: 32 hexadecimal digits; None where nobody said.
        project: the same.

    Raises:
        PrivacyError: something else was given, perhaps a name.
    """

    developer: str | None = None
    project: str | None = None

    def __post_init__(self) -> None:
        for kind, value in (("developer", self.developer), ("project", self.project)):
            if value is not None and not _PSEUDONYM.fullmatch(value):
                # The value may be a name, and messages end in logs.
                raise PrivacyError(
                    f"the {kind} of an identity is a pseudonym of 32 hexadecimal digits, not a name; "
                    "make it with qe_core.runtime.identity"
                )


NOBODY = Identity()
"""What belongs to nobody who was named."""
