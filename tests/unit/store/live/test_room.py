"""Bounded room: whoever comes first is served first, and nothing is counted twice."""

import asyncio

import pytest

from qe_core.store.live.room import Room


async def test_room_is_taken_at_once_while_there_is_enough() -> None:
    room = Room(10)
    await room.take(6, 1.0)
    assert room.take_now(4)
    assert not room.take_now(1)
    assert room.taken == 10


async def test_a_small_request_does_not_overtake_a_large_one() -> None:
    room = Room(10)
    await room.take(8, 1.0)
    order: list[str] = []

    async def wait(name: str, count: int) -> None:
        await room.take(count, 5.0)
        order.append(name)

    large = asyncio.create_task(wait("large", 5))
    await asyncio.sleep(0)
    small = asyncio.create_task(wait("small", 1))
    await asyncio.sleep(0)
    assert order == []
    room.give_back(8)
    await asyncio.gather(large, small)
    assert order == ["large", "small"]
    assert room.taken == 6


async def test_a_request_larger_than_the_room_is_admitted_alone() -> None:
    room = Room(10)
    await room.take(1, 1.0)
    waiting = asyncio.create_task(room.take(50, 5.0))
    await asyncio.sleep(0)
    assert not waiting.done()
    room.give_back(1)
    await waiting
    assert room.taken == 50


async def test_waiting_ends_at_the_deadline_and_leaves_the_turn_to_the_next() -> None:
    room = Room(10)
    await room.take(8, 1.0)
    late = asyncio.create_task(room.take(5, 0.01))
    await asyncio.sleep(0)
    following = asyncio.create_task(room.take(2, 5.0))
    with pytest.raises(TimeoutError):
        await late
    await following
    assert room.taken == 10


async def test_a_cancelled_caller_takes_no_room() -> None:
    room = Room(1)
    await room.take(1, 1.0)
    waiting = asyncio.create_task(room.take(1, 5.0))
    await asyncio.sleep(0)
    waiting.cancel()
    room.give_back(1)
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert room.taken == 0
    assert room.take_now(1)
