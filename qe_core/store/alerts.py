"""Alerts in PostgreSQL: opened once, counted while open, closed, and told to everybody who must know.

What belongs here: the state of alerts and of their deliveries. What does not: which kinds there are and what
they mean, and talking to receivers (`qe_core.runtime`).

Whatever is to be told is stored in the transaction that changes the alert, so nothing is lost between the
two. A delivery is claimed for a while and confirmed afterwards: whoever dies in between leaves it to be
delivered again, under the same idempotency key.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias

import asyncpg

from qe_core.errors import StoreError
from qe_core.store.connection import Connection, Database
from qe_core.store.statements import STATEMENTS

Severity: TypeAlias = Literal["warning", "critical"]
Event: TypeAlias = Literal["opened", "escalated", "resolved"]
Channel: TypeAlias = Literal["log", "webhook"]


@dataclass(frozen=True, slots=True)
class Sighting:
    """Something that needs a person, as seen now.

    Attributes:
        kind: what happened.
        subject: whom it concerns.
        severity: warning or critical.
        summary: for people.
        runbook: the page that says what to do.
        observation: what the sighting rests on; seen again, the same one is not counted again.
    """

    kind: str
    subject: str
    severity: Severity
    summary: str
    runbook: str
    observation: str


@dataclass(frozen=True, slots=True)
class Alert:
    """One opening of an alert.

    Attributes:
        alert_id: its number.
        kind: what happened.
        subject: whom it concerns.
        opening: how often this was opened for this subject, this time included.
        severity: the highest since it was opened.
        summary: what was seen last.
        runbook: the page that says what to do.
        occurrences: different sightings while open, at least 1.
        opened_at: when it was first seen, UTC.
        last_seen_at: when it was last seen, UTC.
        resolved_at: when it was over, UTC; None while open.
        resolved_by: who said so.
        resolution: why it is over.
    """

    alert_id: int
    kind: str
    subject: str
    opening: int
    severity: Severity
    summary: str
    runbook: str
    occurrences: int
    opened_at: datetime
    last_seen_at: datetime
    resolved_at: datetime | None = None
    resolved_by: str | None = None
    resolution: str | None = None

    @property
    def is_open(self) -> bool:
        """Whether it is not over yet."""
        return self.resolved_at is None


@dataclass(frozen=True, slots=True)
class Claim:
    """A delivery somebody has undertaken to make.

    Attributes:
        delivery_id: its number.
        event: what is to be told about the alert.
        channel: to whom.
        idempotency_key: the same at every attempt.
        attempts: attempts begun, this one included.
        alert: as it is now.
    """

    delivery_id: int
    event: Event
    channel: Channel
    idempotency_key: str
    attempts: int
    alert: Alert


@dataclass(frozen=True, slots=True)
class DeliveryState:
    """How far the delivery of one event to one channel has come.

    Attributes:
        event: what is to be told.
        channel: to whom.
        attempts: attempts begun.
        due_at: when to try next, or when the attempt under way counts as lost, UTC.
        delivered_at: when it was confirmed, UTC.
        abandoned_at: when it was given up, UTC.
        last_error: why the last attempt failed.
        idempotency_key: what the receiver can know it by.
    """

    event: Event
    channel: Channel
    attempts: int
    due_at: datetime
    delivered_at: datetime | None
    abandoned_at: datetime | None
    last_error: str | None
    idempotency_key: str


class AlertStore:
    """All alerts and their deliveries.

    Args:
        database: where they are.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def see(self, sighting: Sighting, channels: Sequence[Channel] = ("log",)) -> Alert:
        """Return the open alert for a sighting: opened now, or counted where it was open already.

        Opening, and a severity that rises, are queued for the channels; seeing it again tells nobody.

        Args:
            sighting: what was seen.
            channels: who is to be told.

        Raises:
            StoreError: a word is empty, or the severity is unknown; nothing was stored.
        """

        async def store() -> Alert:
            """Open or count, and queue what follows, in one transaction."""
            async with self._database.transaction() as connection:
                return await see_alert(connection, sighting, channels)

        try:
            return await self._database.repeated(store)
        except asyncpg.IntegrityConstraintViolationError as error:
            raise StoreError(
                f"alert {sighting.kind!r} about {sighting.subject!r} was not stored: {error}; "
                "give it a kind, a subject, a summary, a runbook and a known severity"
            ) from error

    async def resolve(
        self, kind: str, subject: str, by: str, why: str, channels: Sequence[Channel] = ("log",)
    ) -> Alert | None:
        """Close the open alert of a kind and subject and return it; None where none is open.

        Args:
            kind: what happened.
            subject: whom it concerns.
            by: who says that it is over.
            why: for people.
            channels: who is to be told.
        """

        async def store() -> Alert | None:
            """Close and queue in one transaction."""
            async with self._database.transaction() as connection:
                return await resolve_alert(connection, kind, subject, by, why, channels)

        return await self._database.repeated(store)

    async def get(self, alert_id: int) -> Alert:
        """Return an alert by its number.

        Raises:
            StoreError: there is none.
        """
        found = await self._database.fetch("read_alert", alert_id)
        if not found:
            raise StoreError(f"there is no alert {alert_id}; qe alerts list --all shows all")
        return Alert(**dict(found[0]))

    async def list_alerts(self, *, is_all: bool = False, limit: int = 1_000) -> list[Alert]:
        """Return open alerts, the worst first, then, where asked for, resolved ones, the newest first.

        Args:
            is_all: resolved ones too.
            limit: at most so many.
        """
        return [Alert(**dict(row)) for row in await self._database.fetch("list_alerts", is_all, limit)]

    async def deliveries(self, alert_id: int) -> list[DeliveryState]:
        """Return what was told, or is to be told, about an alert, in order."""
        return [DeliveryState(**dict(row)) for row in await self._database.fetch("read_deliveries", alert_id)]

    async def claim(self, channels: Sequence[Channel], limit: int, hold_seconds: float) -> list[Claim]:
        """Return deliveries that are due and are now this caller's, in order.

        Nobody else gets them until ``hold_seconds`` have passed. An alert's events come one after the other:
        a later one is not due before the earlier one was delivered or given up.

        Args:
            channels: those the caller can reach.
            limit: at most so many.
            hold_seconds: after this long without a word the attempt counts as lost.
        """
        rows = await self._database.fetch("claim_deliveries", limit, hold_seconds, list(channels))
        return sorted((_claim(dict(row)) for row in rows), key=lambda claim: claim.delivery_id)

    async def confirm(self, claim: Claim) -> None:
        """Record that the receiver has confirmed."""
        await self._database.fetch("confirm_delivery", claim.delivery_id)

    async def postpone(self, claim: Claim, seconds: float, error: str) -> None:
        """Record why the attempt failed; the next one is due after ``seconds``."""
        await self._database.fetch("postpone_delivery", claim.delivery_id, seconds, error)

    async def abandon(self, claim: Claim, error: str) -> None:
        """Record why the last attempt failed; there will be no other."""
        await self._database.fetch("abandon_delivery", claim.delivery_id, error)


