"""Learning when there is enough new to learn from.

What belongs here: the sensor `new_experiences` and its plan. What does not: what a run then does
(`automation`).
"""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg

from qe_core.config import load_settings
from qe_core.config.settings import PipelineSettings
from qe_core.store import ExperienceCounts
from qe_pipelines.automation import UNFINISHED, learn
from qe_pipelines.partitions import AGENTS, range_tags
from qe_pipelines.resources import FleetDatabase, FleetSettings

PATIENCE = timedelta(hours=1)
"""A run that has not ended after this long is taken for dead and not waited for."""


@dataclass(frozen=True, slots=True)
class Mark:
    """How far one agent's log has been handed to a run.

    Attributes:
        last_experience_id: the highest number handed over.
        experiences: how many there were then.
        pending_since: Unix time at which newer ones were first seen, or None while there are none.
    """

    last_experience_id: int = 0
    experiences: int = 0
    pending_since: float | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What one look at the log leads to.

    Attributes:
        due: agents with enough new experiences, or with some that waited long enough; in roster order.
        marks: what to remember until the next look, by agent, if the run for the due ones is asked for.
    """

    due: tuple[str, ...]
    marks: Mapping[str, Mark]


def plan(
    counts: Sequence[ExperienceCounts], marks: Mapping[str, Mark], now: datetime, settings: PipelineSettings
) -> Plan:
    """Return which agents are due and what to remember.

    Agents that are not registered are left out: nothing would learn from their experiences.

    Args:
        counts: what the log holds now.
        marks: what was remembered.
        now: the time, aware.
        settings: how many new experiences, or how old, make an agent due.
    """
    found = {line.agent: line for line in counts}
    due, kept = [], {}
    for agent in AGENTS.get_partition_keys():
        mark, line = marks.get(agent, Mark()), found.get(agent)
        if line is None or line.last_experience_id <= mark.last_experience_id:
            kept[agent] = mark
            continue
        since = mark.pending_since if mark.pending_since is not None else now.timestamp()
        is_many = line.experiences - mark.experiences >= settings.experience_batch_count
        is_old = now.timestamp() - since >= settings.experience_batch_age_seconds
        if is_many or is_old:
            due.append(agent)
            kept[agent] = Mark(line.last_experience_id, line.experiences)
        else:
            kept[agent] = Mark(mark.last_experience_id, mark.experiences, since)
    return Plan(tuple(due), kept)


@dg.sensor(
    job=learn,
    minimum_interval_seconds=load_settings().values.pipelines.sensor_interval_seconds,
    default_status=dg.DefaultSensorStatus.RUNNING,
)
def new_experiences(
    context: dg.SensorEvaluationContext, database: FleetDatabase, settings: FleetSettings
) -> dg.SensorResult | dg.SkipReason:
    """Ask for one run over all agents that are due, never one for each row; wait while one is under way."""
    marks = {agent: Mark(**mark) for agent, mark in json.loads(context.cursor or "{}").items()}
    counts = asyncio.run(_counts(database))
    found = plan(counts, marks, datetime.now(UTC), settings.values.pipelines)
    under_way = dg.RunsFilter(
        job_name=learn.name, statuses=UNFINISHED, created_after=datetime.now(UTC) - PATIENCE
    )
    if found.due and context.instance.get_run_records(under_way, limit=1):
        return dg.SkipReason(f"{len(found.due)} agents are due, but a run is under way; they stay due")
    cursor = json.dumps({agent: asdict(mark) for agent, mark in found.marks.items()})
    if not found.due:
        waiting = sum(mark.pending_since is not None for mark in found.marks.values())
        return dg.SensorResult(
            skip_reason=f"no agent is due; {waiting} have fewer new experiences than a batch", cursor=cursor
        )
    newest = max(found.marks[agent].last_experience_id for agent in found.due)
    request = dg.RunRequest(
        run_key=f"up to experience {newest}",
        tags={**range_tags(found.due[0], found.due[-1]), "qe/due": f"{len(found.due)} agents"},
    )
    return dg.SensorResult(run_requests=[request], cursor=cursor)


async def _counts(database: FleetDatabase) -> list[ExperienceCounts]:
    async with database.store() as store:
        return await store.experiences.counts()
