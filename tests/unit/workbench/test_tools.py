"""Which interpreter strategies run under."""

import re
import sys
from pathlib import Path

import pytest

from qe_core.errors import WorkbenchError
from qe_core.workbench.tools import LOCK, tools_python, versions


def test_light_strategies_run_under_the_current_interpreter(tmp_path: Path) -> None:
    assert tools_python(tmp_path / "tools", ["literals", "doctests"]) == Path(sys.executable)
    assert not (tmp_path / "tools").exists()


def test_versions_of_the_tools_are_told() -> None:
    found = versions(Path(sys.executable))
    assert {"python", "coverage", "hypothesis", "pytest"} <= found.keys()
    assert found["python"] == sys.version.split()[0]


def test_interpreter_that_is_not_there_has_no_versions(tmp_path: Path) -> None:
    assert versions(tmp_path / "python") == {}


def test_lock_pins_every_package_with_digests_and_names_no_host() -> None:
    text = LOCK.read_text()
    requirements = [line for line in text.splitlines() if line and not line.startswith((" ", "#"))]
    assert all(re.match(r"[\w.-]+==[\w.]+ ", line) for line in requirements)
    assert "pynguin==0.48.0" in text
    assert text.count("--hash=sha256:") >= len(requirements)
    assert "://" not in text


def test_environment_that_cannot_be_made_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("UV_OFFLINE", "PIP_NO_INDEX", "UV_NO_INDEX"):
        monkeypatch.setenv(variable, "1")
    for variable in ("UV_CACHE_DIR", "PIP_CACHE_DIR"):
        monkeypatch.setenv(variable, str(tmp_path / "cache"))
    for variable in ("UV_FIND_LINKS", "PIP_FIND_LINKS"):
        monkeypatch.setenv(variable, str(tmp_path))
    with pytest.raises(WorkbenchError, match="Could not prepare the tools' environment"):
        tools_python(tmp_path / "tools", ["dynamosa"])
