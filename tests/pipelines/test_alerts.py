"""Ticks of the sensors that watch verdicts, against the real instance, PostgreSQL and a real receiver."""

import asyncio
from dataclasses import replace

import dagster as dg
import numpy as np
import pytest

from qe_core.fleet import registry
from qe_core.learning.divergence_response import NEUTRAL, Adjustment
from qe_core.store import StatsWindow, Store
from qe_core.store.adjustments import AdjustmentRecord
from tests.integration.runtime.test_monitoring import GOOD, falling
from tests.pipelines.conftest import experience_columns, run_sql
from tests.receiving import SECRET, receivers

AGENT = "quality-gate"


def tick(instance: dg.DagsterInstance, name: str, definitions: dg.Definitions) -> str:
    """Return what a tick of a sensor says."""
    from qe_pipelines.resources import FleetDatabase, FleetSettings

    sensor = definitions.resolve_sensor_def(name)
    with dg.build_sensor_context(
        instance=instance, resources={"database": FleetDatabase(), "settings": FleetSettings()}
    ) as context:
        data = sensor.evaluate_tick(context)
    assert not data.run_requests
    return str(data.skip_message)


def put(url: str, windows: list[StatsWindow]) -> None:
    """Make these an agent's windows."""

    async def replaced() -> None:
        async with Store.connect(url) as store:
            await store.stats.replace(AGENT, windows)

    asyncio.run(replaced())


def adjustments(url: str) -> list[AdjustmentRecord]:
    """Return what was adjusted about the agent, the newest first."""

    async def read() -> list[AdjustmentRecord]:
        async with Store.connect(url) as store:
            return await store.adjustments.history(AGENT)

    return asyncio.run(read())


