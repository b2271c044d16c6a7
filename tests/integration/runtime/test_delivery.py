"""Deliveries against PostgreSQL and a real HTTP server: failures, retries, crashes."""

import asyncio
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from qe_core.config.monitoring import MonitoringSettings
from qe_core.runtime.delivery import Delivery, DeliveryReport
from qe_core.store import Store
from qe_core.store.alerts import Sighting
from tests.conftest import execute
from tests.receiving import SECRET, Receiver, receivers

PATIENT = MonitoringSettings(webhook_attempts=3, webhook_backoff_seconds=60.0)
STALE = Sighting("agent-stale", "quality-gate", "warning", "idle", "docs/runbooks/agent-stale.md", "1")
BOTH = ("log", "webhook")


@pytest.fixture
def receiver_of() -> Iterator[Callable[..., Receiver]]:
    """Starts receivers that are stopped afterwards."""
    with receivers() as start:
        yield start


def make_due(url: str) -> None:
    """Let all pauses be over."""
    execute(url, "UPDATE alert_deliveries SET due_at = now()")


async def test_an_alert_is_told_to_log_and_webhook_once(
    store: Store, receiver_of: Callable[..., Receiver], caplog: pytest.LogCaptureFixture
) -> None:
    receiver = receiver_of(200)
    delivery = Delivery(store, PATIENT, receiver.url)
    assert delivery.channels == BOTH
    alert = await store.alerts.see(STALE, delivery.channels)
    with caplog.at_level(logging.INFO, "qe_core.alerts"):
        assert await delivery.deliver_due() == DeliveryReport(delivered=2)
        assert await delivery.deliver_due() == DeliveryReport()
        await store.alerts.resolve("agent-stale", "quality-gate", "monitor", "it plays", delivery.channels)
        assert await delivery.deliver_due() == DeliveryReport(delivered=2)
    assert [record.getMessage() for record in caplog.records] == [
        "opened: agent-stale (warning) of quality-gate: idle; what to do: docs/runbooks/agent-stale.md",
        "resolved: agent-stale of quality-gate: it plays",
    ]
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    bodies = [body for _, _, body in receiver.received]
    assert [body["event"] for body in bodies] == ["opened", "resolved"]
    assert bodies[0]["alert"]["alert_id"] == alert.alert_id
    assert bodies[0]["alert"]["runbook"] == "docs/runbooks/agent-stale.md"
    assert bodies[1]["alert"]["resolution"] == "it plays"
    told = {(one.event, one.channel): one.idempotency_key for one in await store.alerts.deliveries(1)}
    assert bodies[0]["idempotency_key"] == told["opened", "webhook"]
    assert len(set(told.values())) == 4


async def test_a_webhook_that_fails_is_tried_again_under_the_same_key_later_and_later(
    store: Store, receiver_of: Callable[..., Receiver], database_url: str
) -> None:
    receiver = receiver_of(500, 503, 200)
    delivery = Delivery(store, PATIENT, receiver.url)
    await store.alerts.see(STALE, ("webhook",))
    assert await delivery.deliver_due() == DeliveryReport(postponed=1)
    assert await delivery.deliver_due() == DeliveryReport()
    [told] = await store.alerts.deliveries(1)
    assert told.last_error == "http://127.0.0.1: answered with status 500"
    make_due(database_url)
    assert await delivery.deliver_due() == DeliveryReport(postponed=1)
    make_due(database_url)
    assert await delivery.deliver_due() == DeliveryReport(delivered=1)
    assert len({headers["Idempotency-Key"] for _, headers, _ in receiver.received}) == 1
    [told] = await store.alerts.deliveries(1)
    assert (told.attempts, told.delivered_at is not None, told.last_error) == (3, True, None)


async def test_a_webhook_that_never_answers_is_given_up_and_that_is_said(
    store: Store, receiver_of: Callable[..., Receiver], database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    receiver = receiver_of(500)
    delivery = Delivery(store, PATIENT, receiver.url)
    await store.alerts.see(STALE, ("webhook",))
    for _ in range(2):
        assert await delivery.deliver_due() == DeliveryReport(postponed=1)
        make_due(database_url)
    assert await delivery.deliver_due() == DeliveryReport(abandoned=1)
    make_due(database_url)
    assert await delivery.deliver_due() == DeliveryReport()
    assert len(receiver.received) == 3
    assert "could not be delivered to the webhook in 3 attempts" in caplog.text
    assert SECRET not in caplog.text
    [told] = await store.alerts.deliveries(1)
    assert told.abandoned_at is not None
    assert SECRET not in str(told)


async def test_a_receiver_that_is_away_is_not_asked_for_every_alert(
    store: Store, receiver_of: Callable[..., Receiver]
) -> None:
    receiver = receiver_of(503)
    for number in range(5):
        await store.alerts.see(
            Sighting("agent-stale", str(number), "warning", "idle", "page", "1"), ("log", "webhook")
        )
    report = await Delivery(store, PATIENT, receiver.url).deliver_due()
    assert report == DeliveryReport(delivered=5, postponed=1)
    assert len(receiver.received) == 1


def test_pauses_double_up_to_an_hour() -> None:
    delivery = Delivery(None, PATIENT, None)  # type: ignore[arg-type]
    assert [delivery.backoff_seconds(attempt) for attempt in (1, 2, 3, 10, 50)] == [60, 120, 240, 3600, 3600]
    assert delivery.channels == ("log",)


CRASHING = """
import asyncio, os, signal, sys
from qe_core.config.monitoring import MonitoringSettings
from qe_core.runtime import delivery
from qe_core.store import Store

async def main():
    async with Store.connect(sys.argv[1]) as store:
        async def die(claim):
            os.kill(os.getpid(), signal.SIGKILL)
        if sys.argv[3] == "after":
            store.alerts.confirm = die
        else:
            delivery.content_of = lambda claim: os.kill(os.getpid(), signal.SIGKILL)
        await delivery.Delivery(store, MonitoringSettings(), sys.argv[2]).deliver_due()

asyncio.run(main())
"""


@pytest.mark.parametrize(("when", "received_before"), [("before", 0), ("after", 1)])
async def test_a_process_killed_around_a_delivery_leaves_it_to_be_delivered_again(
    store: Store,
    receiver_of: Callable[..., Receiver],
    database_url: str,
    when: str,
    received_before: int,
) -> None:
    receiver = receiver_of(200)
    await store.alerts.see(STALE, ("webhook",))
    command = [sys.executable, "-c", CRASHING, database_url, receiver.url, when]
    killed = await asyncio.to_thread(
        subprocess.run, command, env={**os.environ}, capture_output=True, timeout=120, check=False
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert len(receiver.received) == received_before
    delivery = Delivery(store, PATIENT, receiver.url)
    assert await delivery.deliver_due() == DeliveryReport()  # claimed: perhaps it is still at it
    make_due(database_url)
    assert await delivery.deliver_due() == DeliveryReport(delivered=1)
    assert len(receiver.received) == received_before + 1
    assert len({headers["Idempotency-Key"] for _, headers, _ in receiver.received}) == 1
