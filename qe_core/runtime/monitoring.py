"""Watching agents learn: what is seen, what is done about it, and which alerts follow.

What belongs here: `QLearningMonitor`, and the pure rules it applies to what the store holds. What does not:
computing statistics windows (the graph does, from the log), the criteria and the verdict
(`qe_core.learning`), telling people (`delivery`).
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from qe_core.config import Settings
from qe_core.config.monitoring import MonitoringSettings
from qe_core.fleet import registry
from qe_core.fleet.registry import Registry
from qe_core.learning.convergence import ConvergenceSettings, Verdict, WindowStatistics, judge
from qe_core.learning.criteria import ORDERED, Criterion, criteria
from qe_core.learning.divergence_response import respond
from qe_core.runtime.alert_kinds import AlertKind
from qe_core.runtime.parameters import convergence_settings, response_settings
from qe_core.store import StatsWindow, Store
from qe_core.store.adjustments import AdjustmentRecord
from qe_core.store.alerts import Alert, Channel, Severity, Sighting

MONITOR = "monitor"
"""Who adjusts and resolves where no person does."""

LEARNING_KINDS = (AlertKind.AGENT_DIVERGING, AlertKind.AGENT_STALE, AlertKind.AGENT_SLOW)
_HEALTHY = (Verdict.LEARNING, Verdict.CONVERGED)


@dataclass(frozen=True, slots=True)
class Observation:
    """What is known about how one agent learns.

    Attributes:
        agent: who.
        windows: statistics windows as stored, oldest first.
        criteria: figure beside limit over the judged windows, the ordered four and the sturdier ones; none
            where there are too few windows, or windows of an earlier release that did not keep the figures.
        verdict: by all criteria, with the present idle time.
        reason: what decided the verdict, for people.
        ordered_verdict: what the ordered four criteria alone would say.
        idle_seconds: since the newest experience; None where there never was one.
    """

    agent: str
    windows: tuple[StatsWindow, ...]
    criteria: tuple[Criterion, ...]
    verdict: Verdict
    reason: str
    ordered_verdict: Verdict
    idle_seconds: float | None

    @property
    def ordered(self) -> tuple[Criterion, ...]:
        """The ordered four."""
        return tuple(one for one in self.criteria if one.is_ordered)

    @property
    def sturdier(self) -> tuple[Criterion, ...]:
        """Those beside them."""
        return tuple(one for one in self.criteria if not one.is_ordered)

    @property
    def episodes(self) -> int:
        """Finished episodes in all windows."""
        return sum(window.episodes for window in self.windows)

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """The verdict at the end of each window, oldest first."""
        return tuple(Verdict(window.verdict) for window in self.windows)

    def trailing(self, *wanted: Verdict) -> int:
        """Return how many of the newest windows in a row have one of these verdicts."""
        verdicts = self.verdicts
        return next(
            (place for place, verdict in enumerate(reversed(verdicts)) if verdict not in wanted),
            len(verdicts),
        )


@dataclass(frozen=True, slots=True)
class Over:
    """A kind of alert that is not, or no longer, called for.

    Attributes:
        kind: which.
        why: for people.
    """

    kind: AlertKind
    why: str


def observed(
    agent: str, windows: Sequence[StatsWindow], idle_seconds: float | None, settings: ConvergenceSettings
) -> Observation:
    """Return what stored windows say about an agent.

    Args:
        agent: who.
        windows: oldest first.
        idle_seconds: since its newest experience; None where there never was one.
        settings: thresholds.
    """
    judged = windows[-settings.window_count :]
    figures = [found for window in judged if (found := statistics_of(window)) is not None]
    if len(figures) < len(judged):
        # Kept from an earlier release: the verdict was stored, the figures it rests on were not.
        verdict, reason = Verdict(windows[-1].verdict), windows[-1].reason
        return Observation(agent, tuple(windows), (), verdict, reason, verdict, idle_seconds)
    verdict, reason = judge(figures, settings, idle_seconds)
    asked = criteria(figures, settings) if len(figures) == settings.window_count else []
    ordered_verdict, _ = judge(figures, settings, idle_seconds, considered=ORDERED)
    return Observation(agent, tuple(windows), tuple(asked), verdict, reason, ordered_verdict, idle_seconds)


def statistics_of(window: StatsWindow) -> WindowStatistics | None:
    """Return a stored window's figures as the verdict takes them; None where some were not stored."""
    if (
        window.mean_abs_q_change is None
        or window.bellman_residual is None
        or window.greedy_churn is None
        or window.return_sd is None
        or window.largest_q is None
        or window.recent_bias is None
        or window.pair_coverage is None
        or window.is_settling is None
    ):
        return None
    return WindowStatistics(
        window_index=window.window_index,
        first_row=0,
        end_row=window.experiences,
        episodes=window.episodes,
        experiences=window.experiences,
        mean_return=window.mean_return,
        return_sd=window.return_sd,
        reward_mean=window.reward_mean,
        reward_sd=window.reward_sd,
        success_rate=window.success_rate,
        exploration_rate=window.exploration_rate,
        mean_abs_q_change=window.mean_abs_q_change,
        largest_q=window.largest_q,
        bellman_residual=window.bellman_residual,
        recent_bias=window.recent_bias,
        greedy_churn=window.greedy_churn,
        pair_coverage=window.pair_coverage,
        is_settling=window.is_settling,
        states_visited=window.states_visited,
        verdict=Verdict(window.verdict),
        reason=window.reason,
    )