def test_divergence_is_answered_told_and_taken_back(
    learned_url: str,
    instance: dg.DagsterInstance,
    definitions: dg.Definitions,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert tick(instance, "divergence", definitions) == "looked at 18 agents"
    with receivers() as start:
        receiver = start(500, 200)
        monkeypatch.setenv("QE_ALERT_WEBHOOK_URL", receiver.url)
        put(learned_url, falling(2))
        assert tick(instance, "divergence", definitions) == (
            "looked at 18 agents; open: agent-diverging of quality-gate (critical); "
            "adjusted: quality-gate to 0.5 of its learning rate, at least 0.1 exploration"
        )
        assert tick(instance, "alert_deliveries", definitions) == "1 delivered, 1 postponed, 0 given up"
        run_sql(learned_url, "UPDATE alert_deliveries SET due_at = now()")
        assert tick(instance, "alert_deliveries", definitions) == "1 delivered, 0 postponed, 0 given up"
        assert tick(instance, "divergence", definitions) == (
            "looked at 18 agents; open: agent-diverging of quality-gate (critical)"
        )
        put(learned_url, falling(2, after=[GOOD] * 13))
        assert tick(instance, "divergence", definitions) == (
            "looked at 18 agents; over: agent-diverging of quality-gate; "
            "adjusted: quality-gate to 1 of its learning rate, at least 0 exploration"
        )
        assert tick(instance, "alert_deliveries", definitions) == "2 delivered, 0 postponed, 0 given up"
        events = [body["event"] for _, _, body in receiver.received]
    assert events == ["opened", "opened", "resolved"]
    assert [line.after for line in adjustments(learned_url)] == [NEUTRAL, Adjustment(0.5, 0.1)]


def test_stale_agents_are_told_of_until_they_are_heard_of_again(
    learned_url: str,
    instance: dg.DagsterInstance,
    definitions: dg.Definitions,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert tick(instance, "stale_agents", definitions) == "looked at 18 agents"
    monkeypatch.setenv("QE_CONVERGENCE__STALE_AFTER_DAYS", "0.0001")
    said = tick(instance, "stale_agents", definitions)
    assert said.count("open: agent-stale of ") == len(registry())
    monkeypatch.delenv("QE_CONVERGENCE__STALE_AFTER_DAYS")
    assert tick(instance, "stale_agents", definitions).count("over: agent-stale of ") == len(registry())
    counts = "SELECT count(*), count(resolved_at) FROM alerts WHERE kind = 'agent-stale'"
    assert run_sql(learned_url, counts) == [(18, 18)]


def test_an_agent_that_takes_too_long_is_told_of(
    learned_url: str, instance: dg.DagsterInstance, definitions: dg.Definitions
) -> None:
    slow = replace(GOOD, verdict="learning", success_rate=0.5)
    put(
        learned_url,
        [replace(slow, window_index=place, episodes=100, experiences=400) for place in range(10)],
    )
    said = tick(instance, "divergence", definitions)
    assert "open: agent-slow of quality-gate (warning)" in said


def test_open_alerts_fail_a_check_that_names_their_page(
    learned_url: str, instance: dg.DagsterInstance, definitions: dg.Definitions
) -> None:
    from qe_pipelines.defs.maintenance.alerts import judged_alerts
    from qe_pipelines.resources import FleetDatabase

    assert asyncio.run(judged_alerts(FleetDatabase())).passed
    put(learned_url, falling(2))
    tick(instance, "divergence", definitions)
    found = asyncio.run(judged_alerts(FleetDatabase()))
    assert not found.passed
    assert found.severity is dg.AssetCheckSeverity.WARN
    assert "agent-diverging of quality-gate (critical)" in str(found.description)
    assert "see docs/runbooks/agent-diverging.md" in str(found.description)


def test_the_catalogue_shows_both_sets_of_criteria(learned_url: str, definitions: dg.Definitions) -> None:
    from qe_core.config import Settings
    from qe_core.runtime.monitoring import observed
    from qe_core.runtime.parameters import convergence_settings
    from qe_pipelines.defs.convergence.statistics import criteria_table

    seen = observed(AGENT, [replace(GOOD, pair_coverage=0.4)] * 10, None, convergence_settings(Settings()))
    lines = criteria_table(seen.criteria).splitlines()
    assert len(lines) == 2 + 9
    assert lines[2] == "| change of q | ordered | 0.002 | ≤ 0.01 | yes |"
    assert lines[9] == "| coverage of pairs that matter | sturdier | 0.4 | ≥ 0.8 | no |"


def test_no_secret_reaches_a_tick_or_the_database(
    learned_url: str,
    instance: dg.DagsterInstance,
    definitions: dg.Definitions,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("QE_ALERT_WEBHOOK_URL", f"http://127.0.0.1:1/{SECRET}")
    put(learned_url, falling(2))
    said = tick(instance, "divergence", definitions) + tick(instance, "alert_deliveries", definitions)
    [(stored,)] = run_sql(
        learned_url, "SELECT string_agg(d::text || a::text, ' ') FROM alert_deliveries d, alerts a"
    )
    assert "postponed" in said
    assert "Connection refused" in stored
    assert SECRET not in said + stored + caplog.text


async def test_a_log_whose_rewards_fall_leads_to_smaller_steps_and_more_exploration(
    filled_url: str, definitions: dg.Definitions
) -> None:
    from qe_core.config import Settings
    from qe_core.learning.convergence import Verdict
    from qe_core.runtime.monitoring import QLearningMonitor
    from qe_core.runtime.parameters import adjusted, exploration_schedule, learning_rate
    from qe_pipelines.defs.convergence.statistics import figures_of

    contract, settings = registry().get(AGENT), Settings()
    rows = experience_columns(contract, 600, 3, 10_000)
    share = np.arange(len(rows["reward"])) / len(rows["reward"])
    rows["reward"] = (rows["reward"] + 60.0 - 90.0 * share).clip(-100.0, 100.0)
    async with Store.connect(filled_url) as store:
        await store.experiences.append(rows)
        _, windows = await figures_of(store, contract, settings, None, is_trimmed=False)
        await store.stats.replace(AGENT, windows)
        report = await QLearningMonitor(store, settings).watch()
        [seen] = [one for one in report.observations if one.agent == AGENT]
        present = await store.adjustments.present(AGENT)
    assert seen.verdict is Verdict.DIVERGING
    assert len(seen.criteria) == 9
    assert [alert.kind for alert in report.open_alerts] == ["agent-diverging"]
    assert present.learning_rate_factor < 1.0
    changed = adjusted(settings, present)
    assert learning_rate(changed).initial < learning_rate(settings).initial
    assert exploration_schedule(changed).exploration_rate >= present.exploration_floor > 0.0
