"""Text files come apart into rows; what cannot be taken apart is named by its line."""

import json

import pytest

from qe_core.errors import ImportFileError
from qe_core.runtime.importing import lines
from qe_core.runtime.importing.sources import open_source


def read(path, after_row=0):
    """All rows of a file as (line, agent), and its faults as {line: reason}."""
    rows, faults = [], {}
    for batch in open_source(path).batches(after_row):
        names = batch.columns["agent"].to_pylist() if len(batch) else []
        rows += zip(batch.lines.tolist(), names, strict=True)
        faults |= {fault.line: fault.reason for fault in batch.faults}
    return rows, faults


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(lines, "BLOCK_BYTES", 64)


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_json_lines_with_blank_lines_and_any_line_end(tmp_path, line_end):
    path = tmp_path / "a.jsonl"
    path.write_bytes(line_end.join(['{"agent": "a"}', "", '{"agent": "b"}']).encode())
    assert read(path) == ([(1, "a"), (3, "b")], {})


def test_a_byte_order_mark_is_passed_over(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + b'{"agent": "a"}\n')
    assert read(path) == ([(1, "a")], {})


def test_lines_that_are_no_objects_are_named_and_the_others_read(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"agent": "a"}\n{"agent"\n[1]\n7\n{"agent": "b"}{"agent": "c"}\n{"agent": "d"}\n')
    rows, faults = read(path)
    assert rows == [(1, "a"), (6, "d")]
    assert faults[2].startswith("not valid JSON")
    assert faults[3] == "a JSON object is needed, not [1]"
    assert faults[4] == "a JSON object is needed, not 7"
    assert faults[5].startswith("not valid JSON: Extra data")


def test_deeply_nested_json_is_a_fault_and_no_crash(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("[" * 100_000 + "\n")
    assert read(path)[1][1].startswith("not valid JSON")


def test_a_line_that_is_not_utf8_is_named(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"agent": "a"}\n{"agent": "\xe4"}\n{"agent": "b"}\n')
    rows, faults = read(path)
    assert rows == [(1, "a"), (3, "b")]
    assert faults == {2: "byte 12 of the line is not UTF-8; save the file as UTF-8"}


def test_a_text_that_looks_like_a_date_stays_a_text(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"agent": "2026-01-01"}\n{"agent": "2026-01-02"}\n')
    assert read(path)[0] == [(1, "2026-01-01"), (2, "2026-01-02")]


def test_blocks_smaller_than_the_file_give_the_same_rows(tmp_path, small_blocks):
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"agent": f"agent-{number}"}) + "\n" for number in range(50)))
    assert read(path)[0] == [(number + 1, f"agent-{number}") for number in range(50)]


@pytest.mark.parametrize("after_row", [0, 1, 7, 49, 50, 99])
def test_reading_resumes_after_any_row(tmp_path, small_blocks, after_row):
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"agent": f"agent-{number}"}) + "\n" for number in range(1, 51)))
    assert [line for line, _ in read(path, after_row)[0]] == list(range(after_row + 1, 51))


def test_a_line_too_long_to_be_an_experience_is_refused(tmp_path, monkeypatch, small_blocks):
    monkeypatch.setattr(lines, "LONGEST_LINE_BYTES", 1024)
    path = tmp_path / "a.jsonl"
    path.write_text('{"agent": "a"}\n' + "x" * 3000)
    with pytest.raises(ImportFileError, match="line 2 is longer than 1 KiB; write one experience"):
        read(path)


def test_csv_rows_quotes_and_empty_values(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('agent,episode\n"a, b",1\n"say ""x""",\n\nlast,2')
    rows, faults = read(path)
    assert rows == [(2, "a, b"), (3, 'say "x"'), (5, "last")]
    assert faults == {}


def test_csv_lines_with_wrong_quotes_or_counts_are_named(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('agent,episode\na,1\n"b,2\nc,3,4\nd\ne,5\n')
    rows, faults = read(path)
    assert rows == [(2, "a"), (6, "e")]
    assert faults == {
        3: "a quoted value is not closed on its line",
        4: "3 values where the header has 2",
        5: "1 values where the header has 2",
    }


def test_csv_blocks_and_resuming(tmp_path, small_blocks):
    path = tmp_path / "a.csv"
    path.write_text("agent,episode\n" + "".join(f"agent-{number},x\n" for number in range(2, 60)))
    assert read(path)[0] == [(number, f"agent-{number}") for number in range(2, 60)]
    assert read(path, after_row=30)[0][0] == (31, "agent-31")


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (b"agent,agent\n", "the header names agent more than once"),
        (b'"agent,episode\n', "the header on line 1 cannot be read"),
        (b"\xe4gent\n", "the header on line 1 cannot be read"),
        (b"\nagent\n", "the header on line 1 cannot be read"),
    ],
)
def test_a_csv_header_that_cannot_be_used_is_refused(tmp_path, header, words):
    path = tmp_path / "a.csv"
    path.write_bytes(header + b"a\n")
    with pytest.raises(ImportFileError, match=words):
        read(path)
