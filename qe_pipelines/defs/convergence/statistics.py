"""Whether each agent has learned what there is to learn.

What belongs here: the asset `convergence_statistics`. What does not: the figures and the verdict
(`qe_core.learning`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import dagster as dg
import numpy as np

from qe_core.config import Settings
from qe_core.fleet import AgentContract
from qe_core.learning.convergence import WindowStatistics
from qe_core.learning.criteria import Criterion
from qe_core.learning.windows import convergence_windows
from qe_core.runtime.monitoring import Observation, observed
from qe_core.runtime.parameters import DAY_SECONDS, convergence_settings, learning_rate
from qe_core.store import EpisodeReturns, StatsWindow, Store
from qe_pipelines.catalogue import OWNERS, STATISTICS_COLUMNS, Stage
from qe_pipelines.partitions import AGENTS, ALL_AT_ONCE, selected_contracts
from qe_pipelines.pictures import learning_curve_picture
from qe_pipelines.resources import FleetDatabase, FleetSettings

Figures = tuple[EpisodeReturns, list[StatsWindow]]
_LARGEST_ID = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Settled:
    """Windows over experiences that retention removed: they stay as they were computed.

    Attributes:
        windows: oldest first; the last one may reach into what is still in the log.
        episodes: how many of the finished episodes in the log, the first ones, they hold already.
    """

    windows: list[StatsWindow]
    episodes: int


def settled(stored: list[StatsWindow], episodes: EpisodeReturns, is_trimmed: bool) -> Settled:
    """Return which windows cannot be computed again.

    Args:
        stored: the windows as they are, oldest first.
        episodes: of the log as it is.
        is_trimmed: whether retention has removed experiences of the agent's present contract.
    """
    oldest = int(episodes.first_experience_id.min()) if len(episodes) else _LARGEST_ID
    reaching_back = [place for place, window in enumerate(stored) if window.first_experience_id < oldest]
    if not is_trimmed or not reaching_back:
        return Settled([], 0)
    windows = stored[: reaching_back[-1] + 1]
    newest = max(window.last_experience_id for window in windows)
    held = np.flatnonzero(episodes.last_experience_id[episodes.is_finished] <= newest)
    return Settled(windows, int(held[-1]) + 1 if len(held) else 0)


async def trimmed_contracts(store: Store) -> set[tuple[str, str]]:
    """Return the agents and contracts of which retention has removed experiences."""
    return {(line.agent, line.fingerprint) for line in await store.retention.evidence() if line.summarised}


@dg.asset(
    partitions_def=AGENTS,
    backfill_policy=ALL_AT_ONCE,
    deps=["individual_q_table"],
    group_name=Stage.CONVERGENCE,
    owners=OWNERS,
    kinds={"python", "postgres"},
    metadata=STATISTICS_COLUMNS,
    freshness_policy=dg.FreshnessPolicy.time_window(
        fail_window=timedelta(hours=26), warn_window=timedelta(hours=3)
    ),
)
async def convergence_statistics(
    context: dg.AssetExecutionContext, database: FleetDatabase, settings: FleetSettings
) -> None:
    """Figures over windows of consecutive episodes, and the verdict on each agent."""
    values, now = settings.values, datetime.now(UTC)
    async with database.store() as store:
        trimmed = await trimmed_contracts(store)
        idle = {line.agent: now - line.last_occurred_at for line in await store.experiences.counts()}
        for contract in selected_contracts(context):
            is_trimmed = (contract.name, contract.fingerprint) in trimmed
            episodes, windows = await figures_of(
                store, contract, values, idle.get(contract.name), is_trimmed=is_trimmed
            )
            is_changed = await store.stats.replace(contract.name, windows)
            seen = observed(contract.name, windows, None, convergence_settings(values))
            context.add_asset_metadata(
                _metadata(episodes, seen, is_changed=is_changed), partition_key=contract.name
            )


async def figures_of(
    store: Store,
    contract: AgentContract,
    settings: Settings,
    idle: timedelta | None,
    *,
    is_trimmed: bool,
) -> Figures:
    """Return an agent's episodes and its windows as its log determines them, oldest first.

    Windows over experiences that retention removed stay as they were computed; what is left of their
    episodes is learned from before the first window that is computed again.

    Args:
        store: where the log is.
        contract: whose.
        settings: thresholds.
        idle: time since its last experience; whole days count, so that looking again the same day changes
            nothing.
        is_trimmed: whether retention has removed experiences of this contract.

    Raises:
        LearningError: an experience does not fit the agent's contract.
    """
    episodes = await store.experiences.episode_returns(contract.name, contract.fingerprint)
    log = await store.experiences.load_transitions(contract.name, contract.fingerprint)
    kept = settled(await store.stats.windows(contract.name), episodes, is_trimmed)
    ends = log.episode_ends()
    warm_up_rows = int(ends[kept.episodes - 1]) if kept.episodes else 0
    ended = np.flatnonzero(episodes.is_finished)[kept.episodes : len(ends)]
    ends = ends[kept.episodes :]
    windows = convergence_windows(
        log,
        contract.state_count,
        contract.action_count,
        episode_ends=ends[: len(ended)],
        success=episodes.success[ended],
        exploration_rate=episodes.exploration_rate[ended],
        discount=contract.discount_or(settings.learning.discount),
        learning_rate=learning_rate(settings),
        settings=convergence_settings(settings),
        idle_seconds=None if idle is None else idle.days * DAY_SECONDS,
        warm_up_rows=warm_up_rows,
    )
    first, last = episodes.first_experience_id[ended], episodes.last_experience_id[ended]
    computed = _numbered(windows, first, last)
    return episodes, kept.windows + [
        replace(window, window_index=len(kept.windows) + place) for place, window in enumerate(computed)
    ]


def _numbered(
    windows: list[WindowStatistics],
    first: np.ndarray[tuple[int], np.dtype[np.int64]],
    last: np.ndarray[tuple[int], np.dtype[np.int64]],
) -> list[StatsWindow]:
    """Return the windows as they are stored, each with the numbers of the experiences its episodes span."""
    stored, begin = [], 0
    for window in windows:
        span = slice(begin, begin + window.episodes)
        begin = span.stop
        stored.append(
            StatsWindow(
                window_index=window.window_index,
                first_experience_id=int(first[span].min()),
                last_experience_id=int(last[span].max()),
                episodes=window.episodes,
                experiences=window.experiences,
                mean_return=window.mean_return,
                reward_mean=window.reward_mean,
                reward_sd=window.reward_sd,
                success_rate=window.success_rate,
                exploration_rate=window.exploration_rate,
                mean_abs_q_change=window.mean_abs_q_change,
                bellman_residual=window.bellman_residual,
                greedy_churn=window.greedy_churn,
                states_visited=window.states_visited,
                verdict=window.verdict.value,
                reason=window.reason,
                return_sd=window.return_sd,
                largest_q=window.largest_q,
                recent_bias=window.recent_bias,
                pair_coverage=window.pair_coverage,
                is_settling=window.is_settling,
            )
        )
    return stored


def _metadata(
    episodes: EpisodeReturns, seen: Observation, *, is_changed: bool
) -> dict[str, dg.MetadataValue]:
    shown: dict[str, dg.MetadataValue] = {
        "dagster/row_count": dg.MetadataValue.int(len(seen.windows)),
        "episodes": dg.MetadataValue.int(len(episodes)),
        "changed": dg.MetadataValue.bool(is_changed),
        "read on in": dg.MetadataValue.asset(dg.AssetKey("fleet_report")),
    }
    if len(episodes):
        shown["learning curve"] = learning_curve_picture(episodes)
    if seen.windows:
        newest = seen.windows[-1]
        shown["verdict"] = dg.MetadataValue.text(newest.verdict)
        shown["verdict by the ordered four"] = dg.MetadataValue.text(seen.ordered_verdict.value)
        shown["reason"] = dg.MetadataValue.text(newest.reason or "none given")
        shown["mean return"] = dg.MetadataValue.float(newest.mean_return)
    if seen.criteria:
        shown["criteria"] = dg.MetadataValue.md(criteria_table(seen.criteria))
    return shown


def criteria_table(criteria: Sequence[Criterion]) -> str:
    """Return both sets of criteria side by side as a Markdown table, one line for each."""
    lines = ["| criterion | set | figure | needs | holds |", "|---|---|---|---|---|"]
    for one in criteria:
        figure = "unknown" if one.figure is None else f"{one.figure:.3g}"
        needs = f"{'≤' if one.is_at_most else '≥'} {one.limit:.3g}"
        origin = "ordered" if one.is_ordered else "sturdier"
        lines.append(f"| {one.name} | {origin} | {figure} | {needs} | {'yes' if one.is_met else 'no'} |")
    return "\n".join(lines)
