"""An agent's table as its evidence determines it, published.

What belongs here: one way to build a table, for the library and the graph. What does not: solving
(`qe_core.learning.empirical_mdp`) and the retry when a live writer got in between (`qe_core.store`).
"""

from qe_core.config import Settings
from qe_core.fleet import AgentContract
from qe_core.hierarchy.transfer import keep_priors
from qe_core.learning.empirical_mdp import q_table_from_mdp, solve_empirical_mdp
from qe_core.learning.q_table import quantised_weights
from qe_core.runtime.parameters import caution, confidence_settings
from qe_core.runtime.table_declarations import individual_table
from qe_core.store import PublishResult, Rebuild, Store
from qe_core.store.records import Source


async def rebuild(store: Store, contract: AgentContract, settings: Settings) -> PublishResult:
    """Publish an agent's table as its evidence determines it, again where a live writer was faster.

    The version is read before the log, and live writers commit their update and its experience together:
    whatever the version counts is in the log that is read after it, so nothing learned is ever lost.

    Raises:
        VersionConflictError: live writers were faster every time.
        LearningError: an experience does not fit the agent's contract.
    """
    declaration = individual_table(contract)
    discount = contract.discount_or(settings.learning.discount)
    tolerance = settings.learning.solver_residual_points

    async def recompute() -> Rebuild:
        """Read table and log afresh and solve."""
        stored = await declaration.load(store)
        observed = await store.experiences.load_mdp(
            contract.name, contract.fingerprint, contract.state_count, contract.action_count
        )
        solution = solve_empirical_mdp(observed, discount, caution(settings), tolerance)
        table = keep_priors(q_table_from_mdp(observed, solution, discount), stored.table)
        source: Source = {
            **stored.source,
            "version": stored.version + 1,
            "experiences": int(observed.count.sum()),
            "discount": discount,
            "bellman_residual": solution.residual,
        }
        weights = quantised_weights(table, confidence_settings(settings))
        return Rebuild(table, weights, stored.version, source)

    return await store.q_tables.publish_with_retry(await declaration.ensure(store), recompute)
