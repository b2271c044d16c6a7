"""Logins of members: passwords nobody chose, and the address that holds one.

What belongs here: pure functions. What does not: creating the roles (migration 0008, `curation`).
"""

import hmac
import secrets
from base64 import b64encode
from hashlib import pbkdf2_hmac, sha256
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from qe_core.errors import ConfigError

_ITERATIONS = 4_096
_KEPT = ("host", "port", "sslmode")
"""Parameters of the curator's own address that hold for everybody."""


def new_password() -> str:
    """Return 256 random bits in letters that need no quoting anywhere."""
    return secrets.token_urlsafe(32)


def scram_verifier(password: str, salt: bytes) -> str:
    """Return what PostgreSQL stores instead of a password, so that the password is never sent to it.

    ``SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey`` (RFC 5802, section 3; RFC 7677).

    Args:
        password: ASCII.
        salt: random bytes, 16 as PostgreSQL takes.
    """
    salted = pbkdf2_hmac("sha256", password.encode("ascii"), salt, _ITERATIONS)
    stored = sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    salt_text, stored_text, server_text = (b64encode(part).decode() for part in (salt, stored, server))
    return f"SCRAM-SHA-256${_ITERATIONS}:{salt_text}${stored_text}:{server_text}"


def member_url(curator_url: str, login: str, password: str, address: str | None) -> str:
    """Return the address with which a member comes to the database of ``curator_url``.

    Args:
        curator_url: how the curator comes there; nothing of its credentials is kept.
        login: the member's role.
        password: of it.
        address: ``host`` or ``host:port`` as members see it; None where they see what the curator sees.

    Raises:
        ConfigError: the address is none.
    """
    parts = urlsplit(curator_url)
    query = {key: value for key, value in parse_qsl(parts.query) if key in _KEPT}
    place = parts.netloc.rpartition("@")[2]
    if address is not None:
        try:
            given = urlsplit(f"//{address}")
            _ = given.port
        except ValueError as error:
            raise ConfigError(f"{address!r:.100} is no address: {error}; write host or host:port") from None
        if not given.hostname or given.netloc != address or "@" in address:
            raise ConfigError(f"{address!r:.100} is no address; write host or host:port")
        place = address
        query = {key: value for key, value in query.items() if key == "sslmode"}
    tail = f"?{urlencode(query, safe='/', quote_via=quote)}" if query else ""
    return f"postgresql://{quote(login, safe='')}:{quote(password, safe='')}@{place}{parts.path}{tail}"
