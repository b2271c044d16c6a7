"""Formats, and files that are no files of experiences at all."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from qe_core.errors import ImportFileError
from qe_core.runtime.formats import FileFormat, format_of
from qe_core.runtime.importing import sources
from qe_core.runtime.importing.sources import open_source


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.jsonl", FileFormat.JSONL),
        ("a.NDJSON", FileFormat.JSONL),
        ("a.csv", FileFormat.CSV),
        ("a.parquet", FileFormat.PARQUET),
        ("a.pq", FileFormat.PARQUET),
    ],
)
def test_the_extension_says_the_format(tmp_path, name, expected):
    assert format_of(tmp_path / name) is expected


def test_a_named_format_wins_over_the_extension(tmp_path):
    assert format_of(tmp_path / "a.txt", "csv") is FileFormat.CSV


@pytest.mark.parametrize(
    ("name", "named", "words"),
    [
        ("a.txt", None, "the extension .txt says nothing about the format; rename it or say --format"),
        ("a", None, r"the extension \(none\) says nothing"),
        ("a.json", None, "a JSON array must be rewritten with one object on each line"),
        ("a.csv", "xml", "there is no format 'xml'; choose one of jsonl, csv, parquet"),
    ],
)
def test_an_unknown_format_is_refused(tmp_path, name, named, words):
    with pytest.raises(ImportFileError, match=words):
        format_of(tmp_path / name, named)


@pytest.fixture
def parquet(tmp_path):
    path = tmp_path / "a.parquet"
    pq.write_table(
        pa.table({"agent": [f"agent-{number}" for number in range(1, 31)]}), path, row_group_size=7
    )
    return path


def numbers(path, after_row=0):
    return [int(line) for batch in open_source(path).batches(after_row) for line in batch.lines]


@pytest.mark.parametrize("after_row", [0, 3, 7, 14, 29, 30])
def test_parquet_rows_resume_after_any_row(parquet, monkeypatch, after_row):
    monkeypatch.setattr(sources, "PARQUET_BATCH_ROWS", 4)
    assert numbers(parquet, after_row) == list(range(after_row + 1, 31))


def test_parquet_dictionaries_and_structures_are_read_flat(tmp_path):
    path = tmp_path / "a.parquet"
    state = pa.array([{"size": "small"}, {"size": "large"}])
    pq.write_table(pa.table({"agent": pa.array(["x", "x"]).dictionary_encode(), "state": state}), path)
    (batch,) = open_source(path).batches()
    assert batch.columns["agent"].to_pylist() == ["x", "x"]
    assert batch.columns["state.size"].to_pylist() == ["small", "large"]
    assert batch.text(0) == '{"agent": "x", "state.size": "small"}'


def test_a_truncated_parquet_file_is_refused(parquet):
    parquet.write_bytes(parquet.read_bytes()[:-20])
    with pytest.raises(ImportFileError, match=r"a\.parquet is not a whole Parquet file"):
        numbers(parquet)


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (lambda path: path.mkdir(), "is a directory; name the files in it"),
        (lambda _path: None, "does not exist; check the name"),
        (lambda path: path.touch(), "is empty; there is nothing to import"),
    ],
)
def test_what_is_no_file_with_rows_is_refused(tmp_path, prepare, words):
    path = tmp_path / "a.jsonl"
    prepare(path)
    with pytest.raises(ImportFileError, match=words):
        open_source(path)


def test_an_unreadable_file_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.jsonl"
    path.write_text("{}\n")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(path), "open", refuse)  # root may read anything, so permissions alone do not do
    with pytest.raises(ImportFileError, match="cannot be read: Permission denied; check its permissions"):
        open_source(path)
