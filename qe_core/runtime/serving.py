"""`qe up`: the database, Dagster's web UI and its daemon as one thing that starts and stops together.

What belongs here: the order of starting and stopping, and making sure that nothing is left. What does not:
what is printed (`qe_core.cli`).
"""

import asyncio
import signal
import socket
import sys
import urllib.request
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.error import URLError
from uuid import uuid4

from qe_core.config import configured_database_url, project_home
from qe_core.errors import QEError
from qe_core.runtime import processes
from qe_core.runtime.graph import GraphError, require_pipelines
from qe_core.store import migrate
from qe_core.store.server import database_url, project_server

HOST = "127.0.0.1"
DEFINITIONS = "qe_pipelines.definitions"
ANSWER_SECONDS = 180.0
"""How long the web UI may take to answer for the first time."""

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class ServingError(QEError):
    """The services could not be started, or did not end when they should."""


@dataclass(frozen=True, slots=True)
class Services:
    """What runs.

    Attributes:
        url: of the web UI.
        log_file: what Dagster says.
    """

    url: str
    log_file: Path


async def nothing() -> None:
    """Do nothing beside the services."""


def require_free_port(port: int) -> None:
    """Check that nobody listens on a port of this machine.

    Raises:
        ServingError: somebody does.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            raise ServingError(
                f"port {port} cannot be used ({error.strerror}); stop the program that has it or say --port"
            ) from error


async def serve(
    port: int,
    on_ready: Callable[[Services], None],
    tell: Callable[[str], None],
    work: Callable[[], Coroutine[Any, Any, None]] = nothing,
) -> None:
    """Start everything, and stop it all again at SIGINT, SIGTERM or SIGHUP.

    Args:
        port: for the web UI, on this machine only.
        on_ready: called when the web UI answers.
        tell: told what is being done.
        work: done beside it from then on; when it is over everything goes on running.

    Raises:
        ServingError: the port is taken, Dagster ended by itself, or a process would not end.
        StoreError: the database cannot be started.
        Exception: what the work raises, after everything was stopped.
    """
    require_pipelines()
    require_free_port(port)
    stopping = _stop_event()
    async with _database(tell):
        home = await _dagster_home()
        log_file = project_home() / "logs" / "dagster.log"
        async with _dagster(port, home, log_file, tell) as process:
            watch = asyncio.create_task(process.wait())
            answer = asyncio.create_task(_first_answer(port))
            stop = asyncio.create_task(stopping.wait())
            await asyncio.wait({watch, answer, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not stop.done() and not watch.done():
                answer.result()
                on_ready(Services(f"http://{HOST}:{port}", log_file))
                await work_until(work, {watch, stop})
            for task in (answer, stop):
                task.cancel()
            if watch.done() and not stopping.is_set():
                raise ServingError(
                    f"Dagster ended by itself with exit code {watch.result()}:\n{_tail(log_file)}"
                )
            watch.cancel()


async def work_until(work: Callable[[], Coroutine[Any, Any, None]], ends: set[asyncio.Task[Any]]) -> None:
    """Work until it is done, and wait until one of the ends comes, which cuts the work short."""
    working = asyncio.create_task(work())
    await asyncio.wait({working, *ends}, return_when=asyncio.FIRST_COMPLETED)
    if working.done():
        working.result()
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    working.cancel()
    with suppress(asyncio.CancelledError):
        await working


def _stop_event() -> asyncio.Event:
    """Return what is set at the first signal to stop; later ones change nothing, stopping goes on."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stopping.set)
    return stopping


@asynccontextmanager
async def _database(tell: Callable[[str], None]) -> AsyncIterator[None]:
    tell("starting the database")
    url = database_url()
    try:
        await migrate(url)
        yield
    finally:
        if configured_database_url() is None:
            tell("stopping the database")
            project_server().stop()


async def _dagster_home() -> str:
    """Return the directory Dagster keeps its settings in, prepared."""
    mark = uuid4().hex
    process = await processes.start([sys.executable, "-m", "qe_pipelines.home"], mark)
    try:
        answer, complaint = await process.communicate()
    finally:
        await processes.stop(process, mark)
    if process.returncode != 0:
        raise GraphError(
            f"Dagster's home could not be prepared: {complaint.decode(errors='replace').strip()[-2000:]}"
        )
    return answer.decode().strip().splitlines()[-1]


@asynccontextmanager
async def _dagster(
    port: int, home: str, log_file: Path, tell: Callable[[str], None]
) -> AsyncIterator[asyncio.subprocess.Process]:
    tell("starting Dagster's web UI and daemon")
    command = [sys.executable, "-m", "dagster", "dev", *_definitions(), "-h", HOST, "-p", str(port)]
    mark = uuid4().hex
    with _opened(log_file) as log:
        process = await processes.start(command, mark, {"DAGSTER_HOME": home}, output=log.fileno())
    try:
        yield process
    finally:
        tell("stopping Dagster")
        left = await processes.stop(process, mark)
    if left:
        raise ServingError(f"processes {', '.join(map(str, left))} would not end; end them with kill -9")


def _definitions() -> list[str]:
    """Return where Dagster finds the graph: as the checkout says, or in the installed package."""
    workspace = Path("workspace.yaml")
    return ["-w", str(workspace)] if workspace.is_file() else ["-m", DEFINITIONS]


def _opened(log_file: Path) -> BinaryIO:
    log_file.parent.mkdir(parents=True, exist_ok=True)
    return log_file.open("wb")


async def _first_answer(port: int) -> None:
    loop = asyncio.get_running_loop()
    deadline = loop.time() + ANSWER_SECONDS
    while loop.time() < deadline:
        if await asyncio.to_thread(_answers, port):
            return
        await asyncio.sleep(0.3)
    raise ServingError(f"the web UI did not answer on port {port} within {ANSWER_SECONDS:.0f} seconds")


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}/server_info", timeout=2.0) as answer:
            return cast(int, answer.status) == 200
    except (URLError, OSError):
        return False


def _tail(log_file: Path, count: int = 15) -> str:
    return "\n".join(log_file.read_text(errors="replace").splitlines()[-count:])
