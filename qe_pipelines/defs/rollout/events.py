"""What was taken back, when and why, as the catalogue shows it.

What belongs here: the asset `rollback_events`. What does not: taking anything back (`watch`, `jobs`).
"""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from qe_core.store.policies import RollbackEvent
from qe_pipelines.catalogue import OWNERS, ROLLBACK_COLUMNS, Stage
from qe_pipelines.resources import FleetDatabase

SHOWN_EVENTS = 50
"""How many of the newest the table shows."""


@dg.asset(
    deps=["policy_snapshots", "experiences"],
    group_name=Stage.ROLLOUT,
    owners=OWNERS,
    kinds={"postgres"},
    metadata=ROLLBACK_COLUMNS,
)
async def rollback_events(database: FleetDatabase) -> dg.MaterializeResult[None]:
    """Every policy that was taken back, with the evidence for it and what it kept out."""
    async with database.store() as store:
        events = await store.policies.rollbacks()
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(events),
            "newest": dg.MetadataValue.md(event_table(events[:SHOWN_EVENTS])),
            "experiences left out of learning": sum(event.experiences_excluded for event in events),
            "updates refused": sum(event.refused_updates for event in events),
        }
    )


def materialization(event: RollbackEvent) -> dg.AssetMaterialization:
    """Return what the history of the asset shows of one rollback as it happens."""
    return dg.AssetMaterialization(
        "rollback_events",
        description=f"{event.agent} was rolled back to version {event.to_version} by {event.rolled_back_by}",
        metadata=event_metadata(event),
    )


def event_metadata(event: RollbackEvent) -> dict[str, Any]:
    """Return what is shown of one rollback."""
    return {
        "agent": event.agent,
        "trigger": event.trigger,
        "evidence": dg.MetadataValue.json(event.evidence),
        "back to version": event.to_version,
        "states put back": event.rows_written + event.rows_removed,
        "experiences left out of learning": event.experiences_excluded,
    }


def event_table(events: Sequence[RollbackEvent]) -> str:
    """Return a Markdown table with one row for each rollback."""
    rows = [
        f"| {event.happened_at:%F %T} | {event.agent} | {event.trigger} | "
        f"{'live table' if event.served_version is None else event.served_version} | {event.to_version} | "
        f"{event.experiences_excluded:,} | {event.refused_updates:,} | {event.rolled_back_by} |"
        for event in events
    ]
    head = "| when, UTC | agent | why | taken back | restored | left out | refused | by |"
    return "\n".join([head, "|---|---|---|--:|--:|--:|--:|---|", *rows])
