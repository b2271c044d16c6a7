"""Importing for real: what comes in, what repeats, what resumes, what is set aside."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import asyncpg
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from qe_core.errors import ImportFileError
from qe_core.fleet import registry
from qe_core.runtime.identity import pseudonyms_at
from qe_core.runtime.importing import ImportOptions, import_file, lines
from qe_core.store import Store

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def experiences(count: int, steps: int = 10, seed: int = 0) -> pa.Table:
    """Rows of all agents, ``steps`` to an episode, without times."""
    rng = np.random.default_rng(seed)
    fleet = tuple(registry())
    episode, step = np.divmod(np.arange(count), steps)
    who = episode % len(fleet)
    state_counts = np.array([contract.state_count for contract in fleet])[who]
    actions = np.array([[*contract.action_names, *[""] * 12][:12] for contract in fleet])
    action_counts = np.array([contract.action_count for contract in fleet])[who]
    return pa.table(
        {
            "agent": np.array([contract.name for contract in fleet])[who],
            "episode": np.char.add("e", episode.astype(str)),
            "step": step,
            "state": (rng.random(count) * state_counts).astype(np.int64),
            "action": actions[who, (rng.random(count) * action_counts).astype(np.int64)],
            "reward": rng.normal(0, 20, count).clip(-100, 100),
            "next_state": (rng.random(count) * state_counts).astype(np.int64),
            "terminated": step == steps - 1,
        }
    )


async def import_now(store: Store, path: Path, **options: object):
    return await import_file(store, path, registry(), NOW, ImportOptions(**options))


async def stored_count(store: Store) -> int:
    return sum(counts.experiences for counts in await store.experiences.counts())


def write(table: pa.Table, path: Path) -> Path:
    match path.suffix:
        case ".parquet":
            pq.write_table(table, path, row_group_size=3_000)
        case ".csv":
            pyarrow.csv.write_csv(table, path)
        case _:
            path.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))
    return path


@pytest.mark.parametrize("extension", ["jsonl", "csv", "parquet"])
async def test_the_same_rows_come_in_from_every_format(store, tmp_path, extension):
    table = experiences(500)
    report = await import_now(store, write(table, tmp_path / f"runs.{extension}"))
    assert (report.rows_read, report.rows_new, report.source) == (500, 500, "import:runs")
    contract = registry().get("quality-gate")
    mine = table.filter(pa.compute.equal(table["agent"], contract.name))
    loaded = await store.experiences.load_transitions(contract.name, contract.fingerprint)
    assert loaded.state.tolist() == mine["state"].to_pylist()
    assert [contract.action_names[action] for action in loaded.action] == mine["action"].to_pylist()
    assert loaded.reward.tolist() == mine["reward"].to_pylist()
    assert loaded.next_state.tolist() == mine["next_state"].to_pylist()
    assert loaded.terminated.tolist() == mine["terminated"].to_pylist()


async def test_the_same_file_again_adds_nothing_under_whatever_name(store, tmp_path):
    path = write(experiences(100), tmp_path / "runs.jsonl")
    await import_now(store, path)
    again = await import_now(store, path)
    assert (again.rows_new, again.rows_known) == (0, 100)
    renamed = path.rename(tmp_path / "other.jsonl")
    once_more = await import_now(store, renamed)
    assert (once_more.rows_new, once_more.source) == (0, "import:runs")
    assert await stored_count(store) == 100


async def test_rows_without_a_time_are_dated_from_the_first_import_on_by_their_line(store, tmp_path):
    path = write(experiences(3), tmp_path / "runs.jsonl")
    before = datetime.now(UTC)
    await import_now(store, path)
    (record,) = await store.imports.history()
    assert before - timedelta(seconds=5) <= record.created_at <= datetime.now(UTC) + timedelta(seconds=5)
    rows = await store.experiences.read_columns("test-generator", 0, 10)
    expected = [record.created_at + timedelta(microseconds=line) for line in (1, 2, 3)]
    assert rows.column("occurred_at").to_pylist() == expected


async def test_repeated_rows_count_once_and_contradictions_are_refused(store, tmp_path):
    table = experiences(20)
    rows = table.to_pylist()
    path = tmp_path / "runs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, rows[4], rows[7]]))
    report = await import_now(store, path)
    assert (report.rows_read, report.rows_new, report.rows_repeated, report.rows_known) == (22, 20, 2, 0)
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {**rows[4], "reward": 99.0}]))
    with pytest.raises(ImportFileError, match=r"line 21: same agent, source, episode and step as line 5"):
        await import_now(store, path, source="import:other")
    assert await stored_count(store) == 20


async def test_another_file_of_the_same_source_without_times_is_refused(store, tmp_path):
    path = write(experiences(20), tmp_path / "runs.jsonl")
    await import_now(store, path)
    write(experiences(30), path)
    with pytest.raises(ImportFileError, match="say --source with a new name"):
        await import_now(store, path)
    assert (await import_now(store, path, source="import:second")).rows_new == 30


async def test_a_grown_file_with_times_adds_only_what_is_new(store, tmp_path):
    table = experiences(30)
    times = pa.array([NOW - timedelta(seconds=index) for index in range(30)], pa.timestamp("us", "UTC"))
    table = table.append_column("occurred_at", times)
    path = write(table.slice(0, 20), tmp_path / "runs.parquet")
    assert (await import_now(store, path)).rows_new == 20
    write(table, path)
    report = await import_now(store, path)
    assert (report.rows_new, report.rows_known) == (10, 20)


@pytest.mark.parametrize("extension", ["jsonl", "csv", "parquet"])
async def test_bad_rows_are_set_aside_beside_the_input(store, tmp_path, extension):
    table = experiences(40)
    rewards = table["reward"].to_pylist()
    rewards[3], rewards[17] = 500.0, float("nan")
    table = table.set_column(table.schema.get_field_index("reward"), "reward", pa.array(rewards))
    path = write(table, tmp_path / f"runs.{extension}")
    report = await import_now(store, path, is_skipping_bad=True)
    assert (report.rows_read, report.rows_new, report.rows_bad) == (40, 38, 2)
    assert report.bad_file == tmp_path / f"runs.bad.{extension}"
    shift = 2 if extension == "csv" else 1
    match extension:
        case "jsonl":
            aside = [json.loads(line) for line in report.bad_file.read_text().splitlines()]
        case "csv":
            aside = pyarrow.csv.read_csv(report.bad_file).to_pylist()
        case _:
            aside = pq.read_table(report.bad_file).to_pylist()
    assert [row["line"] for row in aside] == [3 + shift, 17 + shift]
    assert aside[0]["reason"] == "reward 500 is outside -100 to 100 points"
    assert aside[1]["reason"] == "reward nan is not a finite number"
    assert "500" in aside[0]["row"]
    again = await import_now(store, path, is_skipping_bad=True)
    assert (again.rows_new, again.rows_known) == (0, 38)


async def test_contradictions_are_set_aside_too(store, tmp_path):
    rows = experiences(5).to_pylist()
    path = tmp_path / "runs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, {**rows[0], "reward": 7.0}]))
    report = await import_now(store, path, is_skipping_bad=True)
    assert (report.rows_new, report.rows_bad) == (5, 1)
    (aside,) = [json.loads(line) for line in report.bad_file.read_text().splitlines()]
    assert aside["line"] == 6
    assert json.loads(aside["row"])["reward"] == 7.0


async def test_a_refusal_names_ten_rows_and_counts_the_others(store, tmp_path):
    rows = experiences(30).to_pylist()
    path = tmp_path / "runs.jsonl"
    path.write_text("".join(json.dumps({**row, "reward": 101}) + "\n" for row in rows))
    with pytest.raises(ImportFileError) as refusal:
        await import_now(store, path)
    message = str(refusal.value)
    assert message.startswith("runs.jsonl: 30 of 30 rows cannot be imported; nothing was changed")
    assert message.count("reward 101 is outside") == 10
    assert "and 20 more" in message
    assert "--skip-bad" in message
    assert await store.imports.history() == []


async def test_an_interrupted_import_resumes_where_it_stopped(store, tmp_path, monkeypatch):
    monkeypatch.setattr(lines, "BLOCK_BYTES", 8_000)
    path = write(experiences(400), tmp_path / "runs.jsonl")
    reached: list[int] = []

    class InterruptedImportError(Exception):
        pass

    def interrupt(what: str, done: int, _total: int | None) -> None:
        if what == "importing":
            reached.append(done)
            if len(reached) == 3:
                raise InterruptedImportError

    with pytest.raises(InterruptedImportError):
        await import_file(store, path, registry(), NOW, progress=interrupt)
    assert await stored_count(store) == reached[-1] < 400
    report = await import_now(store, path)
    assert report.resumed_after_row == reached[-1]
    assert report.rows_new == 400 - reached[-1]
    assert await stored_count(store) == 400
    (record,) = await store.imports.history()
    assert (record.state, record.rows_read, record.rows_new) == ("done", 400, 400)


@asynccontextmanager
async def held_after_its_first_rows(database_url: str) -> AsyncIterator[None]:
    """Let the only import of a database go on until it has stored some rows, and no further."""
    connection = await asyncpg.connect(database_url)
    try:
        while True:
            transaction = connection.transaction()
            await transaction.start()
            if await connection.fetchval("SELECT rows_read FROM imports FOR UPDATE"):
                break
            await transaction.rollback()
            await asyncio.sleep(0.001)
        yield
    finally:
        await connection.close()


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGINT, 130)])
async def test_an_import_killed_or_interrupted_resumes_and_counts_are_exact(
    store, database_url, tmp_path, environment, sent, code
):
    path = write(experiences(60_000), tmp_path / "runs.parquet")
    command = [sys.executable, "-m", "qe_core.cli", "import", str(path), "--json"]
    process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=-3, stderr=-1)
    async with held_after_its_first_rows(database_url):
        process.send_signal(sent)
        _, complaints = await process.communicate()
    assert process.returncode == code
    assert b"Traceback" not in complaints
    (record,) = await store.imports.history()
    assert 0 < record.rows_read < 60_000
    assert (record.state, record.rows_new) == ("running", record.rows_read)
    assert await stored_count(store) == record.rows_read
    process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=-1, stderr=-3)
    output, _ = await process.communicate()
    (report,) = json.loads(output)
    assert report["resumed_after_row"] == record.rows_read
    assert report["new"] == 60_000 - record.rows_read
    assert await stored_count(store) == 60_000


def test_many_rows_import_in_bounded_memory(tmp_path, environment):
    """The bound does not grow with the file: benchmarks/import_million.py holds a million rows to it."""
    path = write(experiences(200_000), tmp_path / "runs.csv")
    program = (
        "import re, sys\n"
        "from pathlib import Path\n"
        "from qe_core.cli.app import main\n"
        "sys.argv = ['qe', *sys.argv[1:]]\n"
        "code = main()\n"
        # Not getrusage: its maximum starts with that of the process that was forked, here pytest's.
        "print(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1], file=sys.stderr)\n"
        "sys.exit(code)\n"
    )
    outcome = subprocess.run(
        [sys.executable, "-c", program, "import", str(path)],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "200,000 rows as import:runs: 200,000 new" in outcome.stdout
    peak_kib = int(outcome.stderr.split()[-1])
    assert peak_kib < 700 * 1024


async def test_imported_rows_belong_to_a_pseudonym_and_the_name_is_nowhere(
    qe: Callable[..., Awaitable[subprocess.CompletedProcess[str]]], tmp_path: Path, database_url: str
) -> None:
    path = write(experiences(40), tmp_path / "runs.jsonl")
    home = {"QE_HOME": str(tmp_path / "home")}
    result = await qe("import", "--developer", "Ada", "--project", "Checkout", str(path), **home)
    assert result.returncode == 0, result.stderr
    by_key = pseudonyms_at(tmp_path / "home" / "privacy.key")
    connection = await asyncpg.connect(database_url)
    try:
        found = await connection.fetch("SELECT DISTINCT developer, project FROM experience_chunks")
        text = await connection.fetchval("SELECT string_agg(chunk::text, '') FROM experience_chunks AS chunk")
    finally:
        await connection.close()
    assert [tuple(row) for row in found] == [
        (by_key.of("developer", "ada"), by_key.of("project", "checkout"))
    ]
    assert "ada" not in text.lower()
    assert "checkout" not in text.lower()
