"""A release is stored, debited and marked at once; then it is sent once, or withdrawn."""

import asyncio
from contextlib import closing
from uuid import UUID

import numpy as np
import psycopg2
import pytest

from qe_core.errors import BudgetError, PrivacyError
from qe_core.privacy.statistics import AgentStatistics
from qe_core.privacy.units import ProtectedUnit
from qe_core.privacy.wire import encode
from qe_core.store import Store
from qe_core.store.errors import OptOutChangedError, ReleaseConflictError
from qe_core.store.statements import STATEMENTS
from qe_core.store.team import Committed, OptOutKind, PreparedRelease, ReadChunks, TeamEvent, releases
from tests.unit.store.team.made import AGENT, ANN, COST, SPACES, released, task

PARTS = {agent: agent.encode() for agent in SPACES}


async def prepared(store: Store, number: int = 0) -> PreparedRelease:
    """Let one more task end and return a release of what is there."""
    await store.experiences.append(task(f"task-{number}", [1, 2], minute=100 * number))
    return released(await store.releases.finished_tasks(SPACES, unit=ProtectedUnit.TASK), PARTS)


async def committed(store: Store, number: int = 0, limit: int = 100 * COST) -> Committed:
    return await store.releases.commit(await prepared(store, number), limit, by="test")


async def log(store: Store) -> list[TeamEvent]:
    """Return what the log tells of, the oldest first."""
    return [entry.kind for entry in reversed(await store.team_log.entries())]


async def break_off(store: Store, release_id: UUID) -> None:
    """Begin to send a release, and fail."""
    with pytest.raises(RuntimeError):
        async with store.releases.sending(release_id, by="test"):
            raise RuntimeError("the server is away")


def refusal_of(url: str, statement: str) -> str:
    """Return the SQLSTATE with which the database refuses a statement."""
    with closing(psycopg2.connect(url)) as session, session.cursor() as cursor:
        session.autocommit = True
        with pytest.raises(psycopg2.Error) as refused:
            cursor.execute(statement)
        return str(refused.value.pgcode)


async def test_a_release_is_stored_with_its_debit_and_waits_to_be_sent(store: Store) -> None:
    release = await prepared(store)
    found = await store.releases.commit(release, 10 * COST, by="test")
    assert (found.debit.entry_number, found.debit.spent_nano_rho) == (1, COST)
    assert found.debit.left_nano_rho == 9 * COST
    assert [record.header for record in await store.releases.pending()] == [release.header]
    assert await store.privacy_ledger.entries() == [found.debit]
    assert await store.privacy_ledger.spent_nano_rho() == COST
    assert await log(store) == [TeamEvent.RELEASE]


async def test_the_lifetime_budget_is_spent_to_the_last_and_no_further(store: Store) -> None:
    for number in range(3):
        await committed(store, number, limit=3 * COST)
    release = await prepared(store, 3)
    with pytest.raises(BudgetError, match=rf"ε = 1 is refused: it costs {COST}, and of .* there are 0 left"):
        await store.releases.commit(release, 3 * COST, by="test")
    assert await store.privacy_ledger.spent_nano_rho() == 3 * COST
    assert len(await store.releases.pending()) == 3
    assert (await store.releases.finished_tasks(SPACES, unit=ProtectedUnit.TASK)).task_count == 1


async def test_a_changed_limit_is_logged_with_the_debit_it_first_holds_for(store: Store) -> None:
    await committed(store, 0, limit=2 * COST)
    await committed(store, 1, limit=5 * COST)
    assert await log(store) == [TeamEvent.RELEASE, TeamEvent.BUDGET, TeamEvent.RELEASE]
    (change,) = await store.team_log.entries(kind=TeamEvent.BUDGET)
    assert change.details == {"lifetime_nano_rho_before": 2 * COST, "lifetime_nano_rho": 5 * COST}


async def test_of_releases_of_the_same_tasks_one_is_stored(store: Store) -> None:
    release = await prepared(store)
    tasks = await store.releases.finished_tasks(SPACES, unit=ProtectedUnit.TASK)
    rival = released(tasks)
    await store.releases.commit(release, 10 * COST, by="test")
    with pytest.raises(ReleaseConflictError, match="nothing was stored or spent, make this one anew"):
        await store.releases.commit(rival, 10 * COST, by="test")
    assert len(await store.privacy_ledger.entries()) == 1


async def test_an_opt_out_while_a_release_is_made_stops_it(store: Store) -> None:
    release = await prepared(store)
    await store.opt_outs.add(OptOutKind.DEVELOPER, ANN, by="ann")
    with pytest.raises(OptOutChangedError, match="nothing was stored or spent, make it anew"):
        await store.releases.commit(release, 10 * COST, by="test")
    assert await store.releases.all() == []


