"""Whose experiences a process records: the names of the settings as pseudonyms, and the key that makes them.

What belongs here: the key's file, and names to identities. What does not: how a pseudonym is computed
(`qe_core.privacy.pseudonyms`), what is stored (`qe_core.store.identity`).

The key stays on the machine. Whoever has it can test guesses of names against the pseudonyms in the database;
without it nobody can. Whoever loses it gets new pseudonyms: opting out again is needed then.
"""

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from qe_core.config import Settings, privacy_key_file
from qe_core.errors import ConfigError, PrivacyError
from qe_core.privacy.pseudonyms import KEY_BYTES, Pseudonyms
from qe_core.store.identity import NOBODY, Identity

_LONGEST_KEY = 4_096


class KeyFileError(PrivacyError):
    """The file with the key for pseudonyms cannot be used."""


def process_pseudonyms() -> Pseudonyms:
    """Return the pseudonyms of this machine, by its key; the key is made on first use.

    Raises:
        KeyFileError: as `pseudonyms_at`, or ``QE_PRIVACY_KEY_FILE`` names a file that is not there.
    """
    path, is_named = privacy_key_file()
    if is_named and not path.exists():
        # A new key in the wrong place would silently give everybody another pseudonym.
        raise KeyFileError(
            f"the key {path} that QE_PRIVACY_KEY_FILE names is not there; correct the name, or make a key: "
            f"(umask 077; head -c {KEY_BYTES} /dev/urandom > FILE)"
        )
    return pseudonyms_at(path)


def pseudonyms_at(path: Path) -> Pseudonyms:
    """Return the pseudonyms by the key in a file; a missing one is made, once, however many processes ask.

    Raises:
        KeyFileError: it cannot be made or read, is too short or too long, or others can reach it.
    """
    try:
        if not path.exists():
            _make(path)
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            key = file.read(_LONGEST_KEY + 1)
    except OSError as error:
        raise KeyFileError(
            f"the key for pseudonyms, {path}, cannot be read or made: {error.strerror}; let this user have it"
        ) from error
    if mode & 0o077:
        raise KeyFileError(
            f"others can reach the key for pseudonyms, {path} (mode {mode:03o}); chmod 600 it, and "
            "replace it if they may have read it"
        )
    if not KEY_BYTES <= len(key) <= _LONGEST_KEY:
        raise KeyFileError(
            f"the key for pseudonyms, {path}, is no key of {KEY_BYTES} to {_LONGEST_KEY:,} bytes; put the "
            "right file back. Only if it is lost delete it, and whoever opted out must do so again"
        )
    return Pseudonyms(key)


def identity_of(settings: Settings, pseudonyms: Pseudonyms | None = None) -> Identity:
    """Return whose the experiences are that a process with these settings records.

    Args:
        settings: whose ``team.developer`` and ``team.project`` name them; neither is stored.
        pseudonyms: None for this machine's; no key is made where nobody is named.

    Raises:
        KeyFileError: as `process_pseudonyms`.
    """
    return named_identity(settings.team.developer, settings.team.project, pseudonyms)


def named_identity(
    developer: str | None, project: str | None, pseudonyms: Pseudonyms | None = None
) -> Identity:
    """Return the identity of a developer and a project by their names, None where there is none.

    Args:
        developer: for whom agents work.
        project: on what.
        pseudonyms: as for `identity_of`.

    Raises:
        KeyFileError: as `process_pseudonyms`.
    """
    if developer is None and project is None:
        return NOBODY
    known = process_pseudonyms() if pseudonyms is None else pseudonyms
    return Identity(
        None if developer is None else known.of("developer", developer),
        None if project is None else known.of("project", project),
    )


def require_identity(settings: Settings, identity: Identity) -> None:
    """Do nothing if experiences recorded under an identity belong to whom the settings name.

    An agent whose rows belonged to nobody could not be opted out.

    Args:
        settings: of the agent.
        identity: of the store it records to.

    Raises:
        ConfigError: a name is set, and the store was opened without it.
    """
    for kind, name, pseudonym in (
        ("developer", settings.team.developer, identity.developer),
        ("project", settings.team.project, identity.project),
    ):
        if name is not None and pseudonym is None:
            raise ConfigError(
                f"team.{kind} is set, but the store was opened without it, so what is recorded could not be "
                "opted out; open it with Store.connect(url, identity=identity_of(settings))"
            )


def _make(path: Path) -> None:
    """Put a new key in place unless another process is quicker: a link is made whole or not at all."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _written_beside(path, secrets.token_bytes(KEY_BYTES)) as temporary, suppress(FileExistsError):
        os.link(temporary, path)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


@contextmanager
def _written_beside(path: Path, content: bytes) -> Iterator[Path]:
    """Yield a file beside a path with content that is on disk, for its owner alone; removed afterwards."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield temporary
    finally:
        temporary.unlink()
