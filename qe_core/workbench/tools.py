"""The interpreter the generators run under, apart from the product's own.

Belongs here: making that environment from the lock file and saying what is in it. Does not belong here:
running anything in it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from qe_core.errors import WorkbenchError

LOCK = Path(__file__).with_name("workbench-requirements.lock")
"""Every package of the environment, pinned with digests."""

_HEAVY = frozenset({"dynamosa", "mio", "ghostwriter"})
"""Strategies that need more than what the product's own development environment has."""

_VERSIONS = """
import importlib.metadata, json, platform
names = ("pynguin", "hypothesis", "coverage", "pytest")
found = {d.metadata["Name"].lower(): d.version for d in importlib.metadata.distributions()}
print(json.dumps({"python": platform.python_version(), **{n: found[n] for n in names if n in found}}))
"""


def versions(python: Path) -> dict[str, str]:
    """The versions of Python and of the tools an interpreter has; empty when it does not run."""
    try:
        done = subprocess.run(  # noqa: S603 (our own interpreter)
            [str(python), "-I", "-c", _VERSIONS], capture_output=True, text=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        return {}
    found: dict[str, str] = json.loads(done.stdout)
    return found


def tools_python(directory: Path, strategies: Sequence[str]) -> Path:
    """The interpreter to run strategies with, made on first use.

    The current one serves when all strategies are light and it has coverage, hypothesis and pytest; pynguin
    pins an older pytest than the product uses and therefore lives in an environment of its own.

    Args:
        directory: Where that environment is kept.
        strategies: The strategies that will run.

    Raises:
        WorkbenchError: If the environment cannot be made.
    """
    own = Path(sys.executable)
    if not _HEAVY & set(strategies) and {"coverage", "hypothesis", "pytest"} <= versions(own).keys():
        return own
    python = directory / "bin" / "python"
    if "pynguin" in versions(python):
        return python
    shutil.rmtree(directory, ignore_errors=True)
    uv = shutil.which(
        "uv", path=f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"
    ) or shutil.which("uv")
    _do([sys.executable, "-m", "venv", *(["--without-pip"] if uv else []), str(directory)])
    if uv:
        _do([uv, "pip", "install", "--quiet", "--python", str(python), "--require-hashes", "-r", str(LOCK)])
    else:
        _do([str(python), "-m", "pip", "install", "--quiet", "--require-hashes", "-r", str(LOCK)])
    # Whether the installer does this depends on its settings; without, every start compiles, on the clock.
    _do([str(python), "-m", "compileall", "-q", str(directory / "lib")], may_fail=True)
    _do(["chmod", "-R", "go+rX", str(directory)])
    return python


def _do(command: list[str], *, may_fail: bool = False) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 (fixed)
    if done.returncode and not may_fail:
        raise WorkbenchError(
            f"Could not prepare the tools' environment: `{' '.join(command)}` said "
            f"{done.stderr.strip()[-500:]}. "
            f"Check the connection to the package index and try again."
        )
