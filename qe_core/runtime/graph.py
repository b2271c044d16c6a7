"""Running the Dagster graph as a process of its own, and hearing how far it is.

What belongs here: starting `qe_pipelines` programs and reading what they say. What does not: the graph;
nothing here imports it.
"""

import asyncio
import json
import sys
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from importlib.util import find_spec
from typing import Any
from uuid import uuid4

from qe_core.errors import QEError
from qe_core.runtime import processes

SHOWN_LINES = 15
"""How many last lines of a failed program are shown."""

ROUNDS = "qe_pipelines.rounds"
"""The program that materialises whenever it is asked."""

Message = Mapping[str, Any]


class GraphError(QEError):
    """The Dagster graph could not be run, or a part of it failed."""


def require_pipelines() -> None:
    """Check that Dagster is installed.

    Raises:
        GraphError: it is not.
    """
    for package in ("dagster", "qe_pipelines"):
        if find_spec(package) is None:
            raise GraphError(
                f"the package {package} is not installed; install it with pip install 'qe-fleet[dagster]'"
            )


async def run_program(
    module: str, arguments: Sequence[str], hear: Callable[[Message], None]
) -> tuple[int, str]:
    """Run a program of the pipelines to its end; return its exit code and its last words.

    Args:
        module: what to run, for example ``qe_pipelines.materialize``.
        arguments: its arguments.
        hear: told every JSON object the program prints on a line of its own.

    Raises:
        GraphError: it is not installed, or ended with a code above 1; the message ends with its last words.
        ConfigError: a setting is wrong.
    """
    from qe_core.config import load_settings  # keeps `qe --help` quick

    require_pipelines()
    load_settings()  # a bad setting is said here, and not in the child's words
    mark = uuid4().hex
    process = await processes.start([sys.executable, "-m", module, *arguments], mark)
    last_words: deque[str] = deque(maxlen=SHOWN_LINES)
    try:
        await asyncio.gather(
            _listen(process.stdout, hear, last_words), _listen(process.stderr, None, last_words)
        )
        code = await process.wait()
    finally:
        await processes.stop(process, mark)
    words = "\n".join(last_words)
    if code not in (0, 1):
        raise GraphError(f"python -m {module} ended with exit code {code}:\n{words}")
    return code, words


async def materialize(agents: Sequence[str], hear: Callable[[Message], None]) -> None:
    """Materialise the whole graph, or only what follows from some agents' experiences.

    Args:
        agents: names; none for all.
        hear: told how far it is.

    Raises:
        GraphError: a part of the graph failed; the message names it.
    """
    failures: list[str] = []

    def listen(message: Message) -> None:
        """Keep failures, pass everything on."""
        if "error" in message:
            failures.append(str(message["error"]))
        hear(message)

    arguments = [word for name in agents for word in ("--agent", name)]
    code, words = await run_program("qe_pipelines.materialize", arguments, listen)
    if code:
        reasons = "\n".join(failures) or words
        raise GraphError(
            f"the graph did not finish: {reasons}\nrun it again after mending that: finished parts stay"
        )


class Rounds:
    """A program of the graph that materialises what follows from an agent's experiences when it is asked.

    Starting the graph takes seconds, a round much less; so it is started once. Made by `rounds_of`.

    Args:
        process: the program.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._last_words: deque[str] = deque(maxlen=SHOWN_LINES)
        self._complaints = asyncio.create_task(_listen(process.stderr, None, self._last_words))

    async def materialize(self) -> None:
        """Materialise experiences, tables, statistics windows and verdict once more, as they are now.

        Raises:
            GraphError: a part of the graph failed, or the program ended.
        """
        told, heard = self._process.stdin, self._process.stdout
        assert told is not None, "the child was started with pipes"
        assert heard is not None, "the child was started with pipes"
        failures = []
        told.write(b"again\n")
        async with aclosing(_lines(heard)) as lines:
            async for line in lines:
                message = _message(line) or {}
                if "error" in message:
                    failures.append(str(message["error"]))
                if message.get("finished"):
                    return
                if "finished" in message:
                    break
        reasons = "\n".join(failures or self._last_words)
        raise GraphError(f"the graph did not finish: {reasons}\nrun it again after mending that")

    async def end(self) -> None:
        """Let the program end by itself, which it does when nobody can ask it any more."""
        assert self._process.stdin is not None, "the child was started with pipes"
        self._process.stdin.close()
        await self._process.wait()
        await self._complaints


@asynccontextmanager
async def rounds_of(agent: str) -> AsyncIterator[Rounds]:
    """Yield what materialises what follows from an agent's experiences, as often as it is asked.

    Args:
        agent: its name.

    Raises:
        GraphError: the graph is not installed.
        ConfigError: a setting is wrong.
    """
    from qe_core.config import load_settings  # keeps `qe --help` quick

    require_pipelines()
    load_settings()
    mark = uuid4().hex
    command = [sys.executable, "-m", ROUNDS, "--agent", agent]
    process = await processes.start(command, mark, is_told=True)
    rounds = Rounds(process)
    try:
        yield rounds
        await rounds.end()
    finally:
        await processes.stop(process, mark)


async def _listen(
    stream: asyncio.StreamReader | None, hear: Callable[[Message], None] | None, last_words: deque[str]
) -> None:
    assert stream is not None, "the child was started with pipes"
    async with aclosing(_lines(stream)) as lines:
        async for line in lines:
            message = _message(line) if hear is not None else None
            if message is None:
                last_words.append(line)
            elif hear is not None:
                hear(message)


async def _lines(stream: asyncio.StreamReader) -> AsyncGenerator[str]:
    while line := await stream.readline():
        yield line.decode(errors="replace").rstrip()


def _message(line: str) -> Message | None:
    if not line.startswith("{"):
        return None
    try:
        found = json.loads(line)
    except json.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None
