"""Pseudonyms of people, projects and databases, by a key that never leaves the machine.

What belongs here: names to pseudonyms. What does not: where the key is kept (`qe_core.runtime.identity`).

A plain digest of a name is no protection: names, paths and addresses can be guessed by the million and
compared. HMAC-SHA256 (RFC 2104, FIPS 198-1) under a secret key cannot be computed without the key. Every use
has a domain of its own, so that no pseudonym of one kind says anything about those of another.
"""

import hmac
import unicodedata
from datetime import UTC, date, datetime
from hashlib import sha256
from uuid import UUID

from qe_core.errors import PrivacyError

KEY_BYTES = 32
"""How long a key is at least: as long as the digest, so that guessing it is no easier."""

PSEUDONYM_DIGITS = 32
"""Hexadecimal digits of a pseudonym: 128 bits, so that no two of a team meet by accident."""

_DOMAIN = b"qe-fleet pseudonym 1"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC).date()


class Pseudonyms:
    """Turns names into pseudonyms.

    Args:
        key: at least 32 random bytes; whoever has it can test guesses of names.

    Raises:
        PrivacyError: the key is too short.
    """

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        if len(key) < KEY_BYTES:
            raise PrivacyError(
                f"a key for pseudonyms has at least {KEY_BYTES} random bytes, not {len(key)}; make one anew"
            )
        self._key = key

    def of(self, kind: str, name: str) -> str:
        """Return the pseudonym of a name, 32 hexadecimal digits.

        Spellings that differ only in case, in spaces around them or in how Unicode composes them are one
        name: an opt-out must not fail because of a capital letter.

        Args:
            kind: of what, for example developer or project.
            name: as people write it.

        Raises:
            PrivacyError: there is no name.
        """
        normalised = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold()).strip()
        if not normalised:
            raise PrivacyError(f"a {kind} needs a name to get a pseudonym; leave it out where there is none")
        return self._digest("name", kind, normalised)

    def origin(self, database_id: UUID, day: date, rotation_days: int) -> str:
        """Return what the team's server knows this database by for some days, 32 hexadecimal digits.

        Args:
            database_id: the database's.
            day: any day of the period, UTC.
            rotation_days: length of a period, at least 1; the next one has another pseudonym, and without the
                key nobody can tell that both are one database's.

        Raises:
            PrivacyError: a period has no day.
        """
        if rotation_days < 1:
            raise PrivacyError(
                f"a pseudonym lasts at least 1 day, not {rotation_days}; see team.pseudonym_days"
            )
        period = (day - _EPOCH).days // rotation_days
        return self._digest("origin", str(database_id), f"{period} of {rotation_days} days")

    def _digest(self, *parts: str) -> str:
        """Return the pseudonym of some texts; lengths keep ("a", "bc") apart from ("ab", "c")."""
        message = bytearray(_DOMAIN)
        for part in parts:
            encoded = part.encode("utf-8", "surrogatepass")
            message += len(encoded).to_bytes(8, "big") + encoded
        return hmac.new(self._key, bytes(message), sha256).hexdigest()[:PSEUDONYM_DIGITS]
