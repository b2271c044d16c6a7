"""Checks of the statistics and verdicts.

What belongs here: whether the windows cover the log, who has not converged, and where replay disagrees.
What does not: the verdicts themselves (`qe_core.learning`).
"""

import asyncio
from collections.abc import Iterator

import dagster as dg

from qe_core.config import Settings
from qe_core.errors import LearningError
from qe_core.fleet import registry
from qe_pipelines.defs.convergence.replay import compared
from qe_pipelines.defs.convergence.statistics import settled, trimmed_contracts
from qe_pipelines.resources import FleetDatabase, FleetSettings
from qe_pipelines.verdicts import verdict

MAXIMUM_GAP_POINTS = 5.0
"""How much the replayed policy may lose by the exact values, points, before it is worth a look."""

COVERAGE = dg.AssetCheckSpec(
    "windows_cover_the_log",
    asset="convergence_statistics",
    description="Windows are numbered without gaps and hold every finished episode of the log exactly once.",
)
CONVERGED = dg.AssetCheckSpec(
    "agents_have_converged",
    asset="convergence_statistics",
    description="Every agent's newest verdict is that it has converged.",
)


@dg.multi_asset_check(specs=[COVERAGE, CONVERGED], name="convergence_checks")
def convergence_checks(database: FleetDatabase) -> Iterator[dg.AssetCheckResult]:
    """Judge every agent's windows, whichever agents the run covers."""
    yield from asyncio.run(judged_windows(database))


async def judged_windows(database: FleetDatabase) -> list[dg.AssetCheckResult]:
    """Return the verdicts on all agents' windows."""
    uncovered, unconverged = [], []
    async with database.store() as store:
        trimmed = await trimmed_contracts(store)
        for contract in registry():
            windows = await store.stats.windows(contract.name)
            episodes = await store.experiences.episode_returns(contract.name, contract.fingerprint)
            kept = settled(windows, episodes, (contract.name, contract.fingerprint) in trimmed)
            newest = windows[-1].last_experience_id if windows else 0
            last_ids = episodes.last_experience_id[episodes.is_finished][kept.episodes :]
            finished = int((last_ids <= newest).sum())
            held = sum(window.episodes for window in windows[len(kept.windows) :])
            if held != finished or [window.window_index for window in windows] != list(range(len(windows))):
                uncovered.append(
                    f"{contract.name}: {len(windows)} windows hold {held} episodes, the log {finished}"
                )
            verdict_now = windows[-1].verdict if windows else "no experiences yet"
            if verdict_now != "converged":
                reason = f" ({windows[-1].reason})" if windows and windows[-1].reason else ""
                unconverged.append(f"{contract.name}: {verdict_now}{reason}")
    looked_at = f"{len(registry())} agents"
    return [
        verdict(uncovered, looked_at, COVERAGE),
        verdict(unconverged, looked_at, CONVERGED, dg.AssetCheckSeverity.WARN),
    ]


@dg.asset_check(
    asset="replayed_policy",
    description="A policy trained on the newest experiences alone is nearly as good by the exact values.",
)
def replay_agrees(database: FleetDatabase, settings: FleetSettings) -> dg.AssetCheckResult:
    """Replay every agent's newest experiences again and value the result."""
    return asyncio.run(judged_replay(database, settings.values))


async def judged_replay(database: FleetDatabase, values: Settings) -> dg.AssetCheckResult:
    """Return the verdict on all agents' replays."""
    faults = []
    async with database.store() as store:
        for contract in registry():
            try:
                gap = (await compared(store, contract, values)).policy_gap
            except LearningError as error:
                faults.append(f"{contract.name}: cannot be replayed: {error}")
                continue
            if gap > MAXIMUM_GAP_POINTS:
                faults.append(f"{contract.name}: replay's policy loses {gap:.1f} points a step")
    return verdict(faults, f"{len(registry())} agents", severity=dg.AssetCheckSeverity.WARN)
