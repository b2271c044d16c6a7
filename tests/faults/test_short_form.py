"""The short form: three writer processes, every fault once, in random order, nothing lost."""

import json
import subprocess
import sys
from pathlib import Path

from tests.faults.crew import ROOT
from tests.faults.schedule import Fault


def test_nothing_is_lost_while_everything_breaks_once(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "tests.faults", "--short", "--output", tmp_path],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=290,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    report = json.loads((tmp_path / "faults.json").read_text())
    [record] = report["runs"]
    struck = {strike["fault"] for strike in record["schedule"]}
    assert struck | report["not_run"].keys() == {fault.value for fault in Fault}
    assert set(report["not_run"]) <= {Fault.DISK_FULL.value}, "all else can be brought about anywhere"
    assert record["faults"] == len(struck)
    assert record["kills"] == 2, "of the server and of a writer"
    assert record["cuts"] > 0
    assert record["acknowledged"] > 1_000
    assert "| all mixed |" in (tmp_path / "faults.md").read_text()
