"""What the curator does: founding, inviting, revoking, registering, publishing."""

import asyncio
from dataclasses import replace

import asyncpg
import numpy as np
import pytest

from qe_core.errors import DatabaseUnavailableError
from qe_core.learning.team_evidence import TeamEvidence
from qe_core.store.central import TeamCuration, TeamServer
from qe_core.store.errors import TeamError
from tests.unit.store.central.releases import SPACE, header, part


def table(value: float) -> TeamEvidence:
    """Return a table that says this everywhere."""
    shape = (SPACE.state_count, SPACE.action_count)
    return TeamEvidence(
        np.full(shape, value), np.ones(shape, dtype=np.int64), np.full(shape, 0.5), np.full(shape, 12.0)
    )


async def test_founding_is_safe_to_repeat(curation: TeamCuration, member_url: str) -> None:
    assert await curation.is_founded()
    assert not await curation.found(name="another name")
    async with TeamServer.connect(member_url) as server:
        assert (await server.hello()).name == "the testers"


async def test_after_a_restore_without_roles_the_team_is_founded_again_and_members_are_invited_again(
    curation: TeamCuration, member_url: str, database_url: str
) -> None:
    async with TeamServer.connect(member_url) as server:
        await server.submit(header(), {SPACE.agent: part(1)})
    login = member_url.removeprefix("postgresql://").partition(":")[0]
    owner = await asyncpg.connect(database_url)
    try:
        group = await owner.fetchval("SELECT team.role_name('member')")
        await owner.execute(f'DROP ROLE "{login}"; DROP OWNED BY "{group}"; DROP ROLE "{group}"')
    finally:
        await owner.close()
    assert not await curation.found()
    async with TeamServer.connect(await curation.invite("runner-1")) as server:
        assert len(await server.own_releases()) == 1


async def test_a_database_that_serves_no_team_says_so(database_url: str) -> None:
    async with TeamCuration.connect(database_url) as curation:
        assert not await curation.is_founded()
        with pytest.raises(TeamError, match="qe team found"):
            await curation.invite("ada")
        with pytest.raises(TeamError, match="qe team found"):
            async with curation.building():
                pass


async def test_a_revoked_member_is_out_at_once_even_in_the_middle_of_a_session(
    curation: TeamCuration, member_url: str
) -> None:
    async with TeamServer.connect(member_url) as server:
        await server.submit(header(), {SPACE.agent: part(1)})
        assert await curation.revoke("runner-1") == 0
        with pytest.raises(DatabaseUnavailableError, match="lost"):
            await server.hello()
    with pytest.raises(DatabaseUnavailableError, match="refuses the login"):
        async with TeamServer.connect(member_url):
            pass
    (member,) = await curation.members()
    assert (member.is_active, member.releases) == (False, 1)
    assert len([one async for one in curation.contributions(SPACE.agent)]) == 1


async def test_a_member_that_never_ends_its_transaction_is_revoked_all_the_same(
    curation: TeamCuration, member_url: str
) -> None:
    stubborn = await asyncpg.connect(member_url)
    try:
        await stubborn.execute("BEGIN")
        text = header().model_dump_json()
        assert await stubborn.fetchval("SELECT team.submit($1, $2)", text, [part(1)])
        await asyncio.wait_for(curation.revoke("runner-1"), timeout=20)
        with pytest.raises((asyncpg.PostgresConnectionError, asyncpg.InterfaceError)):
            await stubborn.execute("COMMIT")
    finally:
        stubborn.terminate()
    assert [one async for one in curation.contributions(SPACE.agent)] == []
    assert (await curation.members())[0].is_active is False


async def test_a_revocation_that_was_killed_halfway_can_be_repeated(
    curation: TeamCuration, member_url: str, database_url: str
) -> None:
    owner = await asyncpg.connect(database_url)
    try:
        await owner.execute("SELECT team.close_login('runner-1')")
    finally:
        await owner.close()
    with pytest.raises(DatabaseUnavailableError, match="refuses the login"):
        async with TeamServer.connect(member_url):
            pass
    await curation.revoke("runner-1")
    assert (await curation.members())[0].is_active is False


async def test_what_a_revoked_member_sent_can_be_left_out(curation: TeamCuration, member_url: str) -> None:
    async with TeamServer.connect(member_url) as server:
        await server.submit(header(), {SPACE.agent: part(1)})
    assert await curation.revoke("runner-1", is_left_out=True) == 1
    assert [one async for one in curation.contributions(SPACE.agent)] == []
    (aside,) = await curation.all_set_aside()
    assert "revoked" in aside.why


