"""Similar agents tell each other priors through stored tables; what did harm is taken back."""

from uuid import uuid4

import dagster as dg
import numpy as np

from qe_core.config import Settings
from qe_core.fleet import AgentContract, registry
from qe_core.hierarchy.transfer_manager import TransferLearningManager, has_own_evidence_unchanged
from qe_core.learning.q_table import QTable, quantised_weights
from qe_core.learning.team_evidence import TeamEvidence
from qe_core.runtime.rebuilding import rebuild
from qe_core.runtime.table_declarations import individual_table
from qe_core.store import Rebuild, Store, StoredTable
from qe_core.store.team import PulledTable
from qe_pipelines.running import QUIET
from tests.pipelines.conftest import run_sql

SOURCE, TARGET = "test-executor", "regression-risk-analyzer"
GROUP = dg.AssetKey(["transferred_priors", "test_execution"])


def contracts() -> tuple[AgentContract, AgentContract]:
    return registry().get(SOURCE), registry().get(TARGET)


def preferring(contract: AgentContract, approach: int, visits: int) -> QTable:
    """Return a table in which one approach is worth 30 points more than the others, everywhere."""
    is_best = np.array(contract.approach_indices) == approach
    q = np.tile(np.where(is_best, 30.0, 0.0), (contract.state_count, 1))
    return QTable(q, np.full(q.shape, visits, dtype=np.int64), q, np.full(q.shape, 25.0 * visits))


async def put(store: Store, contract: AgentContract, table: QTable) -> StoredTable:
    """Make a table the agent's own, as published."""
    declaration = individual_table(contract)
    handle = await declaration.ensure(store)

    async def given() -> Rebuild:
        stored = await declaration.load(store)
        source = {"version": stored.version + 1, "experiences": int(table.visits.sum())}
        return Rebuild(table, quantised_weights(table), stored.version, source)

    await store.q_tables.publish_with_retry(handle, given)
    return await declaration.load(store)


def half(told: QTable, own: QTable) -> QTable:
    """Return a table with own evidence in the first half of its states."""
    is_seen = np.arange(told.state_count)[:, np.newaxis] < told.state_count // 2
    return QTable(
        *(
            np.where(is_seen, getattr(own, name), getattr(told, name))
            for name in ("q", "visits", "target_mean", "target_m2")
        )
    )


async def test_negative_transfer_is_undone_in_the_stored_table(learned_url: str, definitions: object) -> None:
    from qe_pipelines.defs.transfer.passing import NAMESPACE, pass_on, prior_count

    source, target = contracts()
    common = sorted(set(source.approach_indices) & set(target.approach_indices))
    settings = Settings()
    async with Store.connect(learned_url) as store:
        await put(store, source, preferring(source, common[0], 50))
        await put(store, target, QTable.zeros(target.state_count, target.action_count))
        await pass_on(store, target, settings)
        told = await individual_table(target).load(store)
        assert prior_count(told) > 0
        assert told.table.visits.sum() == 0
        again = await pass_on(store, target, settings)
        assert not again.result.is_changed
        learned = await put(store, target, half(told.table, preferring(target, common[-1], 10)))
        assert prior_count(learned) > 0
        passed = await pass_on(store, target, settings)
        undone = await individual_table(target).load(store)
        entry = await store.memory.get(NAMESPACE, f"{TARGET} from {SOURCE}")
    assert passed.outcome.records[SOURCE].is_harmful
    assert prior_count(undone) == 0
    assert has_own_evidence_unchanged(learned.table, undone.table)
    assert entry is not None
    assert entry.value["record"]["is_harmful"]
    assert entry.value["gain"]["gain"] < 0


