"""A bounded amount of room that callers take in turn and others give back.

What belongs here: counting and waiting. What does not: what the room is for (`writer`).
"""

import asyncio
from collections import deque
from contextlib import suppress


class Room:
    """Room for ``limit`` items; whoever finds too little waits behind those who came before.

    Attributes:
        limit: the most items inside, except that one request larger than it fits when there is nothing else.
        taken: items inside.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.taken = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    def take_now(self, count: int) -> bool:
        """Take room if there is enough and nobody waits; return whether it was taken."""
        if self._waiting or not self._fits(count):
            return False
        self.taken += count
        return True

    async def take(self, count: int, seconds: float) -> None:
        """Take room, waiting for it if need be.

        Raises:
            TimeoutError: there was not enough in time.
        """
        if self.take_now(count):
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((count, turn))
        try:
            async with asyncio.timeout(seconds):
                await turn
        except BaseException:
            if turn.done() and not turn.cancelled():
                self.give_back(count)
            else:
                with suppress(ValueError):  # whoever admits others drops a turn that was given up
                    self._waiting.remove((count, turn))
                self._admit()
            raise

    def give_back(self, count: int) -> None:
        """Leave room to those who wait."""
        self.taken -= count
        self._admit()

    def _fits(self, count: int) -> bool:
        return self.taken == 0 or self.taken + count <= self.limit

    def _admit(self) -> None:
        while self._waiting and self._fits(self._waiting[0][0]):
            count, turn = self._waiting.popleft()
            if turn.cancelled():
                continue
            self.taken += count
            turn.set_result(None)
