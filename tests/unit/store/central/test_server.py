"""What a member's login can do through the product."""

from qe_core.store.central import TeamCuration, TeamServer
from tests.unit.store.central.releases import SPACE, header, part


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
