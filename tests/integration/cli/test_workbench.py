"""`qe workbench`: what ships can be checked and summed up, and recording is asked for as told."""

from pathlib import Path

import pytest

from qe_core import workbench


def test_the_shipped_recordings_are_whole(qe_here):
    outcome = qe_here("workbench", "verify")
    assert outcome.returncode == 0, outcome.stderr
    assert "Recordings are whole" in outcome.stdout
    assert "modules" in outcome.stdout


def test_strategies_are_summed_up(qe_here):
    outcome = qe_here("workbench", "summary")
    assert outcome.returncode == 0, outcome.stderr
    for strategy in workbench.STRATEGIES:
        assert strategy in outcome.stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), {"packages": None, "repetitions": 3, "resume": True, "seconds": 8.0, "out": Path("recordings")}),
        (
            ("--package", "a", "--package", "b", "--strategy", "mio", "--repetitions", "1", "--restart"),
            {"packages": ["a", "b"], "strategies": ["mio"], "repetitions": 1, "resume": False},
        ),
    ],
)
def test_recording_is_asked_for_as_told(qe_here, monkeypatch, arguments, expected):
    asked = {}

    def record(**options):
        asked.update(options)
        return options["out"]

    monkeypatch.setattr(workbench, "record", record)
    outcome = qe_here("workbench", "record", *arguments)
    assert outcome.returncode == 0, outcome.stderr
    assert asked.items() >= expected.items()
    assert "check it with qe workbench verify recordings" in outcome.stdout
