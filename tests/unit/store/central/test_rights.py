"""What a member's login can do on the server itself: nothing but hand in and fetch.

The catalogue is gone over as a whole, so that a table or function somebody adds later fails here if members
may use it.
"""

from collections.abc import AsyncIterator

import asyncpg
import pytest

from qe_core.store import migrate
from qe_core.store.central import TeamCuration, TeamServer
from qe_core.store.urls import database_name, with_database
from tests.unit.store.central.releases import SPACE, header, part

ALLOWED = {"team.hello()", "team.submit(text,bytea[])", "team.newest(text[],bigint[])", "team.own_releases()"}

OPEN_RELATIONS = """
SELECT relation.oid::regclass::text AS what
FROM pg_class AS relation
INNER JOIN pg_namespace AS space ON relation.relnamespace = space.oid
WHERE
    relation.relkind IN ('r', 'v', 'm', 'p', 'f', 'S')
    AND space.nspname NOT IN ('pg_catalog', 'information_schema') AND space.nspname !~ '^pg_'
    AND CASE
        WHEN relation.relkind = 'S' THEN has_sequence_privilege(relation.oid, 'USAGE, SELECT, UPDATE')
        ELSE
            has_table_privilege(relation.oid, 'SELECT, INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')
            OR has_any_column_privilege(relation.oid, 'SELECT, INSERT, UPDATE, REFERENCES')
    END
"""

OPEN_FUNCTIONS = """
SELECT routine.oid::regprocedure::text AS what
FROM pg_proc AS routine
INNER JOIN pg_namespace AS space ON routine.pronamespace = space.oid
WHERE
    space.nspname NOT IN ('pg_catalog', 'information_schema')
    AND has_schema_privilege(space.oid, 'USAGE') AND has_function_privilege(routine.oid, 'EXECUTE')
"""

CHANGED_CATALOGUE = """
SELECT relation.oid::regclass::text AS what
FROM pg_class AS relation
INNER JOIN pg_namespace AS space ON relation.relnamespace = space.oid
WHERE
    space.nspname IN ('pg_catalog', 'information_schema') AND relation.relkind IN ('r', 'v')
    AND has_table_privilege(relation.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')
    AND relation.oid <> 'pg_settings'::regclass
"""

FORBIDDEN = {
    "read contributions": "SELECT part FROM team.contributions",
    "read releases": "SELECT header FROM team.releases",
    "count contributions": "SELECT count(*) FROM team.contributions",
    "read members": "SELECT name FROM team.members",
    "read the log": "SELECT * FROM team.log",
    "read tables past the function": "SELECT content FROM team.tables",
    "read experiences": "SELECT * FROM public.experience_chunks",
    "write contributions": "INSERT INTO team.set_aside VALUES (gen_random_uuid(), 'a', 'b')",
    "publish": "INSERT INTO team.tables VALUES ('a', 1, 'b', '', '', 1, '{}')",
    "empty a table": "TRUNCATE team.releases CASCADE",
    "lock a table": "BEGIN; LOCK TABLE team.contributions IN ACCESS SHARE MODE",
    "found": "SELECT team.found('mine')",
    "invite": "SELECT team.invite('friend', 'x')",
    "revoke": "SELECT team.close_login('other')",
    "be asked who it is": "SELECT team.acting_member()",
    "create a table": "CREATE TABLE public.mine (a int)",
    "create a table in team": "CREATE TABLE team.mine (a int)",
    "create a schema": "CREATE SCHEMA mine",
    "create a function": "CREATE FUNCTION team.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "create a temporary table": "CREATE TEMPORARY TABLE mine (a int)",
    "replace a function": "ALTER FUNCTION team.hello() SET search_path = public",
    "create a role": "CREATE ROLE mine",
    "create a database": "CREATE DATABASE mine",
    "become the owner": "SET ROLE qe",
    "become somebody else": "SET SESSION AUTHORIZATION qe",
    "read a file": "SELECT pg_read_file('/etc/passwd')",
    "run a program": "COPY (SELECT 1) TO PROGRAM 'cat'",
    "write a file": "COPY (SELECT 1) TO '/tmp/mine'",
    "read passwords": "SELECT rolpassword FROM pg_authid",
    "create a large object": "SELECT lo_create(0)",
    "fill a large object": "SELECT lo_from_bytea(0, 'x')",
    "take an advisory lock": "SELECT pg_advisory_lock(1)",
    "send a notification by function": "SELECT pg_notify('qe_tables', 'x')",
    "raise its temporary files": "SET temp_file_limit = -1",
    "end another's session": "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'qe'",
    "drop its limit of connections": "DO $$ BEGIN EXECUTE format('ALTER ROLE %I CONNECTION LIMIT -1', "
    "session_user); END $$",
    "leave code to the owner": "ALTER DEFAULT PRIVILEGES FOR ROLE qe GRANT ALL ON TABLES TO public",
    "comment": "COMMENT ON DATABASE postgres IS 'mine'",
    "stop the write-ahead log": "SELECT pg_switch_wal()",
    "keep the log from being removed": "SELECT pg_create_physical_replication_slot('mine', true)",
}


