"""The guard can fail: a database in which something was lost, doubled, shifted or reordered is not clean."""

import pytest

from tests.faults.conftest import CALLS, Written

BUSIEST = "(SELECT q_table_id, state FROM q_values ORDER BY visits[1] DESC, state LIMIT 1)"
"""The row whose first pair saw most updates."""

LONGEST = "(SELECT chunk_id FROM experience_chunks ORDER BY experiences DESC, chunk_id LIMIT 1)"

ARRAYS = (
    *("occurred_at", "episode", "step", "state", "action", "reward", "next_state", "terminated", "truncated"),
    *("propensity", "exploration_rate", "success", "policy_version"),
)


async def test_a_database_nobody_tampered_with_is_clean(written: Written) -> None:
    verdict = written.judged()
    assert verdict.findings == []
    assert verdict.is_clean
    assert verdict.acknowledged == sum(len(call.rows) for call in written.journals.calls.values()) > CALLS
    assert verdict.settled == 0


async def test_a_lost_update_of_a_table_is_noticed(written: Written) -> None:
    written.tamper(f"UPDATE q_values SET visits[1] = visits[1] - 1 WHERE (q_table_id, state) = {BUSIEST}")
    assert written.judged().lost == 1


async def test_a_row_that_vanished_is_noticed(written: Written) -> None:
    written.tamper(f"DELETE FROM q_values WHERE (q_table_id, state) = {BUSIEST}")
    verdict = written.judged()
    assert verdict.lost > 1
    assert verdict.wrong > 0


async def test_a_lost_chunk_of_the_log_is_noticed(written: Written) -> None:
    written.tamper(f"DELETE FROM experience_chunks WHERE chunk_id = {LONGEST}")
    verdict = written.judged()
    assert verdict.lost > 1
    assert verdict.twice > 1, "the table counts what the log no longer has"


async def test_a_doubled_update_of_a_table_is_noticed(written: Written) -> None:
    written.tamper(f"UPDATE q_values SET visits[1] = visits[1] + 1 WHERE (q_table_id, state) = {BUSIEST}")
    assert written.judged().twice == 1


async def test_a_doubled_chunk_of_the_log_is_noticed(written: Written) -> None:
    scalars = "agent, fingerprint, source, q_table_id, table_version, experiences, first_at, last_at"
    columns = ", ".join((scalars, *ARRAYS))
    written.tamper(
        f"INSERT INTO experience_chunks ({columns}) SELECT {columns} FROM experience_chunks "
        f"WHERE chunk_id = {LONGEST}"
    )
    verdict = written.judged()
    assert verdict.twice == max(len(call.rows) for call in written.journals.calls.values())
    assert verdict.wrong == 0, "values were not doubled, only the log"


@pytest.mark.parametrize("sign", ["+", "-"])
async def test_a_value_off_by_a_millionth_is_noticed(written: Written, sign: str) -> None:
    written.tamper(f"UPDATE q_values SET q[1] = q[1] {sign} 1e-6 WHERE (q_table_id, state) = {BUSIEST}")
    verdict = written.judged()
    assert (verdict.wrong, verdict.lost, verdict.twice, verdict.broken) == (1, 0, 0, 0)


async def test_a_value_off_by_rounding_is_not_held_against_it(written: Written) -> None:
    written.tamper(f"UPDATE q_values SET q[1] = q[1] + 1e-11 WHERE (q_table_id, state) = {BUSIEST}")
    assert written.judged().is_clean


@pytest.mark.parametrize("statistic", ["target_mean", "target_m2"])
async def test_a_statistic_off_by_a_millionth_of_itself_is_noticed(written: Written, statistic: str) -> None:
    written.tamper(
        f"UPDATE q_values SET {statistic}[1] = {statistic}[1] * 1.000001 "
        f"WHERE (q_table_id, state) = {BUSIEST}"
    )
    assert written.judged().wrong == 1


async def test_flushes_in_another_order_are_noticed(written: Written) -> None:
    written.tamper(
        "WITH pair AS (SELECT min(table_version) AS low, max(table_version) AS high, q_table_id "
        "FROM experience_chunks GROUP BY q_table_id ORDER BY count(*) DESC LIMIT 1) "
        "UPDATE experience_chunks AS chunk SET table_version = pair.low + pair.high - table_version "
        "FROM pair WHERE chunk.q_table_id = pair.q_table_id AND table_version IN (low, high)"
    )
    verdict = written.judged()
    assert verdict.broken == 2
    assert verdict.wrong > 0


async def test_updates_in_another_order_inside_a_flush_are_noticed(written: Written) -> None:
    reversed_arrays = ", ".join(
        f"{name} = ARRAY(SELECT value FROM unnest({name}) WITH ORDINALITY AS of (value, place) "
        "ORDER BY place DESC)"
        for name in ARRAYS
    )
    written.tamper(f"UPDATE experience_chunks SET {reversed_arrays} WHERE experiences > 1")
    verdict = written.judged()
    assert verdict.wrong > 0
    assert (verdict.lost, verdict.twice, verdict.broken) == (0, 0, 0)


async def test_a_call_stored_in_part_is_noticed(written: Written) -> None:
    shortened = ", ".join(f"{name} = {name}[:experiences - 1]" for name in ARRAYS)
    written.tamper(
        f"UPDATE experience_chunks SET experiences = experiences - 1, {shortened} WHERE chunk_id = {LONGEST}"
    )
    verdict = written.judged()
    assert (verdict.lost, verdict.twice) == (1, 1)


async def test_a_changed_experience_is_noticed(written: Written) -> None:
    written.tamper(f"UPDATE experience_chunks SET reward[1] = 99.5 WHERE chunk_id = {LONGEST}")
    assert written.judged().broken == 1


async def test_a_version_that_no_flush_raised_is_noticed(written: Written) -> None:
    written.tamper(
        "UPDATE q_tables SET version = version + 1 WHERE q_table_id = (SELECT min(q_table_id) FROM q_tables)"
    )
    assert written.judged().broken == 1


async def test_a_flush_missing_from_the_ledger_is_noticed(written: Written) -> None:
    written.tamper("DELETE FROM flushes WHERE table_version = 1")
    assert written.judged().broken >= 1
