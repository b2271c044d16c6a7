"""Bad inputs: each is refused with the words a person needs, and changes nothing.

One line of the table for each: what is done wrong, the command, the exit code, what must be said.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from qe_core.store import Store

Make = Callable[[Path], None]
GOOD: dict[str, Any] = {
    "agent": "test-executor",
    "episode": "e1",
    "step": 0,
    "state": 3,
    "action": "run-all",
    "reward": 1.5,
    "next_state": 4,
    "terminated": False,
}
HEADER = ",".join(GOOD)
CSV_ROW = "test-executor,e1,0,3,run-all,1.5,4,false"


@dataclass(frozen=True)
class BadInput:
    """What is done wrong and what must be said about it."""

    name: str
    command: tuple[str, ...]
    words: tuple[str, ...]
    make: Make = lambda _path: None
    code: int = 1


def lines(*rows: dict[str, Any] | str) -> Make:
    """Write rows, or lines as they are, to bad.jsonl."""
    texts = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    return lambda path: (path / "bad.jsonl").write_text("".join(text + "\n" for text in texts))


def row(**changes: Any) -> dict[str, Any]:
    """A good row with changes; a value of ... leaves the column out."""
    whole = {**GOOD, **{name.replace("__", "."): value for name, value in changes.items()}}
    return {name: value for name, value in whole.items() if value is not ...}


def bad_row(name: str, *words: str, **changes: Any) -> BadInput:
    """A good row followed by one that is not."""
    expected = ("1 of 2 rows cannot be imported; nothing was changed", "line 2:", "--skip-bad", *words)
    return BadInput(
        name, ("import", "bad.jsonl"), expected, lines(row(), row(**{"episode": "e2", **changes}))
    )


def csv_file(text: str) -> Make:
    """Write a text to bad.csv."""
    return lambda path: (path / "bad.csv").write_text(text)


def parquet_file(table: pa.Table, keep_bytes: int | None = None) -> Make:
    """Write a table to bad.parquet, cut off after some bytes."""

    def make(path: Path) -> None:
        pq.write_table(table, path / "bad.parquet")
        data = (path / "bad.parquet").read_bytes()
        (path / "bad.parquet").write_bytes(data[:keep_bytes])

    return make


FILES = [
    BadInput("no such file", ("import", "bad.jsonl"), ("bad.jsonl does not exist; check the name",)),
    BadInput(
        "a directory",
        ("import", "bad.jsonl"),
        ("is a directory; name the files in it",),
        lambda path: (path / "bad.jsonl").mkdir(),
    ),
    BadInput(
        "an empty file",
        ("import", "bad.jsonl"),
        ("bad.jsonl is empty; there is nothing to import",),
        lambda path: (path / "bad.jsonl").touch(),
    ),
    BadInput("blank lines only", ("import", "bad.jsonl"), ("bad.jsonl holds no rows",), lines("", " ")),
    BadInput("a header only", ("import", "bad.csv"), ("bad.csv holds no rows",), csv_file(HEADER + "\n")),
    BadInput(
        "an unknown extension",
        ("import", "bad.txt"),
        ("the extension .txt says nothing about the format", "say --format, one of jsonl, csv, parquet"),
        lambda path: (path / "bad.txt").write_text("x"),
    ),
    BadInput(
        "a JSON array",
        ("import", "bad.json"),
        ("rewritten with one object on each line",),
        lambda path: (path / "bad.json").write_text("[]"),
    ),
    BadInput(
        "CSV called Parquet",
        ("import", "bad.parquet"),
        ("bad.parquet is not a whole Parquet file", "of another format"),
        lambda path: (path / "bad.parquet").write_text(f"{HEADER}\n{CSV_ROW}\n"),
    ),
    BadInput(
        "a truncated Parquet file",
        ("import", "bad.parquet"),
        ("bad.parquet is not a whole Parquet file", "may be truncated"),
        parquet_file(pa.Table.from_pylist([GOOD]), keep_bytes=-30),
    ),
    BadInput(
        "a Parquet file without a column",
        ("import", "bad.parquet"),
        ("columns missing: reward; the file has agent", "see qe import --schema"),
        parquet_file(pa.Table.from_pylist([GOOD]).drop_columns("reward")),
    ),
    BadInput(
        "a CSV file without a column",
        ("import", "bad.csv"),
        ("columns missing: terminated, state (or state.<feature>)",),
        csv_file("agent,episode,step,action,reward\nx,e,0,a,1\n"),
    ),
    BadInput(
        "a misspelt CSV column",
        ("import", "bad.csv"),
        ("column 'rewrad' is unknown: did you mean reward",),
        csv_file(HEADER.replace("reward", "rewrad") + f"\n{CSV_ROW}\n"),
    ),
    BadInput(
        "a CSV column twice",
        ("import", "bad.csv"),
        ("the header names step more than once",),
        csv_file(f"{HEADER},step\n{CSV_ROW},0\n"),
    ),
    BadInput(
        "CSV with an open quote",
        ("import", "bad.csv"),
        ("line 2: a quoted value is not closed on its line",),
        csv_file(f'{HEADER}\n"{CSV_ROW}\n{CSV_ROW}\n'),
    ),
    BadInput(
        "CSV with too few values",
        ("import", "bad.csv"),
        ("line 3: 2 values where the header has 8",),
        csv_file(f"{HEADER}\n{CSV_ROW}\na,b\n"),
    ),
    BadInput(
        "text that is not UTF-8",
        ("import", "bad.jsonl"),
        ("line 2: byte 12 of the line is not UTF-8; save the file as UTF-8",),
        lambda path: (path / "bad.jsonl").write_bytes(json.dumps(GOOD).encode() + b'\n{"agent": "\xe4"}\n'),
    ),
    BadInput(
        "a line that is not JSON",
        ("import", "bad.jsonl"),
        ("line 2: not valid JSON: Expecting ',' delimiter",),
        lines(row(), '{"agent": "test-executor" "step": 1}'),
    ),
    BadInput(
        "a line that is no object",
        ("import", "bad.jsonl"),
        ("line 2: a JSON object is needed, not 3",),
        lines(row(), "3"),
    ),
    BadInput(
        "the same step twice with other content",
        ("import", "bad.jsonl"),
        ("line 2: same agent, source, episode and step as line 1, but other content",),
        lines(row(), row(reward=2.0)),
    ),
]

ROWS = [
    bad_row("a missing column", "reward is missing", reward=...),
    bad_row("a misspelt column", "column 'rewrad' is unknown: did you mean reward", rewrad=1),
    bad_row("a number that is a word", "reward 'lots' is not a number", reward="lots"),
    bad_row("a reward that is no number", "reward nan is not a finite number", reward=float("nan")),
    bad_row("an endless reward", "reward inf is not a finite number", reward=float("inf")),
    bad_row("a reward beyond its range", "reward 1000 is outside -100 to 100 points", reward=1000),
    bad_row("an unknown agent", "is not registered: did you mean test-executor", agent="test-executer"),
    bad_row(
        "an action of nobody", "action 'run' is not one of test-executor: did you mean run-all", action="run"
    ),
    bad_row("a state beyond the space", "state 99999 is outside 0 to", state=99999),
    bad_row("a negative state", "state -1 is outside 0 to", state=-1),
    bad_row("a state given twice", "state and state.<feature> are both given", state__size="small"),
    bad_row("a feature of another agent", "test-executor has no such feature", state__ambiguity=0.1),
    bad_row("a feature beyond its range", "state.size: -5 statements is outside", state=..., state__size=-5),
    bad_row("a label nobody declared", "is not a label of this feature", state=..., state__risk="mid"),
    bad_row("no state at all", "state is missing: give its code or state.<feature> columns", state=...),
    bad_row("no next state", "next_state is missing", next_state=...),
    bad_row("terminated and truncated", "both terminated and truncated", terminated=True, truncated=True),
    bad_row("success in the middle", "success is only for an episode's last step", success=True),
    bad_row("a time without a zone", "an ISO 8601 time with a zone", occurred_at="2026-01-01T00:00:00"),
    bad_row("a time to come", "lies in the future", occurred_at="2999-01-01T00:00:00Z"),
    bad_row("an ancient time", "lies before 2000", occurred_at="1970-01-01T00:00:00Z"),
    bad_row("an impossible propensity", "propensity 0 is outside above 0 up to 1", propensity=0),
    bad_row("an impossible exploration rate", "exploration_rate 2 is outside 0 to 1", exploration_rate=2),
    bad_row("an endless name", "episode is longer than 200 characters", episode="e" * 300),
    bad_row("a step before the first", "step -1 is outside 0 to", step=-1),
]

OPTIONS = [
    BadInput("no file named", ("import",), ("name at least one file, or say --schema",), code=2),
    BadInput("a format nobody knows", ("import", "x", "--format", "xml"), ("'xml' is not one of",), code=2),
    BadInput("an unknown option", ("import", "--skip"), ("No such option", "--skip-bad"), code=2),
    BadInput("an unknown command", ("statsu",), ("No such command 'statsu'",), code=2),
    BadInput(
        "no episodes",
        ("train", "--episodes", "0"),
        ("Invalid value for '--episodes'", "greater than or equal to 1"),
        code=2,
    ),
    BadInput("too many episodes", ("train", "--episodes", "2000000"), ("play 1 to 1,000,000 episodes",)),
    BadInput(
        "a negative seed",
        ("train", "--seed", "-1"),
        ("Invalid value for '--seed'", "greater than or equal to 0"),
        code=2,
    ),
    BadInput(
        "training an unknown agent",
        ("train", "--agent", "test-generater"),
        ("no agent is called 'test-generater': did you mean test-generator",),
    ),
    BadInput(
        "exporting an unknown agent",
        ("export", "x.csv", "--agent", "nobody"),
        ("no agent is called 'nobody'",),
    ),
    BadInput(
        "exporting to an unknown format",
        ("export", "x.xls"),
        ("the extension .xls says nothing about the format",),
    ),
    BadInput(
        "a port that is none",
        ("up", "--port", "70000"),
        ("Invalid value for '--port'", "less than or equal to 65535"),
        code=2,
    ),
    BadInput(
        "stopping somebody else's server",
        ("db", "stop"),
        ("QE_DATABASE_URL names a server of your own, which qe does not stop",),
    ),
    BadInput(
        "recordings that are not there",
        ("workbench", "verify", "nowhere"),
        ("nowhere",),
    ),
]


def named(items: list[BadInput]) -> list[Any]:
    return [pytest.param(item, id=item.name) for item in items]


@pytest.mark.parametrize("bad", named([*FILES, *ROWS, *OPTIONS]))
def test_a_bad_input_is_explained_and_changes_nothing(bad, qe_here, tmp_path, content):
    bad.make(tmp_path)
    before_files, before = sorted(tmp_path.iterdir()), content()
    outcome = qe_here(*bad.command)
    assert outcome.returncode == bad.code, outcome.stderr
    said = " ".join(outcome.stderr.split())
    for words in bad.words:
        assert words in said
    assert "Traceback" not in outcome.stderr
    assert content() == before
    assert sorted(tmp_path.iterdir()) == before_files


@pytest.fixture
def content(database_url):
    """What is stored, read anew each time."""
    import asyncio

    async def read() -> tuple[Any, ...]:
        async with Store.connect(database_url) as store:
            return (
                await store.experiences.counts(),
                await store.imports.history(),
                await store.q_tables.list_tables(),
            )

    return lambda: asyncio.run(read())


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("mysql://localhost/qe", "the database URL has scheme 'mysql'; only PostgreSQL is supported"),
        ("nonsense", "is not a URL; write it like postgresql://"),
        ("postgresql://localhost", "names no database"),
        ("postgresql://qe@127.0.0.1:1/qe", "QE_DATABASE_URL"),
    ],
)
@pytest.mark.parametrize("command", [("status",), ("import", "good.jsonl"), ("db", "migrate")])
def test_a_database_that_cannot_be_used_is_explained(qe_here, tmp_path, url, words, command):
    (tmp_path / "good.jsonl").write_text(json.dumps(GOOD) + "\n")
    outcome = qe_here(*command, QE_DATABASE_URL=url)
    assert outcome.returncode == 1
    assert words in " ".join(outcome.stderr.split())
    assert "Traceback" not in outcome.stderr


def test_a_database_without_tables_says_how_to_get_them(qe_here, empty_database_url):
    outcome = qe_here("status", QE_DATABASE_URL=empty_database_url)
    assert outcome.returncode == 1
    assert "qe db migrate" in outcome.stderr


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("QE_LEARNING__DISCOUNT", "1.5", "learning.discount = '1.5' is not allowed"),
        ("QE_LEARNIN__DISCOUNT", "0.5", "'learnin' is not a section of the settings"),
        ("QE_SETTINGS", "nowhere.json", "settings file nowhere.json does not exist"),
    ],
)
def test_a_bad_setting_is_explained(qe_here, variable, value, words):
    outcome = qe_here("config", "show", **{variable: value})
    assert outcome.returncode == 1
    assert words in " ".join(outcome.stderr.split())
