"""The monitor against PostgreSQL: observations, answers to divergence, alerts that open and close."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from qe_core.config import Settings
from qe_core.errors import UnknownAgentError
from qe_core.fleet import registry
from qe_core.learning.convergence import Verdict
from qe_core.learning.criteria import CriterionName
from qe_core.learning.divergence_response import NEUTRAL, Adjustment
from qe_core.runtime.alert_kinds import AlertKind
from qe_core.runtime.monitoring import MONITOR, Over, QLearningMonitor, alarms, observed, statistics_of
from qe_core.runtime.parameters import convergence_settings
from qe_core.store import StatsWindow, Store
from tests.integration.store.rows import START, experiences

AGENT = "quality-gate"
GOOD = StatsWindow(
    window_index=0, first_experience_id=1, last_experience_id=100, episodes=25, experiences=100,
    mean_return=50.0, reward_mean=12.5, reward_sd=3.0, success_rate=0.95, exploration_rate=0.01,
    mean_abs_q_change=0.002, bellman_residual=1.0, greedy_churn=0.0, states_visited=20,
    verdict="converged", reason="every criterion held", return_sd=5.0, largest_q=60.0, recent_bias=0.5,
    pair_coverage=1.0, is_settling=True,
)  # fmt: skip
DIVERGING = replace(GOOD, verdict="diverging", reason="the mean return fell")
LEARNING = replace(GOOD, verdict="learning", reason="success rate 0.5, needs ≥ 0.85", success_rate=0.5)


def numbered(*windows: StatsWindow) -> list[StatsWindow]:
    """Return the windows with their places as index and experiences."""
    return [
        replace(
            window, window_index=place, first_experience_id=100 * place + 1,
            last_experience_id=100 * place + 100,
        )
        for place, window in enumerate(windows)
    ]  # fmt: skip


def falling(diverging: int, *, after: Sequence[StatsWindow] = ()) -> list[StatsWindow]:
    """Return ten windows whose returns fall, so many of the newest judged diverging, and some after them."""
    windows = [replace(LEARNING, mean_return=90.0 - 6.0 * place) for place in range(10)]
    judged = [
        replace(window, verdict="diverging", reason="the mean return fell")
        for window in windows[10 - diverging :]
    ]
    return numbered(*windows[: 10 - diverging], *judged, *after)


def monitor(store: Store, clock: datetime | None = None) -> QLearningMonitor:
    """Return a monitor of the whole fleet with default settings."""
    return QLearningMonitor(store, Settings(), clock=lambda: clock or datetime.now(UTC))


async def test_both_sets_of_criteria_stand_side_by_side_with_verdict_and_reason(store: Store) -> None:
    frozen = replace(GOOD, bellman_residual=28.0, pair_coverage=0.4)
    await store.stats.replace(AGENT, numbered(*[frozen] * 10))
    seen = await monitor(store).observe(AGENT)
    assert [one.name for one in seen.criteria] == list(CriterionName)
    assert [one.is_met for one in seen.ordered] == [True] * 4
    assert [one.name for one in seen.sturdier if not one.is_met] == [
        CriterionName.BELLMAN_RESIDUAL,
        CriterionName.PAIR_COVERAGE,
    ]
    assert (seen.verdict, seen.ordered_verdict) == (Verdict.LEARNING, Verdict.CONVERGED)
    assert seen.reason == "Bellman residual 28, needs ≤ 10; coverage of pairs that matter 0.4, needs ≥ 0.8"
    assert seen.episodes == 250


async def test_an_agent_nobody_has_seen_yet_is_insufficient_data(store: Store) -> None:
    seen = await monitor(store).observe(AGENT)
    assert (seen.verdict, seen.criteria, seen.idle_seconds) == (Verdict.INSUFFICIENT_DATA, (), None)
    report = await monitor(store).watch()
    assert [one.agent for one in report.observations] == list(registry().names())
    assert (report.open_alerts, report.resolved, report.adjusted) == ((), (), ())


async def test_a_stranger_is_refused(store: Store) -> None:
    with pytest.raises(UnknownAgentError):
        await monitor(store).observe("stranger")


def test_windows_of_an_earlier_release_keep_their_verdict() -> None:
    old = replace(LEARNING, recent_bias=None)
    assert statistics_of(old) is None
    seen = observed(AGENT, numbered(*[GOOD] * 9, old), None, convergence_settings(Settings()))
    assert (seen.verdict, seen.reason, seen.criteria) == (Verdict.LEARNING, LEARNING.reason, ())


async def test_divergence_is_answered_recorded_and_taken_back(store: Store) -> None:
    await store.stats.replace(AGENT, falling(2))
    report = await monitor(store).watch()
    [record] = report.adjusted
    assert (record.agent, record.adjusted_by, record.verdict) == (AGENT, MONITOR, "diverging")
    assert (record.before, record.after) == (NEUTRAL, Adjustment(0.5, 0.1))
    assert record.reason == "the mean return fell"
    assert await store.adjustments.present(AGENT) == Adjustment(0.5, 0.1)
    assert (await monitor(store).watch()).adjusted == ()  # the same windows ask for the same

    await store.stats.replace(AGENT, falling(2, after=[GOOD] * 3))
    [back] = (await monitor(store).watch()).adjusted
    assert back.after == NEUTRAL
    assert back.reason == "no longer diverging: every criterion held"
    assert [line.after for line in await store.adjustments.history(AGENT)] == [NEUTRAL, Adjustment(0.5, 0.1)]


async def test_nothing_is_adjusted_where_that_is_not_wanted(store: Store) -> None:
    await store.stats.replace(AGENT, falling(2))
    quiet = Settings.model_validate({"monitoring": {"is_responding": False}})
    report = await QLearningMonitor(store, quiet).watch()
    assert report.adjusted == ()
    assert [alert.kind for alert in report.open_alerts] == [AlertKind.AGENT_DIVERGING]
    assert (await monitor(store).watch([AlertKind.AGENT_STALE])).adjusted == ()


async def test_a_diverging_agent_has_one_alert_that_grows_severe_and_ends(store: Store) -> None:
    await store.stats.replace(AGENT, falling(1))
    [first] = (await monitor(store).watch()).open_alerts
    assert (first.kind, first.subject, first.severity) == ("agent-diverging", AGENT, "warning")
    assert first.runbook == "docs/runbooks/agent-diverging.md"
    [again] = (await monitor(store).watch()).open_alerts
    assert (again.alert_id, again.occurrences) == (first.alert_id, 1)

    await store.stats.replace(AGENT, falling(2))
    [worse] = (await monitor(store).watch()).open_alerts
    assert (worse.alert_id, worse.severity) == (first.alert_id, "critical")

    await store.stats.replace(AGENT, falling(2, after=[GOOD] * 2))
    assert (await monitor(store).watch()).resolved == ()
    await store.stats.replace(AGENT, falling(2, after=[GOOD] * 13))
    [over] = (await monitor(store).watch()).resolved
    assert (over.alert_id, over.resolved_by) == (first.alert_id, MONITOR)
    events = [told.event for told in await store.alerts.deliveries(first.alert_id)]
    assert events == ["opened", "escalated", "resolved"]


async def test_an_agent_without_new_experiences_is_stale_until_it_has_some(store: Store) -> None:
    now = START + timedelta(days=1)
    await store.experiences.append(experiences(3, agent=AGENT))
    assert (await monitor(store, now).watch()).open_alerts == ()
    later = now + timedelta(days=4_000)
    [alert] = (await monitor(store, later).watch()).open_alerts
    assert (alert.kind, alert.subject, alert.severity) == ("agent-stale", AGENT, "warning")
    assert "no experiences for" in alert.summary
    assert (await monitor(store, later).observe(AGENT)).verdict is Verdict.STALE
    fresh = Settings.model_validate({"convergence": {"stale_after_days": 1e6}})
    [over] = (await QLearningMonitor(store, fresh, clock=lambda: later).watch()).resolved
    assert (over.alert_id, over.resolution) == (alert.alert_id, "it has new experiences")


@pytest.mark.parametrize(
    ("windows", "wanted"),
    [
        ([LEARNING] * 39, None),
        ([LEARNING] * 40, "not converged after 1,000 episodes: success rate 0.5, needs ≥ 0.85"),
        ([GOOD] + [LEARNING] * 50, "it has converged"),
    ],
)
def test_an_agent_that_takes_too_long_is_slow(windows: list[StatsWindow], wanted: str | None) -> None:
    settings = Settings()
    seen = observed(AGENT, numbered(*windows), None, convergence_settings(settings))
    found = [one for one in alarms(seen, settings.monitoring) if one.kind == AlertKind.AGENT_SLOW]
    words = [one.why if isinstance(one, Over) else one.summary for one in found]
    assert words == ([] if wanted is None else [wanted])
