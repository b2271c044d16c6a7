"""Which code generators are tried on, fetched exactly, and split once into training and held-out packages.

Belongs here: the declaration (`subjects.toml`), fetching a source distribution and the split rule. Does not
belong here: what is done to the code.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from qe_core.errors import WorkbenchError, nearest

Split = Literal["training", "held-out"]

SPLIT_RULE = (
    "Packages are ranked by the SHA-256 of their name, in hexadecimal; of n packages the first round(0.6 n) "
    "are training packages, the others are held out."
)
"""The rule of `split_of`, in words; it uses nothing but names, so that no result can influence it."""

_DECLARATION = Path(__file__).with_name("subjects.toml")


@dataclass(frozen=True, slots=True)
class Subject:
    """One package at one version.

    Attributes:
        name: Name in the package index.
        version: Exact version.
        sha256: Digest of the source distribution.
        licence: SPDX identifier.
        source: Directory of the importable code inside the source distribution.
        tests: Directory of the shipped tests inside it; empty when there is none.
        modules: The modules that take part, in order.
        path: Where the package lies unpacked already; None to fetch it from the index.
    """

    name: str
    version: str
    sha256: str
    licence: str
    source: str
    tests: str
    modules: tuple[str, ...]
    path: Path | None = None


def load_subjects(declaration: Path = _DECLARATION) -> tuple[Subject, ...]:
    """The declared subjects.

    Raises:
        WorkbenchError: If the file is missing, no TOML, or an entry lacks a field.
    """
    try:
        entries = tomllib.loads(declaration.read_text(encoding="utf-8"))["subject"]
        return tuple(
            Subject(
                **{
                    key: str(entry[key])
                    for key in ("name", "version", "sha256", "licence", "source", "tests")
                },
                modules=tuple(entry["modules"]),
                path=declaration.parent / entry["path"] if "path" in entry else None,
            )
            for entry in entries
        )
    except (OSError, tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise WorkbenchError(
            f"{declaration} does not declare subjects ({error!r}); each [[subject]] needs name, version, "
            f"sha256, licence, source, tests and modules."
        ) from error


def select(
    subjects: Sequence[Subject], packages: Sequence[str] | None = None, modules: Sequence[str] | None = None
) -> tuple[Subject, ...]:
    """The subjects narrowed to some packages and modules; None means all.

    Raises:
        WorkbenchError: If a name is not declared.
    """
    known_packages = {subject.name for subject in subjects}
    known_modules = {module for subject in subjects for module in subject.modules}
    for wanted, known in ((packages, known_packages), (modules, known_modules)):
        for name in wanted or ():
            if name not in known:
                raise WorkbenchError(
                    f"The workbench has no subject {name!r}; {nearest(name, sorted(known))}."
                )
    chosen = []
    for subject in subjects:
        kept = tuple(module for module in subject.modules if modules is None or module in modules)
        if kept and (packages is None or subject.name in packages):
            chosen.append(
                Subject(
                    subject.name,
                    subject.version,
                    subject.sha256,
                    subject.licence,
                    subject.source,
                    subject.tests,
                    kept,
                    subject.path,
                )
            )
    return tuple(chosen)


def split_of(names: Sequence[str]) -> dict[str, Split]:
    """Each package's side of the split, by `SPLIT_RULE`."""
    ranked = sorted(names, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    training = round(0.6 * len(ranked))
    return {name: "training" if rank < training else "held-out" for rank, name in enumerate(ranked)}


def fetch(subject: Subject, into: Path, python: Path) -> Path:
    """The directory of the unpacked source distribution, fetched and compiled to byte code if not there yet.

    Args:
        subject: What to fetch.
        into: Directory that keeps the unpacked packages.
        python: The interpreter that will run the code; its byte code is what has to be there.

    Raises:
        WorkbenchError: If the index cannot deliver the file or its digest differs.
    """
    directory = into / f"{subject.name}-{subject.version}"
    if directory.is_dir():
        return directory
    with tempfile.TemporaryDirectory(dir=into) as temporary:
        unpacked = subject.path or _unpack(subject, Path(temporary))
        copy = Path(temporary) / "copy"
        subprocess.run(["cp", "-r", str(unpacked), str(copy)], check=True)  # noqa: S603, S607
        subprocess.run(  # noqa: S603 (fixed arguments)
            [str(python), "-m", "compileall", "-q", "-f", "-s", str(copy), "-p", str(directory), str(copy)],
            check=False,
            stdout=subprocess.DEVNULL,
        )
        subprocess.run(["chmod", "-R", "go+rX", str(copy)], check=True)  # noqa: S603, S607
        os.replace(copy, directory)
    return directory


def _unpack(subject: Subject, directory: Path) -> Path:
    requirement = directory / "requirement.txt"
    pinned = f"{subject.name}=={subject.version} --hash=sha256:{subject.sha256}\n"
    requirement.write_text(pinned, encoding="utf-8")
    command = [
        *(sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:"),
        *("--require-hashes", "--dest", str(directory), "--requirement", str(requirement)),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (fixed)
    archives = sorted(directory.glob("*.tar.gz"))
    if done.returncode or not archives:
        raise WorkbenchError(
            f"Could not fetch {subject.name} {subject.version} from the package index: "
            f"{done.stderr.strip()[-500:]}. Check the connection and pip's configuration, then run again; "
            f"what is recorded already is kept."
        )
    with tarfile.open(archives[0]) as archive:
        archive.extractall(directory / "unpacked", filter="data")
    return next((directory / "unpacked").iterdir())