async def test_a_release_without_the_counts_of_an_agent_is_refused(store: Store) -> None:
    tasks = await store.releases.finished_tasks(SPACES, unit=ProtectedUnit.TASK)
    with pytest.raises(PrivacyError, match="names 2 agents but has counts of 1"):
        await store.releases.commit(released(tasks, {AGENT: b"noise"}), COST, by="test")


async def test_a_release_is_sent_once_with_the_bytes_it_was_made_with(store: Store) -> None:
    release_id = (await committed(store)).release_id
    async with store.releases.sending(release_id, by="test") as parts:
        assert parts == PARTS
    async with store.releases.sending(release_id, by="test") as again:
        assert again is None
    assert await store.releases.pending() == []
    assert [record.header.release_id for record in await store.releases.sent()] == [release_id]
    assert await log(store) == [TeamEvent.RELEASE, TeamEvent.PUSH]


async def test_a_release_whose_sending_fails_is_sent_next_time_with_the_same_bytes(store: Store) -> None:
    release_id = (await committed(store)).release_id
    await break_off(store, release_id)
    assert len(await store.releases.pending()) == 1
    async with store.releases.sending(release_id, by="test") as parts:
        assert parts == PARTS


async def test_two_who_send_at_once_send_it_once(store: Store) -> None:
    release_id = (await committed(store)).release_id
    async with store.releases.sending(release_id, by="first") as parts:
        async with store.releases.sending(release_id, by="second") as nothing:
            assert nothing is None
        assert parts == PARTS
    assert len(await store.team_log.entries(kind=TeamEvent.PUSH)) == 1


