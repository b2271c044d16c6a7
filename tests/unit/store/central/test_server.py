"""What a member's login can do through the product."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import asyncpg
import pytest

from qe_core.errors import ConfigError, ContributionError, DatabaseUnavailableError
from qe_core.store.central import TeamCuration, TeamServer
from qe_core.store.errors import TeamError
from tests.unit.store.central.releases import SPACE, header, part

NOT_A_HEADER = {
    "no JSON": "release",
    "nothing": "null",
    "a list": "[]",
    "a number too long to read": '{"pairs": 1e999999999}',
    "too deep": "[" * 16_000,
    "too long": '"' + "x" * 20_000 + '"',
    "a character that text cannot hold": r'{"origin": "\u0000"}',
}
WRONG_FIELDS = {
    "release_id": ["1", None, 7, "", "g" * 36],
    "origin": ["", "ada@example.com", "0" * 31, "A" * 32, None, ["0" * 32]],
    "made_on": ["2026-02-31", "tomorrow", "9999-01-01", 20260101, None, "2026-01-01T10:00:00"],
    "protected_unit": ["company", None, 1],
    "pairs": [0, -1, 1.5, 100_001, "5", None, True],
    "clip_bound": [0, -1, 101, "100", None],
    "privacy_epsilon": [0, -1, 51, "1", None],
    "privacy_delta": [0, -1e-6, 0.5, None],
    "nano_rho": [0, -5, 0.5, 1e300, None],
    "wire_format": [2, "1", None],
    "agents": [[], {}, None, [["a"]], [[1, 2]], [["a", "b", "c"]], "x", [[SPACE.agent, None]]],
}


async def bare(url: str, text: str, *parts: bytes) -> bool:
    """Call the server's function past the product's own checks."""
    connection = await asyncpg.connect(url)
    try:
        return bool(await connection.fetchval("SELECT team.submit($1, $2)", text, list(parts)))
    finally:
        await connection.close()


async def test_a_member_hands_a_release_in_once(curation: TeamCuration, member_url: str) -> None:
    sent = header()
    async with TeamServer.connect(member_url) as server:
        info = await server.hello()
        assert (info.protocol, info.name, info.members) == (1, "the testers", 1)
        assert info.agents == {SPACE.agent: SPACE.fingerprint}
        first = await server.submit(sent, {SPACE.agent: part(1)})
        second = await server.submit(sent, {SPACE.agent: part(1)})
        assert (first.is_new, second.is_new) == (True, False)
        assert await server.own_releases() == [sent.release_id]
    (stored,) = [one async for one in curation.contributions(SPACE.agent)]
    assert (stored.release_id, stored.part) == (sent.release_id, part(1))
    assert stored.read_header() == sent
    (member,) = await curation.members()
    assert (member.name, member.releases, member.bytes) == ("runner-1", 1, len(part(1)))


async def test_a_release_is_never_replaced_or_sent_again_under_another_name(
    curation: TeamCuration, member_url: str
) -> None:
    sent = header()
    other_url = await curation.invite("runner-2")
    async with TeamServer.connect(member_url) as server, TeamServer.connect(other_url) as other:
        await server.submit(sent, {SPACE.agent: part(1)})
        refused = [
            server.submit(sent, {SPACE.agent: part(2)}),
            server.submit(sent.model_copy(update={"pairs": 4}), {SPACE.agent: part(1)}),
            server.submit(header(), {SPACE.agent: part(1)}),
        ]
        for repeated in refused:
            with pytest.raises(ContributionError, match="came before"):
                await repeated
        for again in (sent, header()):
            with pytest.raises(ContributionError, match="came before"):
                await other.submit(again, {SPACE.agent: part(1)})
        assert (await server.own_releases(), await other.own_releases()) == ([sent.release_id], [])
    assert len([one async for one in curation.contributions(SPACE.agent)]) == 1


async def test_the_same_release_from_two_connections_at_once_is_stored_once(
    curation: TeamCuration, member_url: str
) -> None:
    sent = header()

    async def submitted() -> bool:
        async with TeamServer.connect(member_url) as server:
            return (await server.submit(sent, {SPACE.agent: part(1)})).is_new

    assert sorted(await asyncio.gather(*(submitted() for _ in range(4)))) == [False, False, False, True]
    assert len([one async for one in curation.contributions(SPACE.agent)]) == 1


@pytest.mark.parametrize("what", NOT_A_HEADER)
async def test_what_is_no_header_is_refused_in_words(what: str, member_url: str) -> None:
    with pytest.raises(asyncpg.PostgresError, match="the header") as refusal:
        await bare(member_url, NOT_A_HEADER[what], part(1))
    assert refusal.value.sqlstate == "QE008"


async def test_every_field_of_a_header_is_checked_by_the_server(
    curation: TeamCuration, member_url: str
) -> None:
    sound = json.loads(header().model_dump_json())
    assert set(WRONG_FIELDS) == set(sound)
    connection = await asyncpg.connect(member_url)
    try:
        for field, values in WRONG_FIELDS.items():
            changes = [{**sound, field: value} for value in values]
            changes.append({name: value for name, value in sound.items() if name != field})
            for changed in [*changes, {**sound, "developer": "ada"}]:
                with pytest.raises(asyncpg.PostgresError) as refusal:
                    await connection.fetchval("SELECT team.submit($1, $2)", json.dumps(changed), [part(1)])
                assert refusal.value.sqlstate == "QE008", (
                    field,
                    changed.get(field),
                )
    finally:
        await connection.close()
    assert [one async for one in curation.contributions(SPACE.agent)] == []
    assert await bare(member_url, json.dumps(sound), part(1))


async def test_a_release_from_the_future_is_refused(member_url: str) -> None:
    ahead = header().model_copy(update={"made_on": datetime.now(UTC).date() + timedelta(days=3)})
    async with TeamServer.connect(member_url) as server:
        with pytest.raises(ContributionError, match="check the clock"):
            await server.submit(ahead, {SPACE.agent: part(1)})


async def test_parts_must_be_those_the_header_names_and_of_bounded_size(member_url: str) -> None:
    text = header().model_dump_json()
    for parts in ([], [part(1), part(2)], [bytes(1_048_577)]):
        with pytest.raises(asyncpg.PostgresError) as refusal:
            await bare(member_url, text, *parts)
        assert refusal.value.sqlstate == "QE008"
    twice = json.loads(text) | {"agents": [[SPACE.agent, SPACE.fingerprint]] * 2}
    with pytest.raises(asyncpg.PostgresError, match="names an agent twice"):
        await bare(member_url, json.dumps(twice), part(1), part(2))
    async with TeamServer.connect(member_url) as server:
        with pytest.raises(ContributionError, match="other agents"):
            await server.submit(header(), {"test-executor": part(1)})


async def test_agents_nobody_registered_wait_until_the_server_knows_them(
    curation: TeamCuration, member_url: str
) -> None:
    unknown = header().model_copy(update={"agents": ((SPACE.agent, "0" * 16),)})
    async with TeamServer.connect(member_url) as server:
        with pytest.raises(TeamError, match=f"does not learn about {SPACE.agent} under this contract"):
            await server.submit(unknown, {SPACE.agent: part(1)})


async def test_a_member_that_floods_is_stopped_at_a_hundred_a_day(
    curation: TeamCuration, member_url: str
) -> None:
    async with TeamServer.connect(member_url) as server:
        for seed in range(100):
            await server.submit(header(), {SPACE.agent: seed.to_bytes(4)})
        for seed in range(100, 1_000):
            with pytest.raises(TeamError, match="100 releases"):
                await server.submit(header(), {SPACE.agent: seed.to_bytes(4)})
        assert len(await server.own_releases()) == 100
    other = await curation.invite("runner-2")
    async with TeamServer.connect(other) as server:
        assert (await server.submit(header(), {SPACE.agent: part(1)})).is_new, "others are not concerned"


async def test_two_connections_of_a_member_cannot_pass_a_limit_together(
    curation: TeamCuration, member_url: str
) -> None:
    async with TeamServer.connect(member_url) as server:
        for seed in range(99):
            await server.submit(header(), {SPACE.agent: seed.to_bytes(4)})
        slow = await asyncpg.connect(member_url)
        try:
            await slow.execute("BEGIN")
            await slow.fetchval("SELECT team.submit($1, $2)", header().model_dump_json(), [part(1)])
            other = asyncio.create_task(server.submit(header(), {SPACE.agent: part(2)}))
            await asyncio.sleep(0.2)
            assert not other.done(), "it waits for the release before it"
            await slow.execute("COMMIT")
        finally:
            await slow.close()
        with pytest.raises(TeamError, match="100 releases"):
            await other


async def test_a_members_bytes_a_day_are_bounded(
    curation: TeamCuration, database_url: str, member_url: str
) -> None:
    owner = await asyncpg.connect(database_url)
    try:
        await owner.execute(
            "INSERT INTO team.releases (release_id, member_id, header, digest, bytes) "
            "SELECT $1, member_id, '{}', '', 268435456 - 100 FROM team.members",
            uuid4(),
        )
    finally:
        await owner.close()
    async with TeamServer.connect(member_url) as server:
        with pytest.raises(TeamError, match="268,435,456 bytes a day"):
            await server.submit(header(), {SPACE.agent: bytes(101)})
        assert (await server.submit(header(), {SPACE.agent: bytes(100)})).is_new


async def test_addresses_that_lead_nowhere_say_what_to_do(
    curation: TeamCuration, database_url: str, empty_database_url: str, member_url: str
) -> None:
    async def refusal(url: str) -> str:
        with pytest.raises((ConfigError, DatabaseUnavailableError, TeamError)) as error:
            async with TeamServer.connect(url):
                pass
        return str(error.value)

    password = member_url.partition("@")[0].rpartition(":")[2]
    wrong = await refusal(member_url.replace(password, "wrong"))
    assert "refuses the login" in wrong
    assert "wrong" not in wrong.replace("wrong password", "")
    assert "no login" in await refusal("postgresql://db.example/qe")
    assert "cannot be reached" in await refusal("postgresql://a:b@/qe?host=/nowhere&port=5432")
    assert "no team's server" in await refusal(empty_database_url)
    assert "belongs to no member" in await refusal(database_url)
    assert password not in await refusal(member_url.replace("/socket", "/nowhere"))


async def test_a_server_of_another_protocol_is_refused(
    curation: TeamCuration, database_url: str, member_url: str
) -> None:
    owner = await asyncpg.connect(database_url)
    try:
        body = await owner.fetchval("SELECT pg_get_functiondef('team.hello()'::regprocedure)")
        await owner.execute(body.replace("'protocol', 1", "'protocol', 2"))
    finally:
        await owner.close()
    with pytest.raises(TeamError, match="protocol 2, this version 1; upgrade qe-fleet on this machine"):
        async with TeamServer.connect(member_url):
            pass


async def test_the_server_learns_nothing_about_the_machine(
    curation: TeamCuration, database_url: str, member_url: str
) -> None:
    owner = await asyncpg.connect(database_url)
    try:
        async with TeamServer.connect(member_url):
            seen = await owner.fetchrow(
                "SELECT application_name, usename, client_hostname FROM pg_stat_activity "
                "WHERE usename LIKE 'qe\\_team%'"
            )
    finally:
        await owner.close()
    assert (seen["application_name"], seen["client_hostname"]) == ("qe-fleet", None)
