"""Letting a running learner follow what the monitor asks of its agent.

What belongs here: reading the present adjustment now and then and handing it on. What does not: deciding on
adjustments (`monitoring`) and what they mean (`qe_core.learning.divergence_response`).
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from qe_core.errors import StoreError
from qe_core.runtime.learner import Learner
from qe_core.store import Store

LOGGER = logging.getLogger(__name__)

EVERY_SECONDS = 60.0
"""How often to look; a response to divergence is a matter of windows, not of seconds."""


@asynccontextmanager
async def adjustments_followed(
    store: Store, learner: Learner, every_seconds: float = EVERY_SECONDS
) -> AsyncIterator[None]:
    """Keep a learner adjusted as its agent is, from the first moment inside until the last.

    While the database cannot be asked the last adjustment holds: an agent never stops for this.

    Args:
        store: where adjustments are.
        learner: whose learning rate and exploration follow them.
        every_seconds: pause between two looks.
    """
    await _look(store, learner)
    following = asyncio.create_task(_follow(store, learner, every_seconds))
    try:
        yield
    finally:
        following.cancel()
        with suppress(asyncio.CancelledError):
            await following


async def _follow(store: Store, learner: Learner, every_seconds: float) -> None:
    while True:
        await asyncio.sleep(every_seconds)
        await _look(store, learner)


async def _look(store: Store, learner: Learner) -> None:
    try:
        learner.adjust(await store.adjustments.present(learner.contract.name))
    except StoreError as error:
        LOGGER.warning("adjustments of %s are not known now: %s", learner.contract.name, error)
