"""A real web server that receives webhooks, for tests of those who post."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SECRET = "T000-secret-B000"


class Receiver(ThreadingHTTPServer):
    """Remembers what was posted and answers as told: a status for each request, the last one for the rest."""

    def __init__(self, *statuses: int) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.statuses = list(statuses) or [200]
        self.received: list[tuple[str, dict[str, str], Any]] = []
        self.received_at: list[float] = []

    @property
    def url(self) -> str:
        """Where it listens, with a secret in the path."""
        return f"http://127.0.0.1:{self.server_address[1]}/{SECRET}?token={SECRET}"


class Handler(BaseHTTPRequestHandler):
    """Answers POST."""

    server: Receiver

    def do_POST(self) -> None:
        """Remember and answer."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.received.append((self.path, dict(self.headers), body))
        self.server.received_at.append(time.time())
        status = self.server.statuses[0]
        if len(self.server.statuses) > 1:
            self.server.statuses.pop(0)
        self.send_response(status)
        if 300 <= status < 400:
            self.send_header("Location", self.server.url)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""


@contextmanager
def receivers() -> Iterator[Callable[..., Receiver]]:
    """Yield what starts receivers; they are stopped afterwards."""
    running: list[tuple[Receiver, threading.Thread]] = []

    def start(*statuses: int) -> Receiver:
        receiver = Receiver(*statuses)
        thread = threading.Thread(target=receiver.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        running.append((receiver, thread))
        return receiver

    try:
        yield start
    finally:
        for receiver, thread in running:
            receiver.shutdown()
            thread.join()
            receiver.server_close()
