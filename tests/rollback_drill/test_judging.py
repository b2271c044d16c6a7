"""What the drill is judged by finds what is planted."""

from dataclasses import replace
from pathlib import Path

import pytest

from qe_core.store.policies import Mode
from tests.rollback_drill.kills import Seen, judged
from tests.rollback_drill.player import LIVE_TABLE
from tests.rollback_drill.policies import Poisoned
from tests.rollback_drill.timeline import Decided, Diaries, is_harmed

GOOD = 3
BEFORE = Seen("serving", GOOD, 4, 1, 7, 5, 0, 0, 0, 0, "bad rows")
NEW = Seen("serving", GOOD, None, 0, 8, 6, 1, 0, 1, 1, "good rows")


def test_whole_states_are_told_apart() -> None:
    assert judged(BEFORE, BEFORE, GOOD, "good rows", Mode.SERVING) == "old"
    assert judged(BEFORE, NEW, GOOD, "good rows", Mode.SERVING) == "new"


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("mode", "learning"), ("stable", 4), ("candidate", 4), ("tests", 1), ("epoch", 7), ("changes", 5),
        ("rollbacks", 0), ("excluded", 1), ("alerts", 0), ("deliveries", 0), ("rows", "bad rows"),
    ],
)  # fmt: skip
def test_every_part_left_behind_is_named(part: str, value: object) -> None:
    torn = replace(NEW, **{part: value})
    assert judged(BEFORE, torn, GOOD, "good rows", Mode.SERVING) == f"torn: {part}"


def test_decisions_by_the_bad_policy_are_those_of_its_version_or_of_the_table_before_its_epoch() -> None:
    promoted = Poisoned("a", Mode.SERVING, GOOD, 4)
    overwritten = Poisoned("a", Mode.LEARNING, GOOD, None)

    def decided(at: float, version: int, epoch: int) -> Decided:
        """Return a decision of a task."""
        return Decided(at, "e", version, epoch, 0)

    assert is_harmed(decided(9.0, 4, 1), promoted, 10.0, 1)
    assert not is_harmed(decided(11.0, GOOD, 1), promoted, 10.0, 1)
    assert is_harmed(decided(10.0, LIVE_TABLE, 1), overwritten, 10.0, 1)
    assert not is_harmed(decided(9.9, LIVE_TABLE, 1), overwritten, 10.0, 1)
    assert not is_harmed(decided(11.0, LIVE_TABLE, 2), overwritten, 10.0, 1)


def test_diaries_are_read_in_order_without_the_line_being_written(tmp_path: Path) -> None:
    (tmp_path / "diary-0").write_text(
        "decided 2.0 a e1 0 1\nended 3.0 a e1 7.5\nrefused 4.0 a\ndecided 5.0 a"
    )
    (tmp_path / "diary-1").write_text("decided 1.0 a e2 4 1\n")
    found = Diaries.read(tmp_path)
    assert [(one.at, one.version, one.process) for one in found.decisions["a"]] == [(1.0, 4, 1), (2.0, 0, 0)]
    assert found.refused == {"a": 1}
    assert found.returns == {"a": [(3.0, "e1", 7.5)]}
