"""Where the drill's processes come from.

What belongs here: starting them. What does not: what they do.
"""

import multiprocessing
from collections.abc import Callable
from functools import cache
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from typing import Any


@cache
def _nursery() -> ForkServerContext:
    """Return what processes are forked from: one process that has imported all they need."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.rollback_drill.preloaded"])
    return context


def begun(do: Callable[..., None], *arguments: Any) -> BaseProcess:
    """Return a started process that does something."""
    process = _nursery().Process(target=do, args=arguments)
    process.start()
    return process
