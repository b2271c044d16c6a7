"""One table's line: what is sent, what is pending, what expires."""

import asyncio

from qe_core.store.live.line import Acknowledgement, Entry, Line, packed
from qe_core.store.live.packing import pack_batch
from qe_core.store.live.updates import Experience, PackedUpdates
from tests.unit.store.live.examples import HANDLE, NOW, batch, experience


def entry(content: Experience | PackedUpdates, expires_at: float = 100.0) -> Entry:
    count = 1 if isinstance(content, Experience) else len(content)
    future: asyncio.Future[Acknowledgement] = asyncio.get_running_loop().create_future()
    return Entry(content, 2.0, 0.5, count, future, expires_at)


async def test_a_flush_takes_the_oldest_entries_up_to_the_limit() -> None:
    line = Line(HANDLE)
    for step in range(5):
        line.add(entry(experience(step=step)))
    sent = line.send_next(3, "agent")
    assert [of.content.step for of in sent.entries if isinstance(of.content, Experience)] == [0, 1, 2]
    assert sent.flush.count == 3
    assert len(line.waiting) == 2


async def test_a_flush_on_its_way_is_sent_again_and_nothing_overtakes_it() -> None:
    line = Line(HANDLE)
    line.add(entry(experience()))
    first = line.send_next(10, "agent")
    line.add(entry(experience(step=1)))
    line.is_ambiguous = True
    line.take_back()
    assert line.send_next(10, "agent") is first


async def test_entries_of_a_flush_that_was_not_applied_go_back_to_the_front() -> None:
    line = Line(HANDLE)
    entries = [entry(experience(step=step)) for step in range(3)]
    for of in entries:
        line.add(of)
    before = line.send_next(2, "agent")
    line.take_back()
    assert list(line.waiting) == entries
    assert line.send_next(2, "agent").flush.flush_id != before.flush.flush_id


async def test_entries_with_and_without_experiences_do_not_share_a_flush() -> None:
    line = Line(HANDLE)
    line.add(entry(experience()))
    line.add(entry(pack_batch(HANDLE, batch(2, occurred_at=None), NOW)))
    line.add(entry(experience(step=1)))
    assert line.send_next(10, "agent").flush.count == 1
    line.sent = None
    assert line.send_next(10, "agent").flush.count == 2


async def test_pending_updates_are_seen_until_they_are_forgotten() -> None:
    line = Line(HANDLE)
    single = entry(experience(state=3, action=1))
    many = entry(pack_batch(HANDLE, batch(2, state=[3, 4], action=[0, 2], target=[7.0, 8.0]), NOW))
    line.add(single)
    line.add(many)
    sent = line.send_next(10, "agent")
    assert line.pending(3) == [(1, 2.0, 0.5), (0, 7.0, 0.1)]
    line.forget(sent.entries)
    assert line.pending(3) == []
    assert line.pending(4) == []


async def test_only_what_waits_expires_not_what_is_on_its_way() -> None:
    line = Line(HANDLE)
    early, late = entry(experience(), expires_at=1.0), entry(experience(step=1), expires_at=2.0)
    line.add(early)
    line.send_next(10, "agent")
    line.add(late)
    assert line.expired(5.0) == [late]
    assert line.sent is not None
    assert line.sent.entries == (early,)


async def test_neighbouring_singles_are_packed_together_and_order_is_kept() -> None:
    many = pack_batch(HANDLE, batch(2, target=[7.0, 8.0]), NOW)
    parts = packed([entry(experience()), entry(experience(step=1)), entry(many), entry(experience(step=2))])
    assert [len(part) for part in parts] == [2, 2, 1]
    assert [float(value) for part in parts for value in part.target] == [2.0, 2.0, 7.0, 8.0, 2.0]


async def test_a_caller_that_has_gone_is_not_answered() -> None:
    gone = entry(experience())
    gone.future.cancel()
    gone.settle(Acknowledgement(1, 1, False))
    assert gone.future.cancelled()
