"""What leaves can come in again and is the same."""

import json

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from qe_core.config import load_settings
from qe_core.environments.catalogue import world_of
from qe_core.fleet import registry
from qe_core.learning.empirical_mdp import q_table_from_transitions
from qe_core.learning.q_table import quantised_weights
from qe_core.runtime.training import TrainingPlan, simulated_play, train
from qe_core.store import Store

AGENTS = ("quality-gate", "chaos-engineer")


async def play(store: Store, episodes: int = 20) -> None:
    for name in AGENTS:
        contract = registry().get(name)
        plan = TrainingPlan(name, episodes)
        await train(
            store, contract, plan, "simulated", simulated_play(world_of(contract), load_settings().values)
        )


async def everything(store: Store) -> pa.Table:
    tables = [await store.experiences.read_columns(name, 0, 100_000) for name in AGENTS]
    return pa.concat_tables(tables).drop_columns("experience_id")


@pytest.mark.parametrize("extension", ["jsonl", "csv", "parquet"])
async def test_exported_experiences_import_elsewhere_exactly(
    store, qe, tmp_path, empty_database_url, extension
):
    await play(store)
    path = tmp_path / f"all.{extension}"
    assert (await qe("export", str(path))).returncode == 0
    elsewhere = {"QE_DATABASE_URL": empty_database_url}
    assert (await qe("db", "migrate", **elsewhere)).returncode == 0
    outcome = await qe("import", str(path), **elsewhere)
    assert outcome.returncode == 0, outcome.stderr
    async with Store.connect(empty_database_url) as other:
        assert (await everything(other)).equals(await everything(store))


async def test_one_agents_experiences_can_be_exported_alone(store, qe, tmp_path):
    await play(store)
    path = tmp_path / "one.parquet"
    assert (await qe("export", str(path), "--agent", "chaos-engineer")).returncode == 0
    assert set(pq.read_table(path)["agent"].to_pylist()) == {"chaos-engineer"}


async def test_q_values_are_exported_pair_by_pair_with_states_in_words(store, qe, tmp_path):
    await play(store)
    contract = registry().get("quality-gate")
    log = await store.experiences.load_transitions(contract.name, contract.fingerprint)
    table = q_table_from_transitions(log, contract.state_count, contract.action_count, 0.95)
    handle = await store.q_tables.ensure(
        "individual", contract.name, contract.fingerprint, contract.state_count, contract.action_names
    )
    await store.q_tables.publish(handle, table, quantised_weights(table), handle.version, {})
    path = tmp_path / "values.csv"
    outcome = await qe("export", str(path), "--what", "q-tables")
    assert outcome.returncode == 0, outcome.stderr
    rows = pyarrow.csv.read_csv(path).to_pylist()
    assert len(rows) == (table.visits > 0).sum()
    first = rows[0]
    column = contract.action_names.index(first["action"])
    assert first["q_value"] == table.q[first["state"], column]
    assert first["visits"] == table.visits[first["state"], column]
    assert first["state_label"].startswith(f"size={contract.state_model.decode(first['state']).size} ")


def test_nothing_to_export_is_said_and_leaves_no_file(qe_here, tmp_path):
    for what, words in (("experiences", "no experiences to export"), ("q-tables", "no learned values")):
        outcome = qe_here("export", "all.jsonl", "--what", what)
        assert outcome.returncode == 1
        assert words in outcome.stderr
    assert list(tmp_path.iterdir()) == []


async def test_a_failed_export_leaves_the_earlier_file(store, qe, tmp_path):
    path = tmp_path / "all.jsonl"
    path.write_text(json.dumps({"kept": True}))
    assert (await qe("export", str(path))).returncode == 1
    assert json.loads(path.read_text()) == {"kept": True}


def test_a_directory_that_does_not_exist_is_named(qe_here):
    outcome = qe_here("export", "nowhere/all.jsonl")
    assert outcome.returncode == 1
    assert "nowhere/all.jsonl cannot be written: No such file or directory" in outcome.stderr
