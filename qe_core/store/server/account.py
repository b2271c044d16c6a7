"""Who runs the server: PostgreSQL refuses to run as root.

What belongs here: choosing the account and asking what it can reach. What does not: starting anything.
"""

import grp
import os
import pwd
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qe_core.errors import DatabaseUnavailableError

_UNUSED_IDS = range(60578, 61184)
"""User ids that systemd's table of id ranges (UIDS-GIDS) marks as used by nobody."""


@dataclass(frozen=True, slots=True)
class Account:
    """An unprivileged user.

    Attributes:
        uid: numeric user id, above 0.
        gid: numeric group id.
    """

    uid: int
    gid: int

    def as_process_arguments(self) -> dict[str, Any]:
        """Return what `subprocess` needs to run a program as this user without further groups."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []}


def server_account(cluster: Path) -> Account | None:
    """Return the account that runs the server of ``cluster``, or None where the present user can.

    For root that is the cluster's owner, or for a new cluster a numeric account that nothing else on the
    machine uses: sharing ``nobody`` would open the data to whatever else runs as nobody, and creating a user
    is not ours.
    """
    if os.geteuid() != 0:
        return None
    if cluster.exists():
        owner = cluster.stat()
        return Account(owner.st_uid, owner.st_gid)
    taken = {entry.pw_uid for entry in pwd.getpwall()} | {entry.gr_gid for entry in grp.getgrall()}
    free = next(candidate for candidate in _UNUSED_IDS if candidate not in taken)
    return Account(free, free)


def creating_account() -> Account | None:
    """Return the account that runs initdb, which insists on a user with a name; None for the present user.

    Raises:
        DatabaseUnavailableError: the machine knows no unprivileged user at all.
    """
    if os.geteuid() != 0:
        return None
    named = [entry for entry in pwd.getpwall() if entry.pw_uid > 0]
    if not named:
        raise DatabaseUnavailableError(
            "PostgreSQL cannot be created by root and /etc/passwd names nobody else; add a user, "
            "or set QE_DATABASE_URL to a server of your own"
        )
    chosen = next((entry for entry in named if entry.pw_name == "nobody"), named[0])
    return Account(chosen.pw_uid, chosen.pw_gid)


def own_name() -> str:
    """Return the name of the present user, to whom alone the server answers.

    Raises:
        DatabaseUnavailableError: the user has no name, which initdb and peer authentication need.
    """
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        raise DatabaseUnavailableError(
            f"user id {os.geteuid()} has no name in /etc/passwd, and PostgreSQL needs one; "
            "run as a named user, or set QE_DATABASE_URL to a server of your own"
        ) from None


def admitted_names(owner: Account | None) -> list[str]:
    """Return whom the server answers: the present user, root, and the owner of the data where he has a name.

    Root could read the files anyway; without his name a project used by root and by its owner would lock one
    out.
    """
    names = {own_name()}
    for uid in (0, *(() if owner is None else (owner.uid,))):
        with suppress(KeyError):
            names.add(pwd.getpwuid(uid).pw_name)
    return sorted(names)


def make_open_folder(folder: Path) -> None:
    """Create a folder and those missing above it so that any account may enter, whatever the umask says."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in missing:
        path.chmod(0o711)


def can_enter(path: Path) -> bool:
    """Whether any account may reach ``path``: enter every folder above it and, if it exists, use it."""
    above = all(parent.stat().st_mode & 0o001 for parent in path.parents if parent.exists())
    return above and (not path.exists() or path.is_dir() or path.stat().st_mode & 0o005 == 0o005)
