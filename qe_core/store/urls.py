"""PostgreSQL addresses: checking, rewriting and showing them without their secrets.

What belongs here: pure functions on URLs. What does not: opening connections (`connection`).
"""

from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, quote, unquote, urlencode, urlsplit

from qe_core.errors import ConfigError

EXAMPLE = "postgresql://user:password@host:5432/qe"
_SCHEMES = ("postgresql", "postgres")


def checked_url(database_url: str) -> str:
    """Return the URL in the form every driver accepts, scheme ``postgresql``.

    Raises:
        ConfigError: it is no URL, has another scheme, or lacks a host or the database's name.
    """
    if "://" not in database_url:
        raise ConfigError(f"the database URL {database_url!r:.80} is not a URL; write it like {EXAMPLE}")
    scheme, _, _ = database_url.partition("://")
    if scheme not in _SCHEMES:
        raise ConfigError(
            f"the database URL has scheme {scheme!r}; only PostgreSQL is supported, write it like {EXAMPLE}"
        )
    try:
        parts = urlsplit(database_url)
        _ = parts.port
    except ValueError as error:
        raise ConfigError(f"the database URL cannot be read: {error}; write it like {EXAMPLE}") from None
    query = dict(parse_qsl(parts.query))
    if not parts.hostname and "host" not in query:
        raise ConfigError(f"the database URL names no host; write it like {EXAMPLE}")
    if not parts.path.strip("/"):
        raise ConfigError(f"the database URL names no database; end it with one, like {EXAMPLE}")
    return _joined(parts._replace(scheme="postgresql"))


def socket_url(socket_dir: Path, user: str, database: str, port: int = 5432) -> str:
    """Return the URL of a database behind a Unix socket."""
    query = urlencode({"host": str(socket_dir), "port": port}, safe="/", quote_via=quote)
    return f"postgresql://{user}@/{quote(database, safe='')}?{query}"


def with_database(database_url: str, database: str) -> str:
    """Return the URL of another database on the same server."""
    return _joined(urlsplit(checked_url(database_url))._replace(path="/" + quote(database, safe="")))


def database_name(database_url: str) -> str:
    """Return the name of the database a URL points to."""
    return unquote(urlsplit(checked_url(database_url)).path.strip("/"))


def shown(database_url: str) -> str:
    """Return the URL with its password blotted out, for messages and logs."""
    parts = urlsplit(database_url)
    credentials, at, host = parts.netloc.rpartition("@")
    user, colon, _ = credentials.partition(":")
    query = urlencode(
        [(key, "***" if "pass" in key else value) for key, value in parse_qsl(parts.query)],
        safe="/*",
        quote_via=quote,
    )
    return _joined(parts._replace(netloc=f"{user}{colon and ':***'}{at}{host}", query=query))


def _joined(parts: SplitResult) -> str:
    # urlunsplit drops the slashes of an empty host, and the drivers insist on them.
    query = f"?{parts.query}" if parts.query else ""
    return f"{parts.scheme}://{parts.netloc}{parts.path}{query}"
