"""The server's files: creating a cluster and writing its configuration.

What belongs here: initdb, configuration, socket directory. What does not: processes (`process`).
"""

import os
import re
import shutil
import stat
import subprocess
from collections.abc import Mapping
from hashlib import blake2b
from pathlib import Path

from qe_core.errors import DatabaseUnavailableError
from qe_core.store.server.account import Account, admitted_names, creating_account, own_name
from qe_core.store.server.process import MINIMAL_ENVIRONMENT

ROLE = "qe"
"""The database role that owns everything; the present user maps to it."""

SOCKET_DIR_LIMIT_BYTES = 88
"""Longest directory for a socket: the system allows 103 to 107 bytes with the socket's own name."""

_SHORT_ROOT = Path("/tmp")  # noqa: S108
_PLAIN_PATH = re.compile(r"[\w/. +-]+", re.ASCII)

_DEFAULTS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "max_wal_size": "1GB",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
    "log_line_prefix": "%m [%p] ",
}


def create_cluster(binaries: Path, cluster: Path, owner: Account | None, is_durable: bool = True) -> None:
    """Create an empty cluster, whole or not at all: UTF-8, C locale, checksums.

    Args:
        binaries: folder of initdb.
        cluster: its directory, which must not exist; the one above must.
        owner: who will run the server; None for the present user.
        is_durable: whether to wait until the disk has it; a throwaway cluster need not.

    Raises:
        DatabaseUnavailableError: initdb failed; the message holds what it said.
    """
    creator = creating_account()
    half = cluster.with_name(cluster.name + ".half")
    shutil.rmtree(half, ignore_errors=True)
    half.mkdir(mode=0o700)
    if creator is not None:
        os.chown(half, creator.uid, creator.gid)
    own_name()
    answer = subprocess.run(  # noqa: S603
        [
            *(binaries / "initdb", "-D", half, "-U", ROLE, "--auth=peer", "--encoding=UTF8", "--locale=C"),
            *("--data-checksums", "--no-instructions", *(() if is_durable else ("--no-sync",))),
        ],
        check=False,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        cwd="/",
        env=MINIMAL_ENVIRONMENT,
        **(creator.as_process_arguments() if creator else {}),
    )
    if answer.returncode != 0:
        shutil.rmtree(half, ignore_errors=True)
        raise DatabaseUnavailableError(
            f"PostgreSQL could not create its files in {cluster}: {answer.stderr.strip()[-1000:]}"
        )
    if owner is not None:
        for folder, _, files in os.walk(half):
            for path in (folder, *(os.path.join(folder, name) for name in files)):
                os.chown(path, owner.uid, owner.gid, follow_symlinks=False)
    half.rename(cluster)


def write_configuration(
    cluster: Path, socket_dir: Path, owner: Account | None, settings: Mapping[str, str]
) -> None:
    """Write what the server reads when it starts: settings, and who may connect.

    That is the present user, and other logins by password. The socket lies in a directory only the present
    user may enter, so such a login keeps processes of one user apart, such as the members of a team on trial.

    Args:
        cluster: its directory.
        socket_dir: where it puts its socket.
        owner: who runs the server; None for the present user.
        settings: parameters on top of the defaults, which they override.
    """
    values = {**_DEFAULTS, "unix_socket_directories": f'"{socket_dir}"', **settings}
    lines = [f"{name} = '{value.replace(chr(39), chr(39) * 2)}'" for name, value in values.items()]
    files = {
        "postgresql.conf": "\n".join(lines),
        "pg_hba.conf": f"local all {ROLE} peer map=owner\nlocal all all scram-sha-256",
        "pg_ident.conf": "\n".join(f'owner "{name}" {ROLE}' for name in admitted_names(owner)),
    }
    for name, text in files.items():
        path = cluster / name
        path.write_text(text + "\n", encoding="utf-8")
        path.chmod(0o600)
        if owner is not None:
            os.chown(path, owner.uid, owner.gid)


def prepared_socket_dir(data_dir: Path, owner: Account | None) -> Path:
    """Return a private directory for the socket whose path the system accepts, created if missing.

    It is inside ``data_dir``; where that is too long for a socket or holds a character that addresses give a
    meaning to, it is a short one that belongs to this data directory alone.

    Raises:
        DatabaseUnavailableError: somebody else's directory stands in its place.
    """
    inside = data_dir / "socket"
    is_plain = _PLAIN_PATH.fullmatch(str(inside)) is not None
    if len(os.fsencode(inside)) <= SOCKET_DIR_LIMIT_BYTES and is_plain:
        chosen = inside
    else:
        chosen = _SHORT_ROOT / f"qe-{blake2b(os.fsencode(data_dir), digest_size=8).hexdigest()}"
    wanted_uid = owner.uid if owner else os.geteuid()
    try:
        chosen.mkdir(mode=0o700)
        if owner is not None:
            os.chown(chosen, owner.uid, owner.gid)
    except FileExistsError:
        found = chosen.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != wanted_uid or found.st_mode & 0o077:
            raise DatabaseUnavailableError(
                f"{chosen} should be a private directory of user id {wanted_uid} but is not; remove it and "
                "try again"
            ) from None
    return chosen


def cluster_version(cluster: Path) -> int | None:
    """Return the major version the cluster was created by, or None where there is no cluster."""
    try:
        return int((cluster / "PG_VERSION").read_text())
    except FileNotFoundError:
        return None
