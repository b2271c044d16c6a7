"""Where benchmarks work: never in memory, and nothing is left behind."""

from pathlib import Path

import pytest

from benchmarks.harness import BenchmarkError
from benchmarks.machine import busyness, describe_machine, file_system_of
from benchmarks.place import Place


def test_directory_in_memory_is_refused(monkeypatch, tmp_path):
    monkeypatch.setattr("benchmarks.place.file_system_of", lambda _path: "tmpfs")
    with pytest.raises(BenchmarkError, match="kept in memory"):
        Place(parent=tmp_path)


def test_directory_that_does_not_exist_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.place.file_system_of", lambda _path: "ext4")
    with pytest.raises(BenchmarkError, match="cannot be used"), Place(parent=tmp_path / "absent"):
        pass


def test_directory_is_gone_afterwards(monkeypatch, tmp_path):
    monkeypatch.setattr("benchmarks.place.file_system_of", lambda _path: "ext4")
    with Place(parent=tmp_path) as place:
        assert place.directory.is_dir()
        assert not place.has_server
    assert list(tmp_path.iterdir()) == []


def test_innermost_mount_decides(monkeypatch, tmp_path):
    mounts = tmp_path / "mounts"
    mounts.write_text("/dev/a / ext4 rw 0 0\ntmpfs /data tmpfs rw 0 0\n/dev/b /data/disk xfs rw 0 0\n")
    monkeypatch.setattr("benchmarks.machine.MOUNTS", mounts)
    assert file_system_of(Path("/data/disk/postgres")) == "xfs"
    assert file_system_of(Path("/data/diskless")) == "tmpfs"
    assert file_system_of(Path("/home")) == "ext4"


def test_machine_is_described(tmp_path):
    found = describe_machine(tmp_path)
    assert found["cores"] >= 1
    assert found["memory_gib"] > 0
    assert "numpy" in found["packages"]


def test_busy_machine_is_told():
    assert busyness(0.9, 4) == ""
    assert "load 1.0 on 4 cores" in busyness(1.0, 4)
