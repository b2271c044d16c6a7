"""The graph as a whole: what it materialises, what it shows, and that doing it again changes nothing."""

import asyncio

import dagster as dg

from qe_core.fleet import Category, registry
from qe_core.store import Store
from tests.pipelines.conftest import EPISODES, STEPS, Learned, dump, experience_columns, run_sql

AGENT_ASSETS = (
    "experiences", "individual_q_table", "convergence_statistics", "replayed_policy", "policy_snapshots",
)  # fmt: skip
FROZEN = {"policy_versions", "table_snapshots", "snapshot_rows"}
"""What the whole graph writes and learning alone does not."""


def test_whole_graph_materialises_every_agent_and_table_in_one_run(
    learned_url: str, learned: Learned, instance: dg.DagsterInstance
) -> None:
    run = instance.get_run_by_id(learned.run_id)
    assert run is not None
    assert run.status is dg.DagsterRunStatus.SUCCESS
    for name in AGENT_ASSETS:
        assert instance.get_materialized_partitions(dg.AssetKey(name)) >= set(registry().names())
    views = run_sql(learned_url, "SELECT viewname FROM pg_views WHERE schemaname = 'qe_views' ORDER BY 1")
    assert {name for (name,) in views} >= {
        "agent_health", "alerts", "category_summary", "convergence", "fleet_summary", "learning_curve",
        "q_values_long",
    }  # fmt: skip
    total = 18 * EPISODES * STEPS
    assert run_sql(learned_url, "SELECT agents, experiences, fleet_visits FROM qe_views.fleet_summary") == [
        (18, total, total)
    ]
    steps = [message for message in learned.messages if "done" in message]
    assert steps[-1]["done"] == steps[-1]["total"] == len(steps)
    assert {"doing": "individual_q_table: test-generator, 1 of 18"} in learned.messages


def test_materialising_again_leaves_every_table_identical_bit_for_bit(
    learned_url: str, quick_instance: dg.DagsterInstance
) -> None:
    from qe_pipelines.materialize import materialize

    before = dump(learned_url)
    assert materialize(quick_instance, lambda _: None, job_name="learn")
    assert dump(learned_url) == before
    assert len(before["q_values"]) > 1_000
    assert len(before["q_tables"]) == 18 + 5 + 1


def test_same_log_in_two_databases_leads_to_the_same_values_versions_and_verdicts(
    learned_url: str, filled_url: str, quick_instance: dg.DagsterInstance
) -> None:
    from qe_pipelines.materialize import materialize

    assert materialize(quick_instance, lambda _: None, job_name="learn")
    assert without_clock(filled_url) == without_clock(learned_url)


def without_clock(url: str) -> dict[str, list[str]]:
    """Return a dump without what differs between databases: times of writing, numbers from sequences."""
    key = "(SELECT (level, name) FROM q_tables t WHERE t.q_table_id = line.q_table_id)"
    dumped = dump(
        url,
        without={
            "q_tables": "to_jsonb(line) - 'q_table_id' - 'created_at' - 'updated_at'",
            "q_values": f"({key}, to_jsonb(line) - 'q_table_id' - 'updated_at')",
            "learning_stats": "to_jsonb(line) - 'computed_at'",
        },
    )
    return {name: rows for name, rows in dumped.items() if name not in FROZEN}


def test_some_agents_alone_are_learned_and_then_aggregated_once(
    filled_url: str, quick_instance: dg.DagsterInstance, definitions: dg.Definitions
) -> None:
    from qe_pipelines.materialize import materialize

    chosen = ["test-generator", "test-executor", "fleet-commander"]
    assert materialize(quick_instance, lambda _: None, chosen, "learn")
    assert quick_instance.get_materialized_partitions(dg.AssetKey("individual_q_table")) == set(chosen)
    assert len(quick_instance.get_run_ids()) == 3
    visits = run_sql(
        filled_url, "SELECT sum(v) FROM q_values_long, unnest(ARRAY[visits]) v WHERE level = 'fleet'"
    )
    assert visits[0][0] == len(chosen) * EPISODES * STEPS


def test_catalogue_shows_pictures_counts_and_schemas(
    learned_url: str, instance: dg.DagsterInstance, definitions: dg.Definitions
) -> None:
    def shown(asset: str, partition: str) -> dict[str, dg.MetadataValue]:
        records = instance.fetch_materializations(
            dg.AssetRecordsFilter(asset_key=dg.AssetKey(asset), asset_partitions=[partition]), limit=1
        ).records
        return dict(records[0].asset_materialization.metadata)

    table = shown("individual_q_table", "test-generator")
    assert table["visits"].value == EPISODES * STEPS
    assert 0 <= table["bellman residual"].value < 1e-8
    assert "data:image/png;base64," in table["Q-values"].value
    statistics = shown("convergence_statistics", "test-generator")
    assert "data:image/png;base64," in statistics["learning curve"].value
    assert statistics["verdict"].value == "insufficient data"
    log = shown("experiences", "fleet-commander")
    assert log["dagster/row_count"].value == EPISODES * STEPS
    assert (
        log["checked up to experience"].value
        == run_sql(
            learned_url, "SELECT max(experience_id) FROM learning_experiences WHERE agent = 'fleet-commander'"
        )[0][0]
    )
    graph = definitions.resolve_asset_graph()
    for key in graph.materializable_asset_keys - {
        key for key in graph.materializable_asset_keys if key.path[0] == "views"
    }:
        node = graph.get(key)
        assert node.owners == ["team:qe-fleet"], key
        assert node.group_name.startswith("stage_"), key
        assert node.description, key


def test_lineage_leads_from_each_agent_to_its_category_and_on_to_the_fleet(
    definitions: dg.Definitions,
) -> None:
    graph = definitions.resolve_asset_graph()
    fleet = graph.get(dg.AssetKey("fleet_q_table"))
    assert len(fleet.parent_keys) == len(Category)
    for key in fleet.parent_keys:
        parents = graph.get(key).parent_keys
        told = {parent for parent in parents if parent.path[0] == "transferred_priors"}
        assert parents - told == {dg.AssetKey("individual_q_table")}
        mapping = graph.get_partition_mapping(key, dg.AssetKey("individual_q_table"))
        agents = {c.name for c in registry() if c.category.value.replace("-", "_") == key.path[-1]}
        assert set(mapping.partition_keys) == agents
    views = graph.get(dg.AssetKey(["views", "stg_experiences"]))
    assert views.parent_keys == {dg.AssetKey("experiences")}


async def test_new_experiences_change_only_what_follows_from_them(
    learned_url: str, quick_instance: dg.DagsterInstance
) -> None:
    from qe_pipelines.materialize import materialize

    before = dump(learned_url, without={"q_tables": "(level, name, version)"})["q_tables"]
    contract = registry().get("test-generator")
    async with Store.connect(learned_url) as store:
        await store.experiences.append(experience_columns(contract, 2, seed=9, first_episode=EPISODES))
    done = await asyncio.to_thread(materialize, quick_instance, lambda _: None, (), "learn")
    assert done
    after = dump(learned_url, without={"q_tables": "(level, name, version)"})["q_tables"]
    changed = {line.split(",")[1].strip(')"') for line in set(after) - set(before)}
    assert changed == {"test-generator", "core-testing", "fleet"}
