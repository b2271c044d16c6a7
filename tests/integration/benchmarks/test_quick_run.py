"""The command itself, in its short form: two benchmarks on a durable server of their own."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_quick_run_fills_its_rows_and_writes_both_files(tmp_path):
    command = (sys.executable, "-m", "benchmarks", "--quick", "--output", str(tmp_path))
    chosen = ("--only", "lookup", "--only", "experience-read")
    answer = subprocess.run(
        [*command, *chosen], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr
    document = json.loads((tmp_path / "partial.json").read_text())
    rows = {row["name"]: row for benchmark in document["benchmarks"] for row in benchmark["rows"]}
    assert set(rows) == {"lookup-vs-select-1", "read-vs-adbc"}
    assert rows["lookup-vs-select-1"]["verdict"] == "not judged"
    assert rows["lookup-vs-select-1"]["figure"]["median"] > 0
    assert rows["read-vs-adbc"]["verdict"] in ("not judged", "not measured")
    assert document["postgresql"]["fsync"] == "on"
    assert document["is_quick"]
    assert "hierarchical best-action lookup" in (tmp_path / "partial.md").read_text()
    assert "lookup-vs-select-1" in answer.stdout


def test_unknown_name_is_refused_before_anything_runs(tmp_path):
    command = (sys.executable, "-m", "benchmarks", "--only", "lookups", "--output", str(tmp_path))
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert answer.returncode == 2
    assert "lookup" in answer.stdout
    assert list(tmp_path.iterdir()) == []
