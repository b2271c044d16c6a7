"""What a policy version would do and earn, judged from the log before anybody is exposed to it.

What belongs here: turning versions and the log into the arrays the check takes. What does not: the check
(`qe_core.rollout.safe_improvement_check`), and what is done about its verdict (`ab_tests`).
"""

from collections import deque

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from qe_core.config import Settings
from qe_core.fleet.contract import AgentContract
from qe_core.hierarchy.lookup import LevelRows, blended_lookup, ordered_lookup
from qe_core.learning.arrays import Float64Array
from qe_core.learning.experience import Transitions
from qe_core.learning.q_table import quantised_weights
from qe_core.rollout.off_policy_log import LoggedEpisodes
from qe_core.rollout.off_policy_policies import tabular_policy
from qe_core.rollout.safe_improvement_check import CandidateCheck, check_candidate
from qe_core.runtime.parameters import candidate_check_settings, confidence_settings, lookup_settings
from qe_core.store import Store
from qe_core.store.policies import PolicyRows

JUDGED_STEPS = 200_000
"""Newest steps of an agent's log that a candidate is judged by; more would say little more."""

_PAGE_ROWS = 100_000
_TRANSITION = ("state", "action", "reward", "next_state", "terminated", "truncated")


async def checked_candidate(
    store: Store, contract: AgentContract, settings: Settings, candidate: int, baseline: int
) -> CandidateCheck:
    """Return whether a version may enter a test against another, as far as the agent's log can tell.

    Args:
        store: where versions and log are.
        contract: the agent's.
        settings: how values are looked up, how much serving explores, and what is asked of a candidate.
        candidate: number of the version to be tested.
        baseline: number of the version it is compared with.

    Raises:
        StoreError: there is no such version.
    """
    tested = policy_of(await store.policies.rows(candidate), contract, settings)
    served = policy_of(await store.policies.rows(baseline), contract, settings)
    log = await logged_episodes(store, contract)
    discount = contract.discount_or(settings.learning.discount)
    return check_candidate(log, tested, served, discount, candidate_check_settings(settings))


def policy_of(rows: PolicyRows, contract: AgentContract, settings: Settings) -> Float64Array:
    """Return the probability of each action as a version serves, float64[S, A].

    Args:
        rows: of the version.
        contract: the agent's.
        settings: how values are looked up and how much serving explores.
    """
    states = np.arange(contract.state_count)
    own, _ = rows.own.as_dense()
    # As decisions do: from the evidence itself, stored weights are as of the last publication.
    own_weights = quantised_weights(own, confidence_settings(settings))
    levels = (
        LevelRows.of(own, own_weights, states),
        LevelRows.of(*rows.category.as_dense(), states // contract.category_divisor),
        LevelRows.of(*rows.fleet.as_dense(), states // contract.fleet_divisor),
    )
    lookup = blended_lookup if settings.hierarchy.lookup == "blend" else ordered_lookup
    found = lookup(*levels, contract.approach_indices, lookup_settings(settings))
    return tabular_policy(found.value, found.is_known, settings.rollout.serving_exploration_rate)


async def logged_episodes(store: Store, contract: AgentContract) -> LoggedEpisodes:
    """Return the newest episodes of an agent's log under its contract, the incomplete ones left out."""
    pages: deque[pa.Table] = deque()
    after_id, kept = 0, 0
    while True:
        page = await store.experiences.read_columns(contract.name, after_id, _PAGE_ROWS)
        if page.num_rows:
            after_id = pc.max(page["experience_id"]).as_py()
            pages.append(page.filter(pc.equal(page["fingerprint"], contract.fingerprint)))
            kept += pages[-1].num_rows
        while pages and kept - pages[0].num_rows >= JUDGED_STEPS:
            kept -= pages.popleft().num_rows
        if page.num_rows < _PAGE_ROWS:
            break
    if not kept:
        return LoggedEpisodes.from_columns(Transitions.empty(), [], [], [])
    log = pa.concat_tables(pages)
    columns = {name: log[name].to_numpy() for name in (*_TRANSITION, "step", "propensity")}
    # A name is unique within its source only.
    names = pc.binary_join_element_wise(log["source"], log["episode"], "/")
    codes = pc.dictionary_encode(names).combine_chunks().indices.to_numpy()
    transitions = Transitions(*(columns[name] for name in _TRANSITION))
    return LoggedEpisodes.from_columns(transitions, codes, columns["step"], columns["propensity"])
