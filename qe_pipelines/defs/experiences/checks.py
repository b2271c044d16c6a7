"""Checks of the log, all blocking: nothing is learned from a log that is at fault.

What belongs here: judging the server's figures by the agents' contracts. What does not: the figures
(`qe_core.store`). The log's constraints refuse most of these faults at the door; the checks also find those
that no constraint can see, and those of a log restored from elsewhere.

A check of several specs must be a generator: what it returns instead would be taken for plain outputs, and no
verdict recorded.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence

import dagster as dg

from qe_core.fleet import AgentContract, registry
from qe_core.store import LogAudit
from qe_pipelines.resources import FleetDatabase
from qe_pipelines.verdicts import verdict

Result = dg.AssetCheckResult

VALUES = dg.AssetCheckSpec(
    "values_are_in_range",
    asset="experiences",
    blocking=True,
    description="States and actions exist in the agent's contract; rewards are numbers from -100 to 100.",
)
EPISODES = dg.AssetCheckSpec(
    "episodes_are_whole",
    asset="experiences",
    blocking=True,
    description="No step is in the log twice, none comes after its episode's end, no end is of two kinds.",
)
PROPENSITIES = dg.AssetCheckSpec(
    "propensities_support_learning",
    asset="experiences",
    blocking=True,
    description="Every action was chosen with a known probability above 0 and at most 1.",
)
CONTRACTS = dg.AssetCheckSpec(
    "contracts_are_current",
    asset="experiences",
    description="Every experience belongs to a registered agent and to the contract it has today.",
)


@dg.multi_asset_check(specs=[VALUES, EPISODES, PROPENSITIES, CONTRACTS], name="experience_checks")
def experience_checks(database: FleetDatabase) -> Iterator[Result]:
    """Judge the whole log, whichever agents the run covers."""
    yield from asyncio.run(judged_log(database))


async def judged_log(database: FleetDatabase) -> list[Result]:
    """Return the verdicts on the log."""
    async with database.store() as store:
        lines = await store.experiences.audit()
    known = {contract.fingerprint: contract for contract in registry()}
    current = [line for line in lines if known.get(line.fingerprint) is not None]
    looked_at = f"{sum(line.experiences for line in lines):,} experiences of {len(lines)} contracts"

    def judged(faults_of: Callable[[LogAudit], Iterator[str]], over: Sequence[LogAudit]) -> list[str]:
        """Return the faults of all these lines, each with its agent's name."""
        return [f"{line.agent}: {fault}" for line in over for fault in faults_of(line)]

    return [
        verdict(judged(lambda line: value_faults(line, known[line.fingerprint]), current), looked_at, VALUES),
        verdict(judged(episode_faults, lines), looked_at, EPISODES),
        verdict(judged(propensity_faults, lines), looked_at, PROPENSITIES),
        verdict(judged(contract_faults, lines), looked_at, CONTRACTS, dg.AssetCheckSeverity.WARN),
    ]


def value_faults(line: LogAudit, contract: AgentContract) -> Iterator[str]:
    """Yield what lies outside the contract's states and actions or the range of rewards."""
    if line.lowest_state < 0 or line.highest_state >= contract.state_count:
        yield (
            f"states {line.lowest_state} to {line.highest_state} reach outside its "
            f"{contract.state_count} states; were they encoded under another contract?"
        )
    if line.lowest_action < 0 or line.highest_action >= contract.action_count:
        yield (
            f"actions {line.lowest_action} to {line.highest_action} reach outside its "
            f"{contract.action_count} actions"
        )
    if line.rewards_out_of_range:
        yield f"{line.rewards_out_of_range} rewards are not numbers from -100 to 100"


def episode_faults(line: LogAudit) -> Iterator[str]:
    """Yield what is wrong with the order and ends of episodes."""
    if line.repeated_steps:
        yield f"{line.repeated_steps} steps are in the log twice; was a source imported under two times?"
    if line.episodes_beyond_their_end:
        yield f"{line.episodes_beyond_their_end} episodes go on after they ended; give each run its own name"
    if line.ambiguous_ends:
        yield f"{line.ambiguous_ends} steps are both terminated and truncated"


def propensity_faults(line: LogAudit) -> Iterator[str]:
    """Yield how many actions have no usable probability."""
    if line.propensities_out_of_range:
        yield f"{line.propensities_out_of_range} propensities outside (0, 1]; no estimate can use them"


def contract_faults(line: LogAudit) -> Iterator[str]:
    """Yield that experiences belong to no agent or to a contract it no longer has."""
    current = {contract.name: contract.fingerprint for contract in registry()}
    if line.agent not in current:
        yield f"{line.experiences} experiences, but no such agent is registered; install its package"
    elif line.fingerprint != current[line.agent]:
        yield (
            f"{line.experiences} experiences under contract {line.fingerprint}, which it no longer has; "
            "they are not learned from"
        )