async def test_who_is_invited_again_stays_the_same_contributor(
    curation: TeamCuration, member_url: str
) -> None:
    with pytest.raises(TeamError, match="is a member already"):
        await curation.invite("runner-1")
    before = await curation.members()
    await curation.revoke("runner-1")
    url = await curation.invite("runner-1")
    assert url != member_url
    assert [one.member_id for one in await curation.members()] == [one.member_id for one in before]
    async with TeamServer.connect(url) as server:
        assert (await server.hello()).members == 1
    with pytest.raises(TeamError, match="no member is called nobody"):
        await curation.revoke("nobody")


async def test_passwords_are_stored_and_sent_as_verifiers_only(
    curation: TeamCuration, member_url: str, database_url: str
) -> None:
    login, _, password = member_url.removeprefix("postgresql://").partition("@")[0].partition(":")
    owner = await asyncpg.connect(database_url)
    try:
        stored = await owner.fetchval("SELECT rolpassword FROM pg_authid WHERE rolname = $1", login)
    finally:
        await owner.close()
    assert stored.startswith("SCRAM-SHA-256$4096:")
    assert len(password) == 43
    said = "".join(str(entry.details) for entry in await curation.log())
    assert password not in said
    assert login not in said


async def test_an_owner_that_is_no_superuser_can_found_invite_and_revoke(
    database_url: str,
) -> None:
    admin = await asyncpg.connect(database_url)
    database = await admin.fetchval("SELECT current_database()")
    owner = f"owner_of_{database}"
    try:
        await admin.execute(f"CREATE ROLE {owner} LOGIN CREATEROLE PASSWORD 'simple'")
        await admin.execute(f"ALTER DATABASE {database} OWNER TO {owner}")
        await admin.execute(f"ALTER SCHEMA team OWNER TO {owner}")
        for kind, names in {
            "TABLE": "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables "
            "WHERE schemaname IN ('team', 'public')",
            "FUNCTION": "SELECT oid::regprocedure::text FROM pg_proc "
            "WHERE pronamespace = 'team'::regnamespace",
        }.items():
            for (name,) in await admin.fetch(names):
                await admin.execute(f"ALTER {kind} {name} OWNER TO {owner}")
        url = database_url.replace("qe@/", f"{owner}:simple@/")
        async with TeamCuration.connect(url) as curation:
            await curation.found()
            assert not await curation.found()
            await curation.register([SPACE])
            member_url = await curation.invite("ada")
            async with TeamServer.connect(member_url) as server:
                assert (await server.submit(header(), {SPACE.agent: part(1)})).is_new
                await curation.revoke("ada")
                with pytest.raises(DatabaseUnavailableError):
                    await server.hello()
            assert await curation.members()
            openings = await curation.openings()
            assert "members can create large objects, take advisory locks or send notifications" in openings
    finally:
        await admin.close()


async def test_a_login_without_the_rights_is_told(curation: TeamCuration, database_url: str) -> None:
    admin = await asyncpg.connect(database_url)
    try:
        name = f"weak_{await admin.fetchval('SELECT current_database()')}"
        await admin.execute(
            f"CREATE ROLE {name} LOGIN PASSWORD 'simple'; GRANT CONNECT ON DATABASE "
            f"{await admin.fetchval('SELECT current_database()')} TO {name}; "
            f"GRANT USAGE ON SCHEMA public, team TO {name}; GRANT SELECT ON alembic_version TO {name}"
        )
    finally:
        await admin.close()
    async with TeamCuration.connect(database_url.replace("qe@/", f"{name}:simple@/")) as weak:
        for asked in (weak.found(), weak.invite("ada"), weak.members(), weak.log(), weak.is_founded()):
            with pytest.raises(TeamError, match="may not do that"):
                await asked


async def test_a_curator_reads_and_publishes_and_does_not_invite(
    curation: TeamCuration, database_url: str, member_url: str
) -> None:
    async with TeamServer.connect(member_url) as server:
        await server.submit(header(), {SPACE.agent: part(1)})
    admin = await asyncpg.connect(database_url)
    try:
        name = f"builder_{await admin.fetchval('SELECT current_database()')}"
        await admin.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'simple'")
        group = await admin.fetchval("SELECT team.role_name('curator')")
        await admin.execute(f'GRANT "{group}" TO {name}')
    finally:
        await admin.close()
    async with TeamCuration.connect(database_url.replace("qe@/", f"{name}:simple@/")) as builder:
        async with builder.building():
            (stored,) = [one async for one in builder.contributions(SPACE.agent)]
            await builder.register([SPACE])
            assert await builder.set_aside(stored.release_id, SPACE.agent, "tried") is True
            assert await builder.publish(SPACE, table(1.0), 3, {}) == 1
        with pytest.raises(TeamError, match="may not do that"):
            await builder.invite("friend")
        with pytest.raises(TeamError, match="may not do that"):
            await builder.revoke("runner-1")


