"""Writing what is stored to a file, whole or not at all, so that importing it elsewhere gives the same rows.

What belongs here: which columns leave and in which form. What does not: formats of incoming files
(`importing`).
"""

import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import assert_never

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from qe_core.errors import QEError
from qe_core.fleet.contract import shared_fingerprint
from qe_core.fleet.registry import Registry
from qe_core.fleet.state import StateModel
from qe_core.fleet.vocabulary import Approach, Category, FleetContext
from qe_core.runtime.files import replaced_file
from qe_core.runtime.formats import FileFormat
from qe_core.runtime.importing.columns import COLUMN_NAMES
from qe_core.store import Level, Store, StoredTable

CHUNK_ROWS = 50_000

Progress = Callable[[str, int, int | None], None]
Write = Callable[[pa.Table], None]

EXPERIENCE_SCHEMA = pa.schema(
    [
        ("agent", pa.string()),
        ("episode", pa.string()),
        ("step", pa.int32()),
        ("state", pa.int64()),
        ("action", pa.string()),
        ("reward", pa.float64()),
        ("next_state", pa.int64()),
        ("terminated", pa.bool_()),
        ("truncated", pa.bool_()),
        ("occurred_at", pa.timestamp("us", "UTC")),
        ("propensity", pa.float64()),
        ("exploration_rate", pa.float64()),
        ("success", pa.bool_()),
        ("source", pa.string()),
    ]
)
assert tuple(EXPERIENCE_SCHEMA.names) == COLUMN_NAMES, "what leaves must be what may come in"

Q_TABLE_SCHEMA = pa.schema(
    [
        ("level", pa.string()),
        ("name", pa.string()),
        ("state", pa.int64()),
        ("state_label", pa.string()),
        ("action", pa.string()),
        ("q_value", pa.float64()),
        ("visits", pa.int64()),
        ("target_mean", pa.float64()),
        ("target_m2", pa.float64()),
        ("weight", pa.float64()),
    ]
)


class ExportError(QEError):
    """There is nothing to export, or what is stored does not fit the installed agents."""


async def export_experiences(
    store: Store, fleet: Registry, agent: str | None, path: Path, file_format: FileFormat, progress: Progress
) -> int:
    """Write experiences learned under today's contracts and return how many.

    Args:
        store: where from.
        fleet: names the actions.
        agent: only this one's, or None for all.
        path: the file; it appears when it is complete.
        file_format: how to write it.
        progress: told how far it is.

    Raises:
        UnknownAgentError: no such agent.
        ExportError: there is nothing to export.
    """
    agents = [fleet.get(agent).name] if agent is not None else list(fleet.names())
    total = sum(counts.experiences for counts in await store.experiences.counts() if counts.agent in agents)
    written = 0
    with _written(path, file_format, EXPERIENCE_SCHEMA) as write:
        for name in agents:
            async for rows in _experiences(store, fleet, name):
                write(rows)
                written += rows.num_rows
                progress("exporting", written, total)
        if written == 0:
            raise ExportError("there are no experiences to export; qe train or qe import brings some")
    return written


async def export_q_tables(
    store: Store, fleet: Registry, agent: str | None, path: Path, file_format: FileFormat, progress: Progress
) -> int:
    """Write the learned values, one row for each pair with evidence, and return how many.

    Args:
        store: where from.
        fleet: names agents, states and actions.
        agent: only this one's table, or None for all tables of all levels.
        path: the file; it appears when it is complete.
        file_format: how to write it.
        progress: told how far it is.

    Raises:
        UnknownAgentError: no such agent.
        ExportError: there is nothing to export.
    """
    if agent is not None:
        fleet.get(agent)
    known = {(table.level, table.name): table for table in await store.q_tables.list_tables()}
    wanted = [table for table in _declared_tables(fleet) if agent in (None, table[1]) and table[:2] in known]
    written = 0
    with _written(path, file_format, Q_TABLE_SCHEMA) as write:
        for index, (level, name, fingerprint, model, actions) in enumerate(wanted):
            if known[level, name].fingerprint == fingerprint:
                rows = _q_rows(await store.q_tables.load(level, name, fingerprint), model, actions)
                write(rows)
                written += rows.num_rows
            progress("exporting tables", index + 1, len(wanted))
        if written == 0:
            raise ExportError("there are no learned values to export; qe train makes some")
    return written


