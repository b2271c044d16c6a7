"""Work beside the services."""

import asyncio

import pytest

from qe_core.runtime.serving import nothing, work_until


async def test_everything_goes_on_when_the_work_is_done() -> None:
    stop = asyncio.Event()
    end = asyncio.create_task(stop.wait())
    waiting = asyncio.create_task(work_until(nothing, {end}))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    stop.set()
    await waiting


async def test_work_that_fails_ends_everything() -> None:
    async def fail() -> None:
        raise MemoryError("no room")

    end = asyncio.create_task(asyncio.sleep(3_600))
    with pytest.raises(MemoryError, match="no room"):
        await work_until(fail, {end})
    end.cancel()


async def test_an_end_cuts_the_work_short() -> None:
    is_tidy = False

    async def work() -> None:
        nonlocal is_tidy
        try:
            await asyncio.sleep(3_600)
        finally:
            is_tidy = True

    await work_until(work, {asyncio.create_task(asyncio.sleep(0.01))})
    assert is_tidy
