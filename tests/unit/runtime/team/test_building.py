"""What a build makes of contributions, sound and hostile, on a real server.

Noise is OpenDP's and cannot be seeded. What is asserted of it holds with more than six of its standard
deviations to spare, so that a sound build fails less than once in 10⁶ runs.
"""

import asyncio
import zlib
from collections.abc import AsyncIterator
from dataclasses import replace

import asyncpg
import numpy as np
import pytest

from qe_core.config import Settings
from qe_core.learning.arrays import Float64Array
from qe_core.learning.team_evidence import TeamEvidence
from qe_core.privacy.mechanism import plan_release
from qe_core.privacy.shared_knowledge import PESSIMISM
from qe_core.privacy.statistics import AgentStatistics
from qe_core.privacy.wire import decode, encode
from qe_core.runtime.team.building import AgentBuild, build
from qe_core.store.central import PublishedTable, TeamCuration, TeamServer
from tests.unit.runtime.team.contributing import (
    BOUND,
    BUSY_STATES,
    PLAN,
    SPACE,
    TASKS,
    Sent,
    changed,
    hand_in,
    header,
    honest,
    joined,
    noise,
    noisy,
)

CLIP_HUNDREDTHS = 10_000
HUGE = 9_000_000
BY_NOISE = 8
"""Noise alone carries a pair over minimum group and sureness with probability 3·10⁻⁵: of the 7,656 pairs
nobody visited none or one; 8 come less than once in 10⁹ runs."""


@pytest.fixture
async def curation(database_url: str) -> AsyncIterator[TeamCuration]:
    """A founded team that learns about everybody."""
    async with TeamCuration.connect(database_url) as opened:
        await opened.found()
        await opened.register([SPACE])
        yield opened


async def built(curation: TeamCuration) -> AgentBuild:
    """Build, and return what became of the one agent anybody contributed to."""
    report = await build(curation, Settings())
    return next(one for one in report.agents if one.agent == SPACE.agent)


async def pulled(url: str) -> PublishedTable:
    """Return the newest table as a member gets it."""
    async with TeamServer.connect(url) as server:
        (table,) = await server.newest({})
    return table


def broken() -> dict[str, tuple[Sent, str]]:
    """Return what is no contribution, by what is wrong, and a word of why it is set aside."""
    generator = np.random.default_rng(11)
    counts = noisy()
    sound = honest().part
    precise = plan_release(BOUND, 1, 50.0, 1e-6)
    negative = np.full_like(counts.visits, -10_000)
    beyond = counts.rewards.copy()
    beyond[0, 0] = 3 * CLIP_HUNDREDTHS * TASKS
    wide = counts.transitions.copy()
    wide[0, :] = TASKS
    return {
        "random bytes": (Sent(header(), generator.bytes(5_000)), "not compressed"),
        "nothing": (Sent(header(), b""), "do not fill"),
        "a bomb": (Sent(header(), zlib.compress(bytes(100_000_000))), "do not fill"),
        "cut short": (Sent(header(), sound[:-20]), "do not fill"),
        "added to": (Sent(header(), sound + b"x"), "do not fill"),
        "too few cells": (Sent(header(), zlib.compress(bytes(8 * SPACE.cell_count))), "do not fill"),
        "beyond all counting": (Sent(header(), zlib.compress(b"\xff" * 8 * (1 + SPACE.cell_count))), "2**50"),
        "more units than there are": (changed(units=2_000_000_000), "more than 1,000,000,000"),
        "negative units": (changed(units=-5_000), "its units have more noise"),
        "negative visits": (changed(visits=negative), "its visits have more noise"),
        "more visits than units": (changed(visits=counts.visits + 10 * TASKS), "more visits than"),
        "more successors than units": (changed(transitions=wide), "a row of successors"),
        "rewards beyond the clip bound": (changed(rewards=beyond), "larger than its visits"),
        "another loss than it says": (Sent(header(nano_rho=PLAN.nano_rho - 1), honest().part), "nano-ρ"),
        "less noise than it has": (
            Sent(header(privacy_epsilon=50.0, nano_rho=precise.nano_rho), honest().part),
            "more noise than it promises",
        ),
    }


async def test_three_contributors_make_a_table_that_a_newcomer_pulls(curation: TeamCuration) -> None:
    for name in ("ada", "bob", "ci"):
        await joined(curation, name, honest())
    found = await built(curation)
    table = await pulled(await curation.invite("newcomer"))
    assert (found.version, found.contributors, found.left_out, found.refusal) == (1, 3, 0, None)
    assert (table.version, table.contributors, table.fingerprint) == (1, 3, SPACE.fingerprint)
    known = table.table.visits > 0
    assert known[:BUSY_STATES].all()
    assert known[BUSY_STATES:].sum() < BY_NOISE
    assert found.known_pairs == known.sum()
    assert (table.table.q[:BUSY_STATES].argmax(axis=1) == 0).all()


async def test_nothing_is_published_twice_and_a_new_release_gives_a_new_table(curation: TeamCuration) -> None:
    urls = [await joined(curation, name, honest()) for name in ("ada", "bob", "ci")]
    first, second = await built(curation), await built(curation)
    assert (first.version, second.version, second.refusal) == (1, None, None)
    await hand_in(urls[0], honest())
    third = await built(curation)
    assert (third.version, third.contributors) == (2, 3), "the releases of one member are one contribution"
    newest, _ = await curation.publications()
    assert len(newest.lineage["releases"]) == 4
    assert "ada" not in str(newest.lineage)


