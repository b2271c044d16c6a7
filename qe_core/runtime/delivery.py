"""Telling people about alerts: the log always, a webhook where one is named.

What belongs here: what is said, in which order, and what happens when nobody listens. What does not: one
attempt at the webhook (`webhook`), and the state of deliveries (`qe_core.store`).

At least once: what was claimed and not confirmed is delivered again, also by another process, under the same
idempotency key.
"""

import asyncio
import logging
from dataclasses import dataclass
from typing import Any

from qe_core.config.monitoring import MonitoringSettings
from qe_core.runtime.webhook import Webhook, WebhookError
from qe_core.store import Store
from qe_core.store.alerts import Channel, Claim

LOGGER = logging.getLogger("qe_core.alerts")

BACKOFF_LIMIT_SECONDS = 3_600.0
MOST_AT_ONCE = 200
"""Deliveries to a channel in one round; the rest waits for the next one."""

_SPARE_SECONDS = 30.0
_LEVELS = {"warning": logging.WARNING, "critical": logging.ERROR}


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """What one round of deliveries came to.

    Attributes:
        delivered: confirmed.
        postponed: failed, to be tried again.
        abandoned: failed for the last time.
    """

    delivered: int = 0
    postponed: int = 0
    abandoned: int = 0

    def __add__(self, other: "DeliveryReport") -> "DeliveryReport":
        return DeliveryReport(
            self.delivered + other.delivered,
            self.postponed + other.postponed,
            self.abandoned + other.abandoned,
        )


class Delivery:
    """Delivers what is due.

    Args:
        store: where alerts are.
        settings: patience.
        webhook_url: where to post; None for nowhere.

    Attributes:
        channels: who is to be told of new alerts.
    """

    def __init__(self, store: Store, settings: MonitoringSettings, webhook_url: str | None) -> None:
        self._store = store
        self._settings = settings
        self._webhook = (
            None if webhook_url is None else Webhook(webhook_url, settings.webhook_timeout_seconds)
        )
        self.channels: tuple[Channel, ...] = ("log",) if self._webhook is None else ("log", "webhook")

    async def deliver_due(self) -> DeliveryReport:
        """Deliver what is due now and return what came of it; no failure of a receiver is raised.

        After a failed attempt the channel rests until the next round: whoever is away is not asked twice.
        """
        report = DeliveryReport()
        for channel in self.channels:
            for _ in range(MOST_AT_ONCE):
                hold = 2 * self._settings.webhook_timeout_seconds + _SPARE_SECONDS
                claims = await self._store.alerts.claim([channel], 1, hold)
                if not claims:
                    break
                outcome = await self._deliver(claims[0])
                report += outcome
                if not outcome.delivered:
                    break
        return report

    async def _deliver(self, claim: Claim) -> DeliveryReport:
        try:
            if claim.channel == "log":
                log(claim)
            elif self._webhook is not None:
                await asyncio.to_thread(self._webhook.post, content_of(claim), claim.idempotency_key)
        except WebhookError as error:
            return await self._failed(claim, str(error))
        await self._store.alerts.confirm(claim)
        return DeliveryReport(delivered=1)

    async def _failed(self, claim: Claim, error: str) -> DeliveryReport:
        alert = claim.alert
        if claim.attempts >= self._settings.webhook_attempts:
            await self._store.alerts.abandon(claim, error)
            LOGGER.error(
                "alert %d (%s, %s) could not be delivered to the webhook in %d attempts: %s",
                *(alert.alert_id, alert.kind, alert.subject, claim.attempts, error),
            )
            return DeliveryReport(abandoned=1)
        await self._store.alerts.postpone(claim, self.backoff_seconds(claim.attempts), error)
        return DeliveryReport(postponed=1)

    def backoff_seconds(self, attempts: int) -> float:
        """Return the pause after so many failed attempts: doubled after each, an hour at most."""
        return min(BACKOFF_LIMIT_SECONDS, self._settings.webhook_backoff_seconds * 2.0 ** (attempts - 1))


def log(claim: Claim) -> None:
    """Write one line for a delivery: as severe as the alert, for information once it is over."""
    alert = claim.alert
    if claim.event == "resolved":
        LOGGER.info("resolved: %s of %s: %s", alert.kind, alert.subject, alert.resolution)
        return
    LOGGER.log(
        _LEVELS[alert.severity],
        "%s: %s (%s) of %s: %s; what to do: %s",
        *(claim.event, alert.kind, alert.severity, alert.subject, alert.summary, alert.runbook),
    )


def content_of(claim: Claim) -> dict[str, Any]:
    """Return what is posted to the webhook, as JSON values."""
    alert = claim.alert
    return {
        "event": claim.event,
        "idempotency_key": claim.idempotency_key,
        "alert": {
            "alert_id": alert.alert_id,
            "kind": alert.kind,
            "subject": alert.subject,
            "opening": alert.opening,
            "severity": alert.severity,
            "summary": alert.summary,
            "runbook": alert.runbook,
            "occurrences": alert.occurrences,
            "opened_at": alert.opened_at.isoformat(),
            "last_seen_at": alert.last_seen_at.isoformat(),
            "resolved_at": None if alert.resolved_at is None else alert.resolved_at.isoformat(),
            "resolved_by": alert.resolved_by,
            "resolution": alert.resolution,
        },
    }
