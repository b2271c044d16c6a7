"""Replay: learning again from the newest experiences, beside the exact solution of all of them.

What belongs here: the asset `replayed_policy`. What does not: sampling and training
(`qe_core.learning.replay`). It writes no table: what agents follow is the exact solution. Where going on from
there with the newest experiences alone leads to another policy, the world has moved.
"""

import hashlib
from dataclasses import dataclass

import dagster as dg
import numpy as np

from qe_core.config import Settings
from qe_core.fleet import AgentContract
from qe_core.learning.empirical_mdp import EmpiricalMdp, q_table_from_mdp, solve_empirical_mdp
from qe_core.learning.experience import Transitions
from qe_core.learning.replay.buffer import ReplayBuffer
from qe_core.learning.replay.training import train_from_buffer
from qe_core.runtime.parameters import buffer_settings, learning_rate
from qe_core.store import Store
from qe_pipelines.catalogue import OWNERS, Stage
from qe_pipelines.partitions import AGENTS, ALL_AT_ONCE, selected_contracts
from qe_pipelines.resources import FleetDatabase, FleetSettings

PASSES = 20
"""How often, on average, each transition of the buffer is replayed."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The policy of a replayed table, valued by the exact one.

    Attributes:
        batches: batches replayed.
        agreement: visit-weighted share of states with the same greedy action, in [0, 1].
        policy_gap: visit-weighted mean loss of the replayed policy by the exact values, points, at least 0.
    """

    batches: int
    agreement: float
    policy_gap: float


@dg.asset(
    partitions_def=AGENTS,
    backfill_policy=ALL_AT_ONCE,
    deps=["individual_q_table"],
    group_name=Stage.CONVERGENCE,
    owners=OWNERS,
    kinds={"python", "numpy"},
)
async def replayed_policy(
    context: dg.AssetExecutionContext, database: FleetDatabase, settings: FleetSettings
) -> None:
    """How far a policy trained by replay of the newest experiences differs from the exact one."""
    values = settings.values
    async with database.store() as store:
        for contract in selected_contracts(context):
            found = await compared(store, contract, values)
            context.add_asset_metadata(
                {
                    "batches": found.batches,
                    "greedy agreement": found.agreement,
                    "policy gap, points": found.policy_gap,
                },
                partition_key=contract.name,
            )


async def compared(store: Store, contract: AgentContract, settings: Settings) -> Comparison:
    """Return how all an agent's evidence compares with what is still there of its newest experiences."""
    observed = await store.experiences.load_mdp(
        contract.name, contract.fingerprint, contract.state_count, contract.action_count
    )
    log = await store.experiences.load_transitions(contract.name, contract.fingerprint)
    return compare(contract, observed, log, settings)


def compare(
    contract: AgentContract, observed: EmpiricalMdp, log: Transitions, settings: Settings
) -> Comparison:
    """Return how the exact solution of all evidence compares with what becomes of it by replay of the newest.

    Seeded by the settings and the agent's name: the same log gives the same figures.

    Args:
        contract: whose.
        observed: all that was ever experienced.
        log: the newest transitions, at least as many as the buffer holds or all there are.
        settings: size of the buffer, sampling, step sizes.

    Raises:
        LearningError: a transition does not fit the agent's contract.
    """
    newest = log.slice(max(0, len(log) - settings.replay.capacity_transitions), len(log))
    batch_size = settings.replay.batch_transitions
    batches = PASSES * len(newest) // batch_size
    if batches == 0:
        return Comparison(0, 1.0, 0.0)
    discount = contract.discount_or(settings.learning.discount)
    exact = q_table_from_mdp(observed, solve_empirical_mdp(observed, discount), discount)
    buffer = ReplayBuffer(buffer_settings(settings), contract.state_count, contract.action_count)
    buffer.add(newest)
    name = int.from_bytes(hashlib.blake2b(contract.name.encode(), digest_size=8).digest())
    trained = train_from_buffer(
        exact,
        buffer,
        batches,
        np.random.default_rng([settings.replay.seed, name]),
        discount,
        learning_rate(settings),
        batch_size=batch_size,
    ).table
    states = np.flatnonzero(exact.visits.any(axis=1))
    weight = exact.visits[states].sum(axis=1)
    best, replayed = exact.greedy()[states], trained.greedy()[states]
    loss = exact.q[states, best] - exact.q[states, replayed]
    share = weight / weight.sum()
    return Comparison(batches, float(share @ (best == replayed)), float(share @ loss))