def _declared_tables(fleet: Registry) -> Iterator[tuple[Level, str, str, type[StateModel], tuple[str, ...]]]:
    approaches = tuple(str(approach) for approach in Approach)
    for contract in fleet:
        yield "individual", contract.name, contract.fingerprint, contract.state_model, contract.action_names
    for category in Category:
        yield "category", str(category), shared_fingerprint(category.context), category.context, approaches
    yield "fleet", "fleet", shared_fingerprint(FleetContext), FleetContext, approaches


async def _experiences(store: Store, fleet: Registry, agent: str) -> AsyncIterator[pa.Table]:
    """Yield an agent's experiences under its present contract, in the order of the log."""
    contract = fleet.get(agent)
    actions = pa.array(contract.action_names)
    after_id = 0
    while True:
        rows = await store.experiences.read_columns(agent, after_id, CHUNK_ROWS)
        if rows.num_rows == 0:
            return
        after_id = pc.max(rows.column("experience_id")).as_py()
        rows = rows.filter(pc.equal(rows.column("fingerprint"), contract.fingerprint))
        columns = {name: rows.column(name) for name in EXPERIENCE_SCHEMA.names if name != "action"}
        columns["action"] = actions.take(rows.column("action").cast(pa.int64()).combine_chunks())
        arrays = [columns[field.name].cast(field.type) for field in EXPERIENCE_SCHEMA]
        yield pa.Table.from_arrays(arrays, schema=EXPERIENCE_SCHEMA)


def _q_rows(stored: StoredTable, model: type[StateModel], actions: tuple[str, ...]) -> pa.Table:
    table = stored.table
    states, columns = np.nonzero(table.visits)
    names = {int(state): _label(model, int(state)) for state in np.unique(states)}
    arrays = [
        np.full(len(states), stored.handle.level),
        np.full(len(states), stored.handle.name),
        states,
        [names[int(state)] for state in states],
        np.asarray(actions)[columns],
        table.q[states, columns],
        table.visits[states, columns],
        table.target_mean[states, columns],
        table.target_m2[states, columns],
        stored.weights[states, columns],
    ]
    typed = [pa.array(array, field.type) for array, field in zip(arrays, Q_TABLE_SCHEMA, strict=True)]
    return pa.Table.from_arrays(typed, schema=Q_TABLE_SCHEMA)


def _label(model: type[StateModel], code: int) -> str:
    state = model.decode(code)
    return " ".join(f"{feature.name}={getattr(state, feature.name)}" for feature in model.features())


@contextmanager
def _written(path: Path, file_format: FileFormat, schema: pa.Schema) -> Iterator[Write]:
    """Yield what appends rows to the file; it takes its place when the block ends well."""
    with replaced_file(path) as temporary:
        match file_format:
            case FileFormat.PARQUET:
                with pq.ParquetWriter(temporary, schema) as parquet:
                    yield parquet.write_table
            case FileFormat.CSV:
                with pa_csv.CSVWriter(temporary, _with_time_texts(schema.empty_table()).schema) as writer:
                    yield lambda rows: writer.write_table(_with_time_texts(rows))
            case FileFormat.JSONL:
                with temporary.open("w", encoding="utf-8") as file:
                    yield lambda rows: file.writelines(_json_lines(rows))
            case _:
                assert_never(file_format)


def _json_lines(rows: pa.Table) -> Iterator[str]:
    for batch in _with_time_texts(rows).to_batches(max_chunksize=10_000):
        for row in batch.to_pylist():
            yield json.dumps({name: value for name, value in row.items() if value is not None}) + "\n"


def _with_time_texts(rows: pa.Table) -> pa.Table:
    index = rows.schema.get_field_index("occurred_at")
    if index < 0:
        return rows
    texts = pc.strftime(rows.column(index), format="%Y-%m-%dT%H:%M:%SZ")
    return rows.set_column(index, "occurred_at", texts)
