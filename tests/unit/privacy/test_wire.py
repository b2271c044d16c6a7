"""The wire: what goes in comes out, what is odd is refused with words, and nothing else can be said."""

import tracemalloc
import zlib
from datetime import UTC, date, datetime
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError

from qe_core.errors import ContributionError, PrivacyError
from qe_core.fleet import registry
from qe_core.privacy.mechanism import plan_release
from qe_core.privacy.space import PublicSpace
from qe_core.privacy.statistics import AgentStatistics
from qe_core.privacy.units import ContributionBound, ProtectedUnit
from qe_core.privacy.wire import LARGEST_VALUE, ReleaseHeader, decode, encode, largest_part_bytes

SPACE = PublicSpace("one", "0" * 16, 6, 2, 2, np.arange(6) % 2, np.arange(6) // 2)
CELLS = 1 + SPACE.cell_count
COUNTS = st.integers(-LARGEST_VALUE, LARGEST_VALUE)
AGENT = registry().get("test-executor")
PLAN = plan_release(ContributionBound(ProtectedUnit.TASK, 5, 100.0), 1, 1.0, 1e-6)
FIELDS = {
    "release_id": UUID(int=1), "origin": "ab" * 16, "made_on": date(2026, 1, 2), "protected_unit": "task",
    "pairs": 5, "clip_bound": 100.0, "privacy_epsilon": 1.0, "privacy_delta": 1e-6,
    "nano_rho": PLAN.nano_rho, "agents": ((AGENT.name, AGENT.fingerprint),),
}  # fmt: skip


def statistics(values: np.ndarray) -> AgentStatistics:
    return AgentStatistics(
        int(values[0]), values[1:13].reshape(6, 2), values[13:25].reshape(6, 2), values[25:].reshape(4, 3)
    )


def assert_same(one: AgentStatistics, other: AgentStatistics) -> None:
    assert one.units == other.units
    for kind in ("visits", "rewards", "transitions"):
        np.testing.assert_array_equal(getattr(one, kind), getattr(other, kind))


@settings(deadline=None)
@given(arrays(np.int64, CELLS, elements=COUNTS))
def test_counts_come_back_as_they_were(values: np.ndarray) -> None:
    found = decode(encode(statistics(values)), SPACE)
    assert_same(found, statistics(values))
    assert found.visits.dtype == np.int64


def test_a_release_of_a_real_agent_is_small() -> None:
    space = PublicSpace.of(AGENT)
    noise = np.random.default_rng(0).normal(0, 20, 1 + space.cell_count).astype(np.int64)
    pairs = (space.state_count, space.action_count)
    visits, rewards, transitions = np.split(noise[1:], [space.pair_count, 2 * space.pair_count])
    data = encode(
        AgentStatistics(
            int(noise[0]), visits.reshape(pairs), rewards.reshape(pairs),
            transitions.reshape(space.row_count, space.outcome_count),
        )
    )  # fmt: skip
    assert len(data) < 1.5 * space.cell_count


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=2 * largest_part_bytes(SPACE)))
def test_garbage_is_refused_with_words(data: bytes) -> None:
    with pytest.raises(ContributionError, match="one"):
        decode(data, SPACE)


@settings(max_examples=150, deadline=None)
@given(arrays(np.int64, CELLS, elements=st.integers(-99, 99)), st.data())
def test_one_changed_byte_is_refused_or_still_counts(values: np.ndarray, data: st.DataObject) -> None:
    good = bytearray(encode(statistics(values)))
    place = data.draw(st.integers(0, len(good) - 1))
    good[place] ^= data.draw(st.integers(1, 255))
    try:
        found = decode(bytes(good), SPACE)
    except ContributionError:
        return
    assert found.visits.shape == (6, 2)


def test_a_bomb_is_not_unpacked() -> None:
    space = PublicSpace.of(AGENT)
    bomb = zlib.compress(bytes(100_000_000), 9)
    assert len(bomb) < largest_part_bytes(space)
    tracemalloc.start()
    with pytest.raises(ContributionError, match="do not fill exactly"):
        decode(bomb, space)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2_000_000


@pytest.mark.parametrize(
    "spoiled",
    [
        lambda good: good[:-1],
        lambda good: good + b"\0",
        lambda good: good + good,
        lambda good: zlib.compress(zlib.decompress(good)[:-8]),
        lambda good: zlib.compress(zlib.decompress(good) + bytes(8)),
        lambda good: zlib.decompress(good),
        lambda _: b"",
        lambda _: bytes(largest_part_bytes(SPACE) + 1),
    ],
    ids=["cut short", "a byte more", "twice", "a cell less", "a cell more", "plain", "empty", "too long"],
)
def test_what_is_not_exactly_one_agents_counts_is_refused(spoiled) -> None:
    good = encode(AgentStatistics.zeros(SPACE))
    with pytest.raises(ContributionError, match="one"):
        decode(spoiled(good), SPACE)


@pytest.mark.parametrize("value", [LARGEST_VALUE + 1, -LARGEST_VALUE - 1, 2**63 - 1, -(2**63)])
def test_counts_nobody_can_have_are_refused_on_both_sides(value: int) -> None:
    values = np.zeros(CELLS, dtype=np.int64)
    values[7] = value
    with pytest.raises(PrivacyError, match="2\\*\\*50"):
        encode(statistics(values))
    zigzag = np.uint64(2 * value if value >= 0 else -2 * value - 1)
    planes = np.zeros(CELLS, dtype="<u8")
    planes[7] = zigzag
    data = zlib.compress(planes.view(np.uint8).reshape(-1, 8).T.tobytes())
    with pytest.raises(ContributionError, match="2\\*\\*50"):
        decode(data, SPACE)


def test_the_counts_of_another_agent_are_refused() -> None:
    with pytest.raises(ContributionError, match="made for another contract"):
        decode(encode(AgentStatistics.zeros(SPACE)), PublicSpace.of(AGENT))


def test_a_header_comes_back_as_it_was() -> None:
    header = ReleaseHeader(**FIELDS)
    assert ReleaseHeader.model_validate_json(header.model_dump_json()) == header
    assert header.plan() == PLAN


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("origin", "AB" * 16), ("origin", "ab" * 17), ("origin", "ada@example.com"),
        ("release_id", "release 7"),
        ("made_on", datetime(2026, 1, 2, 3, 4, tzinfo=UTC)), ("protected_unit", "project"), ("pairs", 0),
        ("clip_bound", 101.0), ("clip_bound", float("nan")), ("privacy_epsilon", 0.0),
        ("privacy_epsilon", float("inf")), ("privacy_delta", 0.5), ("nano_rho", 0), ("agents", ()),
        ("agents", (("ada-lovelace", AGENT.fingerprint),)), ("agents", ((AGENT.name, "/home/ada"),)),
        ("agents", ((AGENT.name, AGENT.fingerprint),) * 2), ("note", "made by Ada"), ("developer", "ab" * 16),
        ("wire_format", 2),
    ],
)  # fmt: skip
def test_what_a_header_cannot_say_is_refused(field: str, value: object) -> None:
    with pytest.raises(ValidationError):
        ReleaseHeader(**{**FIELDS, field: value})


@pytest.mark.parametrize("change", [{"nano_rho": PLAN.nano_rho - 1}, {"privacy_epsilon": 2.0}])
def test_a_promise_that_does_not_add_up_is_refused(change: dict[str, float]) -> None:
    with pytest.raises(ContributionError, match="nano-ρ"):
        ReleaseHeader(**{**FIELDS, **change}).plan()
