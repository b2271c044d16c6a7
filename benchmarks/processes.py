"""Several worker processes that begin at the same moment.

What belongs here: starting, gathering and ending them. What does not: what they do.
"""

import asyncio
import time
import traceback
from collections.abc import Awaitable, Callable, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from multiprocessing.synchronize import Barrier
from typing import Any, Concatenate, TypeAlias

from benchmarks.harness import BenchmarkError

Gate: TypeAlias = Callable[[], Awaitable[None]]
"""Awaited by a worker once it is ready; returns when all are."""

Worker: TypeAlias = Callable[Concatenate[Gate, ...], Awaitable[Any]]
"""A coroutine function at the top of a module, since it is sent to another process by name."""

READY_SECONDS = 120.0
_END_SECONDS = 10.0


def run_together(worker: Worker, arguments: Sequence[tuple[Any, ...]], seconds: float) -> list[Any]:
    """Return what the worker returned for each tuple of arguments, each in a process of its own.

    Args:
        worker: called as ``worker(gate, *arguments)``.
        arguments: one tuple for each process.
        seconds: how long the work may take at most once all are ready.

    Raises:
        BenchmarkError: a worker failed, ended or did not finish in time; the message holds its traceback.
    """
    context = get_context("spawn")
    barrier = context.Barrier(len(arguments))
    processes: list[SpawnProcess] = []
    answers: dict[Any, int] = {}
    found: list[Any] = [None] * len(arguments)
    try:
        for number, given in enumerate(arguments):
            receiving, sending = context.Pipe(duplex=False)
            process = context.Process(target=_work, args=(worker, barrier, sending, given), daemon=True)
            process.start()
            sending.close()
            processes.append(process)
            answers[receiving] = number
        deadline = time.monotonic() + READY_SECONDS + seconds
        while answers:
            ready = wait(list(answers), timeout=max(0.0, deadline - time.monotonic()))
            if not ready:
                raise BenchmarkError(f"{len(answers)} of {len(arguments)} workers did not finish in time")
            for answered in ready:
                found[answers.pop(answered)] = _answer(answered)
        return found
    finally:
        for process in processes:
            process.join(_END_SECONDS if not answers else 0.0)
            if process.is_alive():
                process.kill()
                process.join()


def shares_of(total: int, processes: int) -> list[int]:
    """Return the total split over processes as evenly as it goes, larger shares first."""
    return [total // processes + (number < total % processes) for number in range(processes)]


def _answer(receiving: Any) -> Any:
    try:
        is_good, value = receiving.recv()
    except EOFError:
        raise BenchmarkError("a worker process ended without an answer; its last words are above") from None
    if not is_good:
        raise BenchmarkError(f"a worker process failed:\n{value}")
    return value


def _work(worker: Worker, barrier: Barrier, sending: Connection, arguments: tuple[Any, ...]) -> None:
    async def gate() -> None:
        """Wait for the other processes without stopping this one's loop."""
        await asyncio.get_running_loop().run_in_executor(None, barrier.wait, READY_SECONDS)

    try:
        answer = (True, asyncio.run(_called(worker, gate, arguments)))
    except BaseException:
        barrier.abort()
        answer = (False, traceback.format_exc())
    sending.send(answer)
    sending.close()


async def _called(worker: Worker, gate: Gate, arguments: tuple[Any, ...]) -> Any:
    return await worker(gate, *arguments)
