"""Posting JSON to one address, so that nothing hangs and no secret shows.

What belongs here: one attempt. What does not: what is posted and when to try again (`delivery`).

The address is a secret: whoever knows it may post. No error, log line or representation here holds more of it
than scheme and host.
"""

import json
import socket
import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

from qe_core.errors import ConfigError, QEError

USER_AGENT = "qe-fleet"
_EXAMPLE = "https://hooks.example.com/T000/B000"


class WebhookError(QEError):
    """The webhook did not confirm."""


class Webhook:
    """One address that takes JSON by POST and confirms with a status of 2xx.

    Redirects are not followed: a receiver that moved is a failed attempt.

    Args:
        url: ``http`` or ``https``.
        timeout_seconds: how long connecting, and then the whole exchange, may take.

    Raises:
        ConfigError: the URL cannot be used.
    """

    def __init__(self, url: str, timeout_seconds: float) -> None:
        try:
            parts = urlsplit(url)
            self._port = parts.port
        except ValueError:
            raise ConfigError(f"the alert webhook is not a URL; write it like {_EXAMPLE}") from None
        is_plain = url.isascii() and url.isprintable() and " " not in url
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or not is_plain:
            raise ConfigError(
                "the alert webhook needs http or https, a host, no user name and no blanks; "
                f"write it like {_EXAMPLE}"
            )
        self._host, self._is_secure = parts.hostname, parts.scheme == "https"
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._timeout_seconds = timeout_seconds
        self.place = f"{parts.scheme}://{parts.hostname}"

    def __repr__(self) -> str:
        return f"Webhook({self.place})"

    def post(self, content: Mapping[str, Any], idempotency_key: str) -> None:
        """Send one JSON object; return when the receiver has confirmed.

        Args:
            content: what is sent.
            idempotency_key: what the receiver can recognise a repetition by.

        Raises:
            WebhookError: it did not confirm in time; it may have received it all the same.
        """
        body = json.dumps(content).encode()
        headers = {
            "Content-Type": "application/json",
            "User-Agent": USER_AGENT,
            "Idempotency-Key": idempotency_key,
        }
        connection = self._connection()
        try:
            connection.connect()
            with self._deadline(connection) as is_over:
                try:
                    connection.request("POST", self._target, body, headers)
                    status = connection.getresponse().status
                except (OSError, HTTPException):
                    if is_over.is_set():
                        raise TimeoutError from None
                    raise
        except (OSError, HTTPException) as error:
            raise WebhookError(f"{self.place}: {_cause(error, self._timeout_seconds)}") from None
        finally:
            connection.close()
        if not 200 <= status < 300:
            raise WebhookError(f"{self.place}: answered with status {status}")

    def _connection(self) -> HTTPConnection:
        if self._is_secure:
            return HTTPSConnection(
                self._host, self._port, timeout=self._timeout_seconds, context=ssl.create_default_context()
            )
        return HTTPConnection(self._host, self._port, timeout=self._timeout_seconds)

    @contextmanager
    def _deadline(self, connection: HTTPConnection) -> Iterator[threading.Event]:
        """Cut the connection when the exchange takes too long, however much trickles in meanwhile."""
        open_socket, is_over = connection.sock, threading.Event()

        def cut() -> None:
            is_over.set()
            try:
                open_socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                open_socket.close()  # the other side has gone already

        timer = threading.Timer(self._timeout_seconds, cut)
        timer.daemon = True
        timer.start()
        try:
            yield is_over
        finally:
            timer.cancel()


def _cause(error: OSError | HTTPException, timeout_seconds: float) -> str:
    """Return what went wrong, without what the library quotes from the address."""
    if isinstance(error, TimeoutError):
        return f"no answer within {timeout_seconds:g} s"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
