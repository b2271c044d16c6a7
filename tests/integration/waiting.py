"""Waiting in tests for what other processes do, never longer than patience lasts."""

import asyncio
from collections.abc import Callable

PATIENCE_SECONDS = 30.0


async def until(is_so: Callable[[], bool]) -> None:
    """Wait until something holds; fail if it does not within patience."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not is_so():  # noqa: ASYNC110 - what is waited for is PostgreSQL's to do
            await asyncio.sleep(0.005)