@pytest.fixture
async def member(member_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A bare connection with a member's login, past the product."""
    connection = await asyncpg.connect(member_url)
    yield connection
    await connection.close()


async def test_of_all_relations_members_may_use_none(member: asyncpg.Connection) -> None:
    assert [row["what"] for row in await member.fetch(OPEN_RELATIONS)] == []
    assert [row["what"] for row in await member.fetch(CHANGED_CATALOGUE)] == []


async def test_of_all_functions_members_may_call_four(member: asyncpg.Connection) -> None:
    assert {row["what"] for row in await member.fetch(OPEN_FUNCTIONS)} == ALLOWED


async def test_a_table_somebody_opens_later_would_be_found(
    curation: TeamCuration, database_url: str, member: asyncpg.Connection
) -> None:
    owner = await asyncpg.connect(database_url)
    try:
        await owner.execute(
            "CREATE TABLE team.later (a int, b int); GRANT SELECT (b) ON team.later TO public"
        )
        await owner.execute("CREATE FUNCTION team.later() RETURNS int LANGUAGE sql AS 'SELECT 1'")
        assert [row["what"] for row in await member.fetch(OPEN_RELATIONS)] == ["team.later"]
        assert {row["what"] for row in await member.fetch(OPEN_FUNCTIONS)} == ALLOWED, (
            "new functions of the owner are closed by default"
        )
        await owner.execute("GRANT EXECUTE ON FUNCTION team.later() TO public")
        assert {row["what"] for row in await member.fetch(OPEN_FUNCTIONS)} == {*ALLOWED, "team.later()"}
    finally:
        await owner.close()


async def test_a_member_may_do_nothing_of_what_a_database_offers(member: asyncpg.Connection) -> None:
    allowed = []
    for what, statement in FORBIDDEN.items():
        try:
            await member.execute(statement)
        except asyncpg.InsufficientPrivilegeError:
            await member.execute("ROLLBACK")
        else:
            allowed.append(what)
    assert allowed == []


async def test_member_functions_run_as_a_role_without_login_and_with_a_pinned_path(
    curation: TeamCuration, database_url: str
) -> None:
    owner = await asyncpg.connect(database_url)
    try:
        rows = await owner.fetch(
            "SELECT routine.oid::regprocedure::text AS what, routine.prosecdef, routine.proconfig, "
            "role.rolcanlogin OR role.rolsuper OR role.rolcreaterole AS is_mighty, "
            "has_table_privilege(role.oid, 'team.contributions', 'SELECT') "
            "OR has_column_privilege(role.oid, 'team.contributions', 'part', 'SELECT') "
            "OR has_column_privilege(role.oid, 'team.releases', 'header', 'SELECT') AS reads_contributions "
            "FROM pg_proc AS routine INNER JOIN pg_roles AS role ON routine.proowner = role.oid "
            "WHERE routine.oid IN (SELECT team.member_functions())"
        )
    finally:
        await owner.close()
    assert {row["what"] for row in rows} == ALLOWED
    for row in rows:
        assert row["prosecdef"]
        assert row["proconfig"] == ["search_path=pg_catalog, pg_temp"]
        assert not row["is_mighty"]
        assert not row["reads_contributions"], "not even a fault in a function can give one away"


async def test_who_sends_is_the_login_whatever_the_session_claims(
    curation: TeamCuration, member_url: str
) -> None:
    other_url = await curation.invite("runner-2")
    async with TeamServer.connect(member_url) as server:
        await server.submit(header(), {SPACE.agent: part(1)})
    other = await asyncpg.connect(other_url)
    try:
        for setting in ("role", "session_authorization"):
            with pytest.raises(asyncpg.PostgresError):
                await other.execute(f"SET {setting} = 'qe'")
        assert await other.fetch("SELECT * FROM team.own_releases()") == []
    finally:
        await other.close()


async def test_logins_tell_nobodys_name_and_members_know_no_other(
    curation: TeamCuration, member: asyncpg.Connection
) -> None:
    await curation.invite("grace-laptop")
    rows = await member.fetch("SELECT rolname FROM pg_roles")
    assert not [row for row in rows if "grace" in row["rolname"] or "runner" in row["rolname"]]
    hidden = await member.fetchval(
        "SELECT bool_and(query = '<insufficient privilege>') FROM pg_stat_activity "
        "WHERE usename <> session_user AND query IS NOT null"
    )
    assert hidden is not False


async def test_a_login_has_few_connections_and_little_room_for_temporary_files(member_url: str) -> None:
    opened = [await asyncpg.connect(member_url) for _ in range(4)]
    try:
        with pytest.raises(asyncpg.TooManyConnectionsError):
            await asyncpg.connect(member_url)
        assert await opened[0].fetchval("SHOW temp_file_limit") == "64MB"
    finally:
        for connection in opened:
            await connection.close()


async def test_two_teams_on_one_server_do_not_meet(member_url: str, empty_database_url: str) -> None:
    await migrate(empty_database_url)
    async with TeamCuration.connect(empty_database_url) as other:
        await other.found()
        url = await other.invite("runner-1")
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="permission denied for database"):
            await asyncpg.connect(with_database(member_url, database_name(empty_database_url)))
        async with TeamServer.connect(url) as server:
            assert (await server.hello()).members == 1