def alarms(seen: Observation, settings: MonitoringSettings) -> list[Sighting | Over]:
    """Return which alerts an observation calls for, and which it ends; in between, neither.

    Divergence is a warning at once and critical when it lasts. It is over only after several healthy windows
    in a row, so that a verdict that wavers neither opens nor closes anything twice.

    Args:
        seen: an observation.
        settings: how long is too long.
    """
    found: list[Sighting | Over] = []
    if seen.verdict is Verdict.DIVERGING:
        is_lasting = seen.trailing(Verdict.DIVERGING) >= settings.diverging_windows
        found.append(_sighting(AlertKind.AGENT_DIVERGING, seen, seen.reason, is_critical=is_lasting))
    elif seen.trailing(*_HEALTHY) >= settings.healthy_windows:
        found.append(
            Over(AlertKind.AGENT_DIVERGING, f"{settings.healthy_windows} windows without divergence")
        )
    if seen.verdict is Verdict.STALE:
        found.append(_sighting(AlertKind.AGENT_STALE, seen, seen.reason))
    elif seen.idle_seconds is not None:
        found.append(Over(AlertKind.AGENT_STALE, "it has new experiences"))
    if Verdict.CONVERGED in seen.verdicts:
        found.append(Over(AlertKind.AGENT_SLOW, "it has converged"))
    elif seen.verdict is Verdict.LEARNING and seen.episodes >= settings.slow_after_episodes:
        summary = f"not converged after {seen.episodes:,} episodes: {seen.reason}"
        found.append(_sighting(AlertKind.AGENT_SLOW, seen, summary))
    return found


def _sighting(kind: AlertKind, seen: Observation, summary: str, *, is_critical: bool = False) -> Sighting:
    newest = seen.windows[-1].last_experience_id if seen.windows else 0
    severity: Severity = "critical" if is_critical else "warning"
    return Sighting(kind, seen.agent, severity, summary, kind.runbook, f"up to experience {newest}")


@dataclass(frozen=True, slots=True)
class WatchReport:
    """What one look at the whole fleet led to.

    Attributes:
        observations: one for each agent, in the order of the registry.
        open_alerts: those the observations call for, opened now or before.
        resolved: those that are over.
        adjusted: changes to how agents learn.
    """

    observations: tuple[Observation, ...]
    open_alerts: tuple[Alert, ...]
    resolved: tuple[Alert, ...]
    adjusted: tuple[AdjustmentRecord, ...]


class QLearningMonitor:
    """Observes agents, answers divergence, opens and closes alerts.

    Args:
        store: where statistics, adjustments and alerts are.
        settings: thresholds.
        channels: who is to be told of alerts.
        fleet: whom to watch; None for everybody registered.
        clock: the present, aware.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        *,
        channels: Sequence[Channel] = ("log",),
        fleet: Registry | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store = store
        self._settings = settings.monitoring
        self._thresholds = convergence_settings(settings)
        self._response = response_settings(settings)
        self._channels = tuple(channels)
        self._fleet = registry() if fleet is None else fleet
        self._clock = clock

    async def observe(self, agent: str) -> Observation:
        """Return what is known about how an agent learns.

        Raises:
            UnknownAgentError: no such agent is registered.
        """
        [found] = await self._observed([self._fleet.get(agent).name])
        return found

    async def observe_all(self) -> list[Observation]:
        """Return what is known about every agent, in the order of the registry."""
        return await self._observed(self._fleet.names())

    async def respond(self, seen: Observation) -> AdjustmentRecord | None:
        """Make the adjustment hold that an agent's verdicts ask for; None where it holds already."""
        if not seen.windows:
            return None
        wanted = respond(seen.verdicts, self._response)
        newest = seen.windows[-1]
        is_worse = newest.verdict == Verdict.DIVERGING
        why = newest.reason if is_worse else f"no longer diverging: {newest.reason}"
        return await self._store.adjustments.adjust(seen.agent, wanted, MONITOR, newest.verdict, why)

    async def report(
        self, seen: Observation, kinds: Collection[AlertKind] = LEARNING_KINDS
    ) -> tuple[list[Alert], list[Alert]]:
        """Open and close an agent's alerts; return those that are called for and those that are over now.

        Args:
            seen: an observation.
            kinds: which alerts are of interest.
        """
        opened, resolved = [], []
        for found in alarms(seen, self._settings):
            if found.kind not in kinds:
                continue
            if isinstance(found, Sighting):
                opened.append(await self._store.alerts.see(found, self._channels))
                continue
            over = await self._store.alerts.resolve(
                found.kind, seen.agent, MONITOR, found.why, self._channels
            )
            if over is not None:
                resolved.append(over)
        return opened, resolved

    async def watch(self, kinds: Collection[AlertKind] = LEARNING_KINDS) -> WatchReport:
        """Look at every agent once: respond to divergence where that is wanted, open and close alerts.

        Args:
            kinds: which alerts are of interest; divergence is answered only where its alert is.
        """
        observations = await self.observe_all()
        opened: list[Alert] = []
        resolved: list[Alert] = []
        adjusted: list[AdjustmentRecord] = []
        is_responding = self._settings.is_responding and AlertKind.AGENT_DIVERGING in kinds
        for seen in observations:
            if is_responding and (record := await self.respond(seen)) is not None:
                adjusted.append(record)
            called_for, over = await self.report(seen, kinds)
            opened += called_for
            resolved += over
        return WatchReport(tuple(observations), tuple(opened), tuple(resolved), tuple(adjusted))

    async def _observed(self, agents: Sequence[str]) -> list[Observation]:
        now = self._clock()
        last_at = {line.agent: line.last_occurred_at for line in await self._store.experiences.counts()}
        found = []
        for agent in agents:
            last = last_at.get(agent)
            idle = None if last is None else max(0.0, (now - last).total_seconds())
            windows = await self._store.stats.windows(agent)
            found.append(observed(agent, windows, idle, self._thresholds))
        return found
