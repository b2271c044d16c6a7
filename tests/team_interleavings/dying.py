"""Processes that push, pull, undo or build, and are killed by SIGKILL at a chosen moment.

What belongs here: the moments, and dying at one. What does not: choosing them (`machine`).
"""

import asyncio
import functools
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from multiprocessing import get_context
from typing import Any
from unittest import mock

from qe_core.errors import PrivacyError
from qe_core.runtime.team import building, privacy_manager
from qe_core.store.central import TeamCuration, TeamServer
from qe_core.store.q_tables import QTableStore
from qe_core.store.team import ReleaseStore, TeamTableStore
from tests.integration.runtime.team.nursery import Contributor

_context = get_context("forkserver")
_context.set_forkserver_preload([__name__])

LONGEST_SECONDS = 60.0


class Act(StrEnum):
    """What a process does when it is killed."""

    PUSH = "push"
    PULL = "pull"
    UNDO = "undo"
    BUILD = "build"


MOMENTS: dict[Act, list[tuple[type, str, bool]]] = {
    Act.PUSH: [
        (ReleaseStore, "finished_tasks", True),
        (ReleaseStore, "commit", False),
        (ReleaseStore, "commit", True),
        (TeamServer, "submit", False),
        (TeamServer, "submit", True),
    ],
    Act.PULL: [
        (TeamTableStore, "save", False),
        (TeamTableStore, "save", True),
        (QTableStore, "publish_with_retry", False),
        (QTableStore, "publish_with_retry", True),
    ],
    Act.UNDO: [(TeamTableStore, "undo", True), (QTableStore, "publish_with_retry", True)],
    Act.BUILD: [(TeamCuration, "publish", False), (TeamCuration, "publish", True)],
}
"""By what is done: before or after (True) which step the process dies."""


def killed(act: Act, moment: int, contributor: Contributor, central_url: str) -> bool:
    """Return whether a process that did this was killed on the way; else it never came to the moment."""
    process = _context.Process(target=_die, args=(act, moment, contributor, central_url))
    process.start()
    process.join(LONGEST_SECONDS)
    if process.is_alive():
        process.kill()
        process.join()
        raise TimeoutError(f"{act} neither ended nor died within {LONGEST_SECONDS:g} s")
    assert process.exitcode in (0, -signal.SIGKILL), process.exitcode
    return process.exitcode != 0


def _die(act: Act, moment: int, contributor: Contributor, central_url: str) -> None:
    of, step, is_after = MOMENTS[act][moment]
    with mock.patch.object(of, step, _dying(getattr(of, step), is_after=is_after)):
        asyncio.run(acted(act, contributor, central_url))


def _dying(step: Callable[..., Any], *, is_after: bool) -> Callable[..., Any]:
    """Return the step of the product, which ends the process before or after it is done."""

    @functools.wraps(step)
    async def last(*arguments: Any, **options: Any) -> Any:
        if is_after:
            await step(*arguments, **options)
        os.kill(os.getpid(), signal.SIGKILL)

    return last


async def acted(act: Act, contributor: Contributor, central_url: str) -> None:
    """Do it once, as a command would."""
    if act is Act.BUILD:
        async with TeamCuration.connect(central_url) as curation:
            await building.build(curation, contributor.settings)
        return
    async with contributor.opened() as (_, coordinator):
        match act:
            case Act.PUSH:
                await coordinator.push_to_central(privacy_manager.silent)
            case Act.PULL:
                await coordinator.sync_from_central()
            case Act.UNDO:
                with suppress(PrivacyError):  # nothing was pulled yet
                    await coordinator.undo_pull()
