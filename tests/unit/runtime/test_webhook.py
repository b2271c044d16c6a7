"""One attempt at a webhook, against a real server on this machine."""

import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from qe_core.errors import ConfigError
from qe_core.runtime.webhook import Webhook, WebhookError
from tests.receiving import SECRET, Receiver, receivers


@pytest.fixture
def receiver_of() -> Iterator[Callable[..., Receiver]]:
    """Starts receivers that are stopped afterwards."""
    with receivers() as start:
        yield start


def test_content_and_key_arrive(receiver_of: Callable[..., Receiver]) -> None:
    receiver = receiver_of(204)
    Webhook(receiver.url, 5.0).post({"event": "opened", "summary": "ä"}, "key-1")
    [(path, headers, body)] = receiver.received
    assert path == f"/{SECRET}?token={SECRET}"
    assert headers["Idempotency-Key"] == "key-1"
    assert headers["Content-Type"] == "application/json"
    assert body == {"event": "opened", "summary": "ä"}


@pytest.mark.parametrize("status", [500, 503, 404, 302])
def test_everything_but_2xx_is_a_failure(receiver_of: Callable[..., Receiver], status: int) -> None:
    receiver = receiver_of(status)
    with pytest.raises(WebhookError, match=f"answered with status {status}") as raised:
        Webhook(receiver.url, 5.0).post({}, "key")
    assert SECRET not in str(raised.value)
    assert len(receiver.received) == 1


def test_nobody_there_is_a_failure_without_the_secret() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(WebhookError, match=r"http://127\.0\.0\.1: Connection refused") as raised:
        Webhook(f"http://127.0.0.1:{port}/{SECRET}", 5.0).post({}, "key")
    assert SECRET not in str(raised.value)
    assert raised.value.__cause__ is None


@pytest.fixture
def slow_server() -> Iterator[Callable[[bytes], int]]:
    """Starts a server that sends a byte now and then, for ever; returns its port."""
    is_over, threads, sockets = threading.Event(), [], []

    def start(trickle: bytes) -> int:
        listening = socket.create_server(("127.0.0.1", 0))
        sockets.append(listening)

        def serve() -> None:
            client, _ = listening.accept()
            with client:
                while not is_over.wait(0.05):
                    try:
                        client.sendall(trickle)
                    except OSError:
                        return

        threads.append(threading.Thread(target=serve))
        threads[-1].start()
        return int(listening.getsockname()[1])

    yield start
    is_over.set()
    for thread in threads:
        thread.join()
    for listening in sockets:
        listening.close()


@pytest.mark.parametrize("trickle", [b"", b"H"], ids=["silent", "a byte now and then"])
def test_a_receiver_that_never_finishes_is_cut_off(
    slow_server: Callable[[bytes], int], trickle: bytes
) -> None:
    port = slow_server(trickle)
    begun = time.monotonic()
    with pytest.raises(WebhookError, match=r"no answer within 0\.3 s"):
        Webhook(f"http://127.0.0.1:{port}/{SECRET}", 0.3).post({}, "key")
    assert time.monotonic() - begun < 20


def test_something_else_than_http_is_a_failure(slow_server: Callable[[bytes], int]) -> None:
    port = slow_server(b"SSH-2.0 \r\n")
    with pytest.raises(WebhookError, match=r"http://127\.0\.0\.1: BadStatusLine"):
        Webhook(f"http://127.0.0.1:{port}/{SECRET}", 5.0).post({}, "key")


def test_a_certificate_is_asked_for(receiver_of: Callable[..., Receiver]) -> None:
    receiver = receiver_of(200)
    with pytest.raises(WebhookError, match=r"https://127\.0\.0\.1"):
        Webhook(receiver.url.replace("http:", "https:"), 1.0).post({}, "key")
    assert receiver.received == []


@pytest.mark.parametrize(
    "url",
    [
        f"ftp://hooks.example/{SECRET}", f"hooks.example/{SECRET}", f"https:///{SECRET}", f"http://[{SECRET}",
        f"https://me:{SECRET}@hooks.example/", f"https://hooks.example/{SECRET} x",
        f"https://hooks.example:port/{SECRET}", f"https://hooks.example/{SECRET}\r\nX: y",
    ],
)  # fmt: skip
def test_a_bad_address_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ConfigError, match="write it like https://hooks") as raised:
        Webhook(url, 5.0)
    assert SECRET not in str(raised.value)


def test_the_secret_does_not_show() -> None:
    assert repr(Webhook(f"https://hooks.example/{SECRET}", 5.0)) == "Webhook(https://hooks.example)"
