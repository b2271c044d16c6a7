"""A line to a server that keeps every byte that passed, and can be cut.

What belongs here: passing on and keeping. What does not: looking into it (`search`).
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path


class RecordingProxy:
    """Passes TCP connections on to a server's Unix socket and keeps what passes.

    Attributes:
        sent: what went to the server, a connection after the other.
        received: what came back.
        port: where it listens on 127.0.0.1, while `listening`.
        cut_after: bytes to the server after which one connection is cut, once; None cuts none.
        cuts: how many were.

    Args:
        socket: of the server.
    """

    def __init__(self, socket: Path) -> None:
        self._socket = socket
        self.sent: list[bytearray] = []
        self.received: list[bytearray] = []
        self.port = 0
        self.cut_after: int | None = None
        self.cuts = 0

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Listen on a free port until the block ends."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        async with server:
            yield

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        theirs, ours = await asyncio.open_unix_connection(self._socket)
        sent, received = bytearray(), bytearray()
        self.sent.append(sent)
        self.received.append(received)
        ways = [
            asyncio.create_task(self._pass_on(reader, ours, sent, is_cuttable=True)),
            asyncio.create_task(self._pass_on(theirs, writer, received, is_cuttable=False)),
        ]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for end in (ours, writer):
            end.close()
        await asyncio.gather(*ways, return_exceptions=True)

    async def _pass_on(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        kept: bytearray,
        *,
        is_cuttable: bool,
    ) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                kept += data
                writer.write(data)
                await writer.drain()
                if is_cuttable and self.cut_after is not None and len(kept) > self.cut_after:
                    self.cut_after = None
                    self.cuts += 1
                    return
