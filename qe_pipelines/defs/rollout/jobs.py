"""What people do about policies from the Dagster UI: take one back, or overrule a rollout.

What belongs here: the jobs `rollback_policy` and `override_rollout` and what they ask for. What does not:
carrying it out (`qe_core.runtime.rollout`); the command line does the same.
"""

from typing import Any

import dagster as dg
from pydantic import Field

from qe_core.config import Settings, configured_webhook_url
from qe_core.errors import QEError
from qe_core.rollout.ramp import Move
from qe_core.runtime.delivery import Delivery
from qe_core.runtime.rollout.rollback_manager import PolicyRollbackManager
from qe_core.runtime.rollout.staged_rollout import StagedRollout
from qe_core.store import Store
from qe_core.store.errors import ABTestError
from qe_pipelines.defs.rollout.events import materialization
from qe_pipelines.resources import FleetDatabase, FleetSettings


class RollbackConfig(dg.Config):
    """What to take back."""

    agent: str = Field(description="Whose policy.")
    why: str = Field(description="Why; kept with the event.")
    version: int | None = Field(
        default=None, description="The version to go back to; the last good one if left out."
    )


class OverrideConfig(dg.Config):
    """What is to become of an agent's running test."""

    agent: str = Field(description="Whose test.")
    move: Move = Field(description="stay, advance, promote or stop; stay holds it until a person moves it.")
    why: str = Field(description="Why; kept with the test.")


@dg.op
async def take_back(
    context: dg.OpExecutionContext, config: RollbackConfig, database: FleetDatabase, settings: FleetSettings
) -> None:
    """Roll back one agent in one transaction, and tell people."""
    values = settings.values
    async with database.store() as store:
        delivery = Delivery(store, values.monitoring, configured_webhook_url())
        manager = PolicyRollbackManager(store, values, channels=delivery.channels)
        try:
            event = await manager.roll_back(
                config.agent, by=person(context), why=config.why, to=config.version
            )
        except QEError as error:
            raise dg.Failure(str(error), allow_retries=False) from error
        await delivery.deliver_due()
    context.log_event(materialization(event))


@dg.op
async def overrule(
    context: dg.OpExecutionContext, config: OverrideConfig, database: FleetDatabase, settings: FleetSettings
) -> None:
    """Have an agent's running test do what a person wants."""
    async with database.store() as store:
        try:
            done = await overruled(store, settings.values, config, person(context))
        except QEError as error:
            raise dg.Failure(str(error), allow_retries=False) from error
    context.log.info(
        f"test {done['test']} of {config.agent}: {done['move']}, against the verdict {done['verdict']}"
    )
    context.add_output_metadata(done)


async def overruled(store: Store, settings: Settings, config: OverrideConfig, by: str) -> dict[str, Any]:
    """Carry out a person's word and return what came of it.

    Raises:
        ABTestError: no test of the agent is running.
        RolloutError: there is no stage after the last.
    """
    running = [test for test in await store.ab_tests.running() if test.agent == config.agent]
    if not running:
        raise ABTestError(f"no test of {config.agent} is running; nothing was changed")
    done = await StagedRollout(store, settings).override(
        running[0].experiment_id, config.move, by=by, why=config.why
    )
    return {
        "test": done.test.experiment_id,
        "move": done.step.move.value,
        "stage": int(done.test.stage),
        "verdict": done.look.judgement.verdict.value,
    }


def person(context: dg.OpExecutionContext) -> str:
    """Return who asks, as far as Dagster knows."""
    return f"Dagster run {context.run_id[:8]}"


@dg.job(description="Take an agent's policy back by hand.", executor_def=dg.in_process_executor)
def rollback_policy() -> None:
    """Take an agent's policy back by hand."""
    take_back()


@dg.job(description="Overrule the rollout of an agent's candidate.", executor_def=dg.in_process_executor)
def override_rollout() -> None:
    """Overrule the rollout of an agent's candidate."""
    overrule()