async def test_what_somebody_held_at_the_wrong_moment_is_not_sent_before_that_is_noted(
    store: Store, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other lets go between the two looks; nothing must leave without a note that it may have arrived."""
    release_id = (await committed(store)).release_id
    other = psycopg2.connect(database_url)
    with closing(other), other.cursor() as cursor:
        cursor.execute("SELECT FROM team_releases FOR UPDATE")

        class LettingGo(dict[str, str]):
            def __getitem__(self, name: str) -> str:
                if name == "lock_begun" and not other.closed:
                    other.rollback()
                return super().__getitem__(name)

        monkeypatch.setattr(releases, "STATEMENTS", LettingGo(STATEMENTS))
        async with store.releases.sending(release_id, by="test") as parts:
            assert parts is None
    async with store.releases.sending(release_id, by="test") as parts:
        assert parts == PARTS


async def test_withdrawing_deletes_counts_frees_tasks_and_keeps_what_was_spent(
    store: Store, database_url: str
) -> None:
    release_id = (await committed(store)).release_id
    found = await store.releases.withdraw_pending("ann opted out", by="ann")
    assert (found.withdrawn, found.being_sent) == ((release_id,), ())
    async with store.releases.sending(release_id, by="test") as parts:
        assert parts is None
    assert await store.releases.pending() == []
    assert await store.privacy_ledger.spent_nano_rho() == COST
    assert (await store.releases.finished_tasks(SPACES, unit=ProtectedUnit.TASK)).task_count == 1
    with closing(psycopg2.connect(database_url)) as session, session.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM release_parts")
        assert cursor.fetchone() == (0,)
    (record,) = await store.releases.all()
    assert record.withdrawn_because == "ann opted out"
    assert await log(store) == [TeamEvent.RELEASE, TeamEvent.WITHDRAWAL]


async def test_a_release_that_is_being_sent_is_not_withdrawn_and_nobody_waits(store: Store) -> None:
    first, second = (await committed(store, 0)).release_id, (await committed(store, 1)).release_id
    async with store.releases.sending(first, by="test"), asyncio.timeout(5):
        await store.opt_outs.add(OptOutKind.DEVELOPER, ANN, by="ann")
        found = await store.releases.withdraw_pending("ann opted out", by="ann")
    assert (found.withdrawn, found.being_sent) == ((second,), (first,))
    assert [record.header.release_id for record in await store.releases.sent()] == [first]


async def test_what_may_have_arrived_is_withdrawn_but_its_tasks_are_never_sent_again(store: Store) -> None:
    release_id = (await committed(store)).release_id
    await break_off(store, release_id)
    found = await store.releases.withdraw_pending("ann opted out", by="ann")
    assert (found.withdrawn, found.being_sent, found.maybe_sent) == ((), (), (release_id,))
    async with store.releases.sending(release_id, by="test") as parts:
        assert parts is None
    assert (await store.releases.finished_tasks(SPACES, unit=ProtectedUnit.TASK)).task_count == 0
    (line,) = await store.team_log.entries(kind=TeamEvent.WITHDRAWAL)
    assert line.details["may_have_arrived"] is True


async def test_one_release_can_be_withdrawn_alone(store: Store) -> None:
    first, second = (await committed(store, 0)).release_id, (await committed(store, 1)).release_id
    found = await store.releases.withdraw_pending("refused", by="test", only=first)
    assert (found.withdrawn, found.being_sent) == ((first,), ())
    assert [record.header.release_id for record in await store.releases.pending()] == [second]


async def test_a_release_that_an_opt_out_overtook_is_withdrawn_instead_of_sent(store: Store) -> None:
    release_id = (await committed(store)).release_id
    await store.opt_outs.add(OptOutKind.DEVELOPER, ANN, by="ann")
    async with store.releases.sending(release_id, by="test") as parts:
        assert parts is None
    (record,) = await store.releases.all()
    assert record.withdrawn_because == "somebody opted out since it was made"


async def test_an_opt_out_between_the_look_and_the_sending_is_seen(
    store: Store, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    release_id = (await committed(store)).release_id

    class OptingOut(dict[str, str]):
        def __getitem__(self, name: str) -> str:
            if name == "lock_begun":
                with closing(psycopg2.connect(database_url)) as session, session.cursor() as cursor:
                    cursor.execute(
                        "INSERT INTO opt_outs (kind, subject, opted_out_by) VALUES ('developer', %s, 'ann')",
                        (ANN,),
                    )
                    session.commit()
            return super().__getitem__(name)

    monkeypatch.setattr(releases, "STATEMENTS", OptingOut(STATEMENTS))
    async with store.releases.sending(release_id, by="test") as parts:
        assert parts is None
    assert len(await store.releases.pending()) == 1


async def test_a_release_made_after_an_opt_out_is_sent_also_when_that_is_said_again(store: Store) -> None:
    await store.opt_outs.add(OptOutKind.DEVELOPER, ANN, by="ann")
    release_id = (await committed(store)).release_id
    await store.opt_outs.add(OptOutKind.DEVELOPER, ANN, by="ann")
    async with store.releases.sending(release_id, by="test") as parts:
        assert parts == PARTS


async def test_a_task_whose_begin_was_marked_before_is_whole_again_after_a_withdrawal(store: Store) -> None:
    await store.experiences.append(task("long", [1], is_finished=False))
    await committed(store, 1)
    await store.experiences.append(task("long", [2], first_step=1))
    tasks = await store.releases.finished_tasks(SPACES, unit=ProtectedUnit.TASK)
    second = await store.releases.commit(released(tasks, PARTS), 100 * COST, by="test")
    async with store.releases.sending((await store.releases.pending())[0].header.release_id, by="test"):
        pass
    found = await store.releases.withdraw_pending("changed my mind", by="test")
    assert found.withdrawn == (second.release_id,)
    tasks = await store.releases.finished_tasks(SPACES, unit=ProtectedUnit.TASK)
    assert tasks.steps[AGENT].state.tolist() == [1, 2]


async def test_own_reported_adds_up_what_was_sent_and_nothing_else(store: Store) -> None:
    space = SPACES[AGENT]
    for number, count in enumerate((3, -1, 100)):
        visits = np.full((space.state_count, space.action_count), count)
        zeros = AgentStatistics.zeros(space)
        part = encode(AgentStatistics(1, visits, zeros.rewards, zeros.transitions))
        await store.experiences.append(task(f"task-{number}", [1], minute=number))
        tasks = await store.releases.finished_tasks(SPACES, unit=ProtectedUnit.TASK)
        release = released(tasks, dict.fromkeys(SPACES, part))
        await store.releases.commit(release, 100 * COST, by="test")
        if count < 100:
            async with store.releases.sending(release.header.release_id, by="test"):
                pass
    reported = await store.releases.own_reported(space)
    assert (reported == 2.0).all()
    assert reported.shape == (space.state_count, space.action_count)


async def test_releases_at_once_never_spend_more_than_there_is(store: Store) -> None:
    prepared_ones = []
    for number in range(8):
        await store.experiences.append(task(f"task-{number}", [1], minute=number))
        tasks = await store.releases.finished_tasks(SPACES, unit=ProtectedUnit.TASK)
        # Each takes a chunk of its own, so that nothing but the budget stands between them.
        chunks = {AGENT: _only(tasks.chunk_ids[AGENT], number)}
        prepared_ones.append(PreparedRelease(released(tasks).header, PARTS, chunks, tasks.opt_out_generation))
    outcomes = await asyncio.gather(
        *(store.releases.commit(release, 3 * COST, by="test") for release in prepared_ones),
        return_exceptions=True,
    )
    assert sum(isinstance(outcome, Committed) for outcome in outcomes) == 3
    assert sum(isinstance(outcome, BudgetError) for outcome in outcomes) == 5
    entries = await store.privacy_ledger.entries()
    assert [entry.spent_nano_rho for entry in entries] == [COST, 2 * COST, 3 * COST]


async def test_nobody_can_change_what_was_released_or_spent(store: Store, database_url: str) -> None:
    release_id = (await committed(store)).release_id
    await committed(store, 1)
    async with store.releases.sending(release_id, by="test"):
        pass
    refused = {
        "UPDATE privacy_ledger SET nano_rho = 1": "QE003",
        "DELETE FROM privacy_ledger": "QE003",
        "TRUNCATE privacy_ledger, team_releases CASCADE": "QE003",
        "DELETE FROM team_releases": "QE003",
        "UPDATE team_releases SET nano_rho = 1": "QE007",
        "UPDATE team_releases SET sent_at = null": "QE007",
        "UPDATE team_releases SET withdrawn_at = now(), withdrawn_because = 'x'": "QE007",
        "UPDATE release_parts SET part = 'other noise'": "QE003",
        "DELETE FROM release_parts": "QE007",
        "DELETE FROM released_chunks": "QE007",
        "UPDATE released_chunks SET release_id = gen_random_uuid()": "QE003",
        "DELETE FROM opt_outs": "QE003",
        "DELETE FROM team_sync_log": "QE003",
        "UPDATE team_sync_log SET logged_by = 'nobody'": "QE003",
    }
    assert {statement: refusal_of(database_url, statement) for statement in refused} == refused


async def test_the_database_refuses_debits_around_the_product(store: Store, database_url: str) -> None:
    release_id = str((await committed(store, limit=2 * COST)).release_id)
    header = f"jsonb_build_object('release_id', gen_random_uuid(), 'nano_rho', {COST})"
    unpaid = (
        "INSERT INTO team_releases (release_id, header, nano_rho, opt_out_generation) "
        f"SELECT (header ->> 'release_id')::uuid, header, {COST}, 0 FROM (SELECT {header} AS header) AS made"
    )
    debit = "INSERT INTO privacy_ledger (release_id, nano_rho, lifetime_nano_rho) "
    paid = f"WITH made AS ({unpaid} RETURNING release_id) {debit} SELECT release_id, {COST}, "
    refused = {
        unpaid: "23503",  # a release nobody paid for
        f"{debit} VALUES ('{release_id}', {COST}, {9 * COST})": "23505",  # a second debit for one release
        f"{debit} VALUES (gen_random_uuid(), {COST}, {9 * COST})": "23503",  # a debit for nothing
        f"{paid} {2 * COST - 1} FROM made": "QE006",  # beyond the limit
        unpaid.replace(f"{COST}, 0 FROM", f"{COST - 1}, 0 FROM"): "23514",  # cheaper than its header says
    }
    assert {statement: refusal_of(database_url, statement) for statement in refused} == refused


async def test_a_session_that_sees_an_older_moment_cannot_debit(store: Store, database_url: str) -> None:
    """Its sum would lack what was debited since; the number it would take is taken."""
    await committed(store)
    with closing(psycopg2.connect(database_url)) as stale, stale.cursor() as cursor:
        stale.set_session(isolation_level="REPEATABLE READ")
        cursor.execute("SELECT header FROM team_releases")
        await committed(store, 1)
        cursor.execute(
            "INSERT INTO team_releases (release_id, header, nano_rho, opt_out_generation) SELECT"
            " other, header || jsonb_build_object('release_id', other), nano_rho, 0"
            " FROM team_releases CROSS JOIN (SELECT gen_random_uuid() AS other) AS named"
        )
        with pytest.raises(psycopg2.errors.UniqueViolation, match="privacy_ledger_pkey"):
            cursor.execute(
                "INSERT INTO privacy_ledger (release_id, nano_rho, lifetime_nano_rho)"
                " SELECT release_id, nano_rho, 2 * nano_rho FROM team_releases WHERE opt_out_generation = 0"
                " EXCEPT SELECT release_id, nano_rho, 2 * nano_rho FROM privacy_ledger"
            )


def _only(chunks: ReadChunks, number: int) -> ReadChunks:
    """Return one of some chunks."""
    return ReadChunks(chunks.new[number : number + 1], chunks.is_open[number : number + 1], chunks.closed[:0])
