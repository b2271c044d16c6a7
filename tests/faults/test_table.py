"""The table tells what went wrong, and the exit code follows from it."""

from typing import Any

import pytest
from rich.console import Console

from tests.faults.oracle import Verdict
from tests.faults.run import Outcome
from tests.faults.schedule import Fault, long_form
from tests.faults.table import LOSS_COLUMNS, as_markdown, as_record, as_table, is_clean, total_of

PLAN = long_form(1, 0.1, [Fault.SERVER_KILLED], is_mixed=False)[0]


def record(**changed: Any) -> dict[str, Any]:
    verdict = Verdict(acknowledged=1_234)
    verdict.refused["StaleEpochError"] = 5
    outcome = Outcome(PLAN, (), verdict, 0, (0.5, 2.0, 0.25), repeated_flushes=1, seconds=3.0)
    return as_record(outcome) | changed


def test_nothing_lost_is_clean() -> None:
    assert is_clean([record(), record()])


@pytest.mark.parametrize("column", LOSS_COLUMNS)
def test_anything_in_a_loss_column_is_not_clean(column: str) -> None:
    assert not is_clean([record(), record(**{column: 1})])


def test_a_run_without_acknowledgements_or_no_run_at_all_proves_nothing() -> None:
    assert not is_clean([record(acknowledged=0)])
    assert not is_clean([])


def test_recovery_is_given_as_median_and_longest() -> None:
    assert (record()["recovery_median_seconds"], record()["recovery_longest_seconds"]) == (0.5, 2.0)
    assert total_of([record(), record(recovery_longest_seconds=9.0)])["recovery_longest_seconds"] == 9.0


def test_sums_stand_below() -> None:
    total = total_of([record(), record(lost=2)])
    assert (total["acknowledged"], total["lost"], total["refused"]) == (2_468, 2, {"StaleEpochError": 10})


def test_both_tables_name_faults_numbers_and_what_could_not_be_run() -> None:
    not_run = {"disk full": "a small file system cannot be mounted here: Operation not permitted"}
    console = Console(width=200)
    with console.capture() as captured:
        console.print(as_table([record()], not_run))
    for text in (captured.get(), as_markdown([record()], not_run)):
        for expected in ("server killed", "1,234", "5 StaleEpochError", "0.50 / 2.00", "not run: a small"):
            assert expected in text