async def test_what_the_team_knows_goes_before_what_similar_agents_pass_on(
    learned_url: str, definitions: object
) -> None:
    from qe_pipelines.defs.transfer.checks import prior_faults
    from qe_pipelines.defs.transfer.passing import pass_on

    source, target = contracts()
    settings, shape = Settings(), (target.state_count, target.action_count)
    visits = np.zeros(shape, dtype=np.int64)
    visits[5] = 20
    known = np.where(visits > 0, 1.0, 0.0)
    async with Store.connect(learned_url) as store:
        common = sorted(set(source.approach_indices) & set(target.approach_indices))
        await put(store, source, preferring(source, common[0], 50))
        team = PulledTable(
            target.name, target.fingerprint, 1, TeamEvidence(-7.0 * known, visits, known, 20.0 * known)
        )
        await store.team_tables.save(uuid4(), [team], by="test")
        await rebuild(store, target, settings)
        await pass_on(store, target, settings)
        told = await individual_table(target).load(store)
        manager = TransferLearningManager.of(registry(), settings)
        assert await prior_faults(store, manager, target.name) == []
    is_new = told.table.visits == 0
    assert is_new[5].any()
    assert (told.table.q[5][is_new[5]] == -7.0).all()
    assert (told.table.q[is_new] > 0).any()


async def test_a_table_of_an_outdated_contract_is_left_alone_and_nobody_is_registered_for_nothing(
    filled_url: str, definitions: object
) -> None:
    from qe_pipelines.defs.transfer.passing import pass_on

    source, target = contracts()
    async with Store.connect(filled_url) as store:
        nothing = await pass_on(store, target, Settings())
        assert await store.q_tables.list_tables() == []
        await put(store, source, preferring(source, source.approach_indices[0], 50))
        outdated = individual_table(target)
        await store.q_tables.ensure("individual", TARGET, "before", 7, outdated.action_names)
        left = await pass_on(store, target, Settings())
        [kept] = [line for line in await store.q_tables.list_tables() if line.name == TARGET]
    assert not nothing.result.is_changed
    assert not left.result.is_changed
    assert kept.fingerprint == "before"


async def test_a_prior_nobody_gave_fails_the_check(learned_url: str, definitions: object) -> None:
    from qe_pipelines.defs.transfer.checks import judged_group
    from qe_pipelines.defs.transfer.passing import pass_on
    from qe_pipelines.resources import FleetDatabase

    source, target = contracts()
    async with Store.connect(learned_url) as store:
        await put(store, source, preferring(source, source.approach_indices[0], 50))
        await put(store, target, QTable.zeros(target.state_count, target.action_count))
        await pass_on(store, source, Settings())
        await pass_on(store, target, Settings())
    passed = await judged_group(FleetDatabase(), Settings(), "test-execution")
    assert [one.passed for one in passed] == [True, True]
    of_target = f"q_table_id = (SELECT q_table_id FROM q_tables WHERE is_current AND name = '{TARGET}')"
    run_sql(learned_url, f"UPDATE q_values SET q[1] = q[1] + 1 WHERE {of_target}")
    [_, changed] = await judged_group(FleetDatabase(), Settings(), "test-execution")
    assert not changed.passed
    assert "priors are not what its sources give" in (changed.description or "")
    run_sql(learned_url, f"UPDATE q_values SET weights[1] = 1 WHERE {of_target}")
    [evidence, _] = await judged_group(FleetDatabase(), Settings(), "test-execution")
    assert not evidence.passed


def test_each_group_has_an_asset_between_its_agents_and_their_categories(
    definitions: dg.Definitions,
) -> None:
    graph = definitions.resolve_asset_graph()
    assert graph.get(GROUP).parent_keys == {dg.AssetKey("individual_q_table")}
    core = graph.get(dg.AssetKey(["category_q_table", "core_testing"])).parent_keys
    assert GROUP in core
    names = {key.path[-1] for key in graph.get_all_asset_keys() if key.path[0] == "transferred_priors"}
    assert names == {"test_generation", "test_execution", "coverage_analysis", "security"}


def test_the_report_of_a_group_is_shown(
    learned_url: str, definitions: dg.Definitions, quick_instance: dg.DagsterInstance
) -> None:
    job = dg.define_asset_job("one_group", selection=dg.AssetSelection.assets(GROUP))
    resolved = dg.Definitions(
        assets=definitions.assets, resources=definitions.resources, jobs=[job]
    ).resolve_job_def("one_group")
    result = resolved.execute_in_process(run_config=QUIET, instance=quick_instance)
    [event] = result.asset_materializations_for_node("transferred_priors__test_execution")
    report = event.metadata["report"].value
    assert f"| {TARGET} | {SOURCE} |" in report
    assert event.metadata["rows written"].value == 0
