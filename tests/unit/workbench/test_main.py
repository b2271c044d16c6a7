"""The entry of the sandbox's phases loads the one asked for, and keeps the network shut."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from qe_core.workbench.inside import main
from qe_core.workbench.workshop import STRATEGIES

MAIN = Path(main.__file__)


def start(tiny: Any, phase: str, **environment: str) -> subprocess.CompletedProcess[str]:
    path = tiny.root / "spec.json"
    path.write_text(json.dumps(tiny.spec))
    return subprocess.run(
        [sys.executable, "-s", "-P", str(MAIN), phase, str(path)],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_strategy_has_a_module() -> None:
    assert set(STRATEGIES) < main.PHASES.keys()
    for name in main.PHASES.values():
        assert (MAIN.parent / f"{name.replace('.', '/')}.py").exists()


def test_phase_runs_by_name(tiny: Any) -> None:
    assert start(tiny, "doctests").returncode == 0
    assert len(tiny.emitted()) == 2


def test_running_out_of_memory_has_an_exit_code_of_its_own(tiny: Any) -> None:
    file = tiny.root / "src" / "tiny" / "shapes.py"
    file.write_text("raise MemoryError\n")
    assert start(tiny, "doctests").returncode == 3


def test_without_a_network_namespace_sockets_are_refused_all_the_same(tiny: Any) -> None:
    file = tiny.root / "src" / "tiny" / "shapes.py"
    file.write_text("import socket\n\nsocket.create_connection(('127.0.0.1', 9))\n")
    assert "the sandbox has no network" in start(tiny, "doctests", QE_SANDBOX="processes").stderr
    assert "Connection refused" in start(tiny, "doctests", QE_SANDBOX="network").stderr