async def test_a_published_table_arrives_bit_for_bit_and_only_if_new(
    curation: TeamCuration, member_url: str
) -> None:
    generator = np.random.default_rng(3)
    shape = (SPACE.state_count, SPACE.action_count)
    made = TeamEvidence(
        generator.normal(size=shape),
        generator.integers(0, 2**40, shape),
        generator.random(shape),
        generator.random(shape),
    )
    assert await curation.publish(SPACE, table(1.0), 3, {}) == 1
    assert await curation.publish(SPACE, made, 4, {"releases": ["a"]}) == 2
    assert await curation.publish(SPACE, made, 4, {"releases": ["b"]}) is None
    async with TeamServer.connect(member_url) as server:
        (found,) = await server.newest({SPACE.agent: 1})
        assert await server.newest({SPACE.agent: 2}) == []
    assert (found.version, found.contributors, found.fingerprint) == (2, 4, SPACE.fingerprint)
    for name in ("q", "visits", "error", "reported"):
        np.testing.assert_array_equal(getattr(found.table, name), getattr(made, name))
    assert [one.version for one in await curation.publications()] == [2, 1]


async def test_a_changed_contract_ends_what_was_contributed_under_the_old_one(
    curation: TeamCuration, member_url: str
) -> None:
    changed = replace(SPACE, fingerprint="f" * 16)
    await curation.publish(SPACE, table(1.0), 3, {})
    async with TeamServer.connect(member_url) as server:
        await server.submit(header(), {SPACE.agent: part(1)})
        assert await curation.register([changed])
        assert not await curation.register([changed])
        assert (await server.hello()).agents == {SPACE.agent: "f" * 16}
        assert await server.newest({}) == [], "a table of another contract is nobody's"
        assert (await server.submit(header(), {SPACE.agent: part(2)})).is_new, "what was on its way is taken"
        assert await curation.publish(changed, table(1.0), 3, {}) == 2
    assert [one async for one in curation.contributions(SPACE.agent)] == []
    await curation.register([SPACE])
    assert len([one async for one in curation.contributions(SPACE.agent)]) == 2


async def test_what_was_set_aside_stays_so_and_is_in_the_log(curation: TeamCuration, member_url: str) -> None:
    sent = header()
    async with TeamServer.connect(member_url) as server:
        await server.submit(sent, {SPACE.agent: part(1)})
    assert await curation.set_aside(sent.release_id, SPACE.agent, "it is odd")
    assert not await curation.set_aside(sent.release_id, SPACE.agent, "it is odder")
    assert [one.why for one in await curation.all_set_aside()] == ["it is odd"]
    kinds = [entry.kind for entry in await curation.log()]
    assert kinds == ["set-aside", "invited", "registered", "founded"]


async def test_builds_wait_for_each_other(curation: TeamCuration) -> None:
    order: list[str] = []
    is_inside = asyncio.Event()

    async def first() -> None:
        async with curation.building():
            is_inside.set()
            await asyncio.sleep(0.3)
            order.append("first")

    async def second() -> None:
        await is_inside.wait()
        async with curation.building():
            order.append("second")

    await asyncio.gather(first(), second())
    assert order == ["first", "second"]


async def test_no_history_can_be_changed(curation: TeamCuration, database_url: str, member_url: str) -> None:
    async with TeamServer.connect(member_url) as server:
        await server.submit(header(), {SPACE.agent: part(1)})
    await curation.publish(SPACE, table(1.0), 3, {})
    owner = await asyncpg.connect(database_url)
    try:
        for statement in (
            "UPDATE team.releases SET bytes = 0",
            "UPDATE team.contributions SET part = ''",
            "UPDATE team.tables SET content = ''",
            "DELETE FROM team.log",
        ):
            with pytest.raises(asyncpg.PostgresError, match="never changed"):
                await owner.execute(statement)
    finally:
        await owner.close()


async def test_a_login_that_owns_something_elsewhere_is_left_without_login(
    curation: TeamCuration, member_url: str, empty_database_url: str
) -> None:
    login = member_url.removeprefix("postgresql://").partition(":")[0]
    elsewhere = await asyncpg.connect(empty_database_url)
    try:
        await elsewhere.execute(f'CREATE TABLE theirs (a int); ALTER TABLE theirs OWNER TO "{login}"')
        await curation.revoke("runner-1")
        assert await elsewhere.fetchval("SELECT NOT rolcanlogin FROM pg_roles WHERE rolname = $1", login)
        await curation.invite("runner-2")
        await curation.revoke("runner-2")
        await elsewhere.execute(f'DROP TABLE theirs; DROP ROLE "{login}"')
    finally:
        await elsewhere.close()
