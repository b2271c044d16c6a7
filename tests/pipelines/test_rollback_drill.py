"""The rollback drill in its short form: real agents, real ticks of the sensor, a real receiver."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from qe_core.store import migrate
from qe_core.store.policies import Mode
from tests.faults.place import Server
from tests.receiving import receivers
from tests.rollback_drill.kills import AFTER, COMMITTING, kill_at
from tests.rollback_drill.run import Plan, drill

PLAN = Plan(
    seed=5,
    agents=("test-executor", "quality-gate"),
    processes=2,
    tasks=8,
    work_seconds=0.05,
    healthy_tasks=450,
    patience_seconds=240.0,
)


def test_poisoned_policies_are_taken_back_while_agents_work(
    database_url: str,
    environment: Callable[[str], str],
    instance: dg.DagsterInstance,
    definitions: dg.Definitions,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from qe_pipelines.resources import FleetDatabase, FleetSettings

    environment(database_url)
    sensor = definitions.resolve_sensor_def("policy_rollbacks")
    said: list[str] = []
    shown: list[str] = []

    def tick() -> None:
        """Have the sensor look once."""
        resources = {"database": FleetDatabase(), "settings": FleetSettings()}
        with dg.build_sensor_context(instance=instance, resources=resources) as context:
            data = sensor.evaluate_tick(context)
        said.append(str(data.skip_message))
        shown.extend(str(event.metadata["agent"].value) for event in data.asset_events)

    with receivers() as start:
        receiver = start(200)
        monkeypatch.setenv("QE_ALERT_WEBHOOK_URL", receiver.url)
        result = drill(PLAN, database_url, tmp_path, receiver, tick)
    assert result.is_safe, f"{result}\n{said[-3:]}"
    assert {one.mode for one in result.recoveries} == {Mode.SERVING, Mode.LEARNING}
    assert all(one.tasks_harmed > 0 for one in result.recoveries)
    assert sorted(shown) == sorted(PLAN.agents)
    assert sum(line.count("rolled back: ") for line in said) == len(PLAN.agents)


def test_a_server_killed_during_a_rollback_leaves_the_old_or_the_new_state(server_directory: Path) -> None:
    server = Server(server_directory, server_directory / "drill.log")
    server.start()
    try:
        url = server.url("drill")
        asyncio.run(migrate(url))
        found = list(kill_at(server, url, ("q_values", "rollback_events", COMMITTING, AFTER)))
    finally:
        server.embedded.stop()
    assert len(found) == 8
    assert all(killed.is_right for killed in found), found
