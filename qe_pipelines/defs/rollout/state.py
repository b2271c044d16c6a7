"""What each agent serves, after the steps that the verdicts on its test call for.

What belongs here: the asset `rollout_state` and its schedule. What does not: which step follows
(`qe_core.rollout.ramp`) and carrying it out (`qe_core.runtime.rollout`).
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

import dagster as dg

from qe_core.config import configured_webhook_url
from qe_core.fleet import registry
from qe_core.rollout.ramp import Move
from qe_core.runtime.delivery import Delivery
from qe_core.runtime.rollout.staged_rollout import RolloutStep, StagedRollout
from qe_core.store.policies import PolicyVersion, ServingState
from qe_pipelines.catalogue import OWNERS, SERVING_COLUMNS, Stage
from qe_pipelines.resources import FleetDatabase, FleetSettings


@dg.asset(
    deps=["ab_results"],
    group_name=Stage.ROLLOUT,
    owners=OWNERS,
    kinds={"python", "postgres"},
    metadata=SERVING_COLUMNS,
)
async def rollout_state(database: FleetDatabase, settings: FleetSettings) -> dg.MaterializeResult[None]:
    """Mode, versions and stage of every agent, once each running test took the step its verdict calls for.

    Every look is kept, every step is on record with its reason.
    """
    names = registry().names()
    async with database.store() as store:
        channels = Delivery(store, settings.values.monitoring, configured_webhook_url()).channels
        rollout = StagedRollout(store, settings.values, channels=channels)
        steps = await rollout.advance_due(datetime.now(UTC))
        states = await store.policies.serving(names)
        newest = {name: (await store.policies.versions(name))[:1] for name in names}
    moves = [one.step.move for one in steps]
    return dg.MaterializeResult(
        metadata={
            "dagster/row_count": len(states),
            "agents": dg.MetadataValue.md(serving_table(list(states.values()), newest)),
            "steps": dg.MetadataValue.md(step_list(steps)),
            "advanced": moves.count(Move.ADVANCE),
            "promoted": moves.count(Move.PROMOTE),
            "stopped": moves.count(Move.STOP),
        }
    )


def serving_table(states: Sequence[ServingState], newest: Mapping[str, Sequence[PolicyVersion]]) -> str:
    """Return a Markdown table with one row for each agent."""
    rows = []
    for state in states:
        frozen = [f"{version.number} of {version.created_at:%F %T}" for version in newest[state.agent]]
        stage = "–" if state.test is None else f"{state.test.stage:d} %"
        cells = [state.agent, state.mode, *map(_number, (state.stable, state.candidate)), stage, *frozen]
        rows.append(f"| {' | '.join(cells)} |{'' if frozen else ' – |'}")
    head = "| agent | mode | stable | candidate | stage | newest version, UTC |"
    return "\n".join([head, "|---|---|--:|--:|--:|---|", *rows])


def step_list(steps: Sequence[RolloutStep]) -> str:
    """Return as Markdown what followed for each running test."""
    lines = [f"- {one.test.agent}: {one.step.move}: {one.step.why}" for one in steps]
    return "\n".join(lines) or "no test is running"


def _number(value: int | None) -> str:
    return "–" if value is None else str(value)