async def see_alert(connection: Connection, sighting: Sighting, channels: Sequence[Channel]) -> Alert:
    """Return the open alert for a sighting, opened or counted inside the caller's transaction.

    Args:
        connection: inside a transaction.
        sighting: what was seen.
        channels: who is to be told of an opening or a higher severity.
    """
    await connection.execute(STATEMENTS["lock_alert"], sighting.kind, sighting.subject)
    found = dict(
        await connection.fetchrow(
            STATEMENTS["see_alert"],
            *(sighting.kind, sighting.subject, sighting.severity, sighting.summary),
            *(sighting.runbook, sighting.observation),
        )
    )
    was_open, was_severity = found.pop("was_open"), found.pop("was_severity")
    alert = Alert(**found)
    if not was_open:
        await _queue(connection, alert, "opened", channels)
    elif was_severity != alert.severity:
        await _queue(connection, alert, "escalated", channels)
    return alert


async def resolve_alert(
    connection: Connection, kind: str, subject: str, by: str, why: str, channels: Sequence[Channel]
) -> Alert | None:
    """Close the open alert of a kind and subject in the caller's transaction; see `AlertStore.resolve`."""
    await connection.execute(STATEMENTS["lock_alert"], kind, subject)
    found = await connection.fetchrow(STATEMENTS["resolve_alert"], kind, subject, by, why)
    if found is None:
        return None
    alert = Alert(**dict(found))
    await _queue(connection, alert, "resolved", channels)
    return alert


async def _queue(connection: Connection, alert: Alert, event: Event, channels: Sequence[Channel]) -> None:
    await connection.execute(STATEMENTS["queue_delivery"], alert.alert_id, event, list(channels))


def _claim(row: dict[str, Any]) -> Claim:
    own = {name: row.pop(name) for name in ("delivery_id", "event", "channel", "idempotency_key", "attempts")}
    return Claim(**own, alert=Alert(**row))