async def test_below_the_cohort_nothing_is_published(curation: TeamCuration) -> None:
    await joined(curation, "ada", honest(), honest())
    await joined(curation, "bob", honest())
    idle = encode(noise(0))
    await joined(curation, "only noise", Sent(header(), idle))
    found = await built(curation)
    assert found.version is None
    assert found.refusal is not None
    assert "2 of 3 contributors report more than noise" in found.refusal
    assert await curation.publications() == []


async def test_what_is_no_contribution_is_set_aside_with_its_reason_and_changes_nothing(
    curation: TeamCuration,
) -> None:
    for name in ("ada", "bob", "ci"):
        await joined(curation, name, honest())
    await built(curation)
    cases = broken()
    await joined(curation, "mallory", *(sent for sent, _ in cases.values()))
    found = await built(curation)
    reasons = dict(found.set_aside)
    for what, (sent, words) in cases.items():
        assert words in reasons.get(sent.header.release_id, "it was not set aside"), what
    assert len(reasons) == len(cases)
    assert found.version is None, "the table is the same, bit for bit"
    assert {one.release_id for one in await curation.all_set_aside()} == set(reasons)
    assert [entry.kind for entry in await curation.log(len(cases))] == ["set-aside"] * len(cases)
    assert (await built(curation)).set_aside == (), "it is not read again"


async def test_sound_releases_of_a_member_count_beside_broken_ones(curation: TeamCuration) -> None:
    for name in ("ada", "bob"):
        await joined(curation, name, honest())
    await joined(curation, "ci", honest(), Sent(header(), b"broken"))
    found = await built(curation)
    assert (found.version, found.contributors, len(found.set_aside)) == (1, 3, 1)


def extreme(sign: int) -> Sent:
    """Return what claims a huge amount of evidence, all for one end of the scale, in every state."""
    empty = AgentStatistics.zeros(SPACE)
    visits = np.full_like(empty.visits, HUGE)
    transitions = empty.transitions.copy()
    transitions[:, -1] = HUGE
    return Sent(header(), encode(AgentStatistics(HUGE, visits, sign * CLIP_HUNDREDTHS * visits, transitions)))


@pytest.mark.parametrize("sign", [-1, 1])
async def test_a_hostile_member_moves_no_mean_beyond_its_share_and_makes_nothing_known(
    curation: TeamCuration, sign: int
) -> None:
    sound = [honest(points=80.0 if sign < 0 else -70.0) for _ in range(3)]
    for name, sent in zip(("ada", "bob", "ci"), sound, strict=True):
        url = await joined(curation, name, sent)
    await built(curation)
    before = (await pulled(url)).table
    await joined(curation, "mallory", extreme(sign), extreme_again(sign))
    found = await built(curation)
    after = (await pulled(url)).table
    assert (found.version, found.contributors, found.set_aside) == (2, 4, ())
    rules = Settings().team
    moved = np.abs(means(after) - means(before))[:BUSY_STATES]
    assert moved.max() <= rules.maximum_share * 2 * rules.clip_bound_points
    assert moved.min() > 50.0, "it did all it could"
    is_within = after.reported <= 2.001 * before.reported
    assert is_within[:BUSY_STATES].all(), "no more than all others together"
    scale = PLAN.scales.visits
    lowest = -rules.sureness_standard_errors * scale
    others = sum(np.maximum(decode(sent.part, SPACE).visits, lowest) for sent in sound)
    likely = rules.minimum_group + scale * np.sqrt(len(sound))
    assert (others[after.visits > 0] >= likely - 1e-6).all(), "what others hardly reported stays unknown"


def means(table: TeamEvidence) -> Float64Array:
    """Return the mean reward of each pair, where every step ends its task.

    A value is then the mean, less what caution takes off it, plus what it takes off the best action.
    """
    caution = PESSIMISM * table.error
    best = table.q.argmax(axis=1)[:, None]
    return np.asarray(table.q + caution - np.take_along_axis(caution, best, axis=1))


def extreme_again(sign: int) -> Sent:
    """Return the same claim once more, in other bytes."""
    sent = extreme(sign)
    return replace(sent, part=zlib.compress(zlib.decompress(sent.part), level=1))


async def test_leaving_out_a_revoked_member_takes_its_influence_back(curation: TeamCuration) -> None:
    for name in ("ada", "bob", "ci"):
        url = await joined(curation, name, honest(points=80.0))
    await built(curation)
    before = (await pulled(url)).table
    await joined(curation, "mallory", extreme(-1))
    await built(curation)
    await curation.revoke("mallory", is_left_out=True)
    found = await built(curation)
    after = await pulled(url)
    assert (found.version, found.contributors) == (3, 3)
    np.testing.assert_array_equal(after.table.q, before.q)


async def test_two_builds_at_once_publish_one_version(curation: TeamCuration, database_url: str) -> None:
    for name in ("ada", "bob", "ci"):
        await joined(curation, name, honest())
    async with TeamCuration.connect(database_url) as other:
        found = await asyncio.gather(built(curation), built(other))
    assert sorted(str(one.version) for one in found) == ["1", "None"]
    assert len(await curation.publications()) == 1


async def test_a_release_about_an_agent_unknown_here_is_neither_counted_nor_blamed(
    curation: TeamCuration, database_url: str
) -> None:
    for name in ("ada", "bob", "ci"):
        await joined(curation, name, honest())
    await built(curation)
    await joined(curation, "dev", honest())
    owner = await asyncpg.connect(database_url)
    try:
        await owner.execute(
            "ALTER TABLE team.releases DISABLE TRIGGER releases_are_kept; "
            "UPDATE team.releases SET header = jsonb_set(header, '{agents,0,0}', '\"plug-in\"') "
            "WHERE member_id = (SELECT member_id FROM team.members WHERE name = 'dev')"
        )
    finally:
        await owner.close()
    found = await built(curation)
    assert (found.version, found.contributors, found.set_aside) == (None, 3, ())
