"""Cutting JSON Lines and CSV files into batches of columns, a block of whole lines at a time.

What belongs here: blocks, lines, text encoding and taking lines apart; a line that cannot be taken apart
becomes a fault and the rest of its block goes on. What does not: what the values mean (`checking`).
"""

import csv
import io
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.json as pa_json

from qe_core.errors import ImportFileError
from qe_core.runtime.importing.faults import BoolArray, Fault, IntArray, quoted
from qe_core.runtime.importing.raw import RawBatch, columns_of_rows, flattened, flattened_row, row_numbers

BLOCK_BYTES = 4 * 1024 * 1024
"""How much of a text file is read at once."""

LONGEST_LINE_BYTES = 1024 * 1024
"""A line longer than this is refused: no experience is that long."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
TEXT_COLUMNS = pa.schema([(name, pa.string()) for name in ("occurred_at",)])


@dataclass(frozen=True, slots=True)
class LineBlock:
    """Whole lines of a text file.

    Attributes:
        lines: with their line ends, string[L]; lines that are not UTF-8 are empty.
        numbers: from 1, int64[L].
        faults: lines that are not UTF-8.
    """

    lines: pa.Array
    numbers: IntArray
    faults: tuple[Fault, ...]

    @property
    def last_line(self) -> int:
        """The number of the block's last line."""
        return int(self.numbers[-1])

    def only(self, is_kept: BoolArray) -> "LineBlock":
        """Return the block with only the lines marked, bool[L]."""
        return LineBlock(self.lines.filter(pa.array(is_kept)), self.numbers[is_kept], self.faults)


def json_batches(path: Path, after_line: int = 0) -> Iterator[RawBatch]:
    """Yield the objects of a JSON Lines file after line number ``after_line``; blank lines are passed over.

    Raises:
        ImportFileError: a line is too long to be an experience.
    """
    for block in _blocks(path, after_line):
        last_line = block.last_line
        kept = block.only(_is_not_blank(block.lines))
        table = _read_json(_joined(kept.lines), len(kept.numbers))
        if table is not None:
            yield RawBatch(flattened(table), kept.numbers, kept.faults, last_line, kept.lines)
        else:
            yield _json_line_by_line(kept, last_line)


def csv_batches(path: Path, after_line: int = 0) -> Iterator[RawBatch]:
    """Yield the rows of a CSV file with a header after line number ``after_line``.

    Every value is text here. A row is one line: a quoted value cannot hold a line end.

    Raises:
        ImportFileError: the header cannot be read or a line is too long to be an experience.
    """
    names = _header(path)
    for block in _blocks(path, max(after_line, 1)):
        last_line = block.last_line
        kept = block.only(_is_not_blank(block.lines))
        quotes = np.asarray(pc.count_substring(kept.lines, '"').to_numpy(zero_copy_only=False))
        is_open = quotes % 2 == 1
        faults = [*kept.faults, *_faults(kept, is_open, "a quoted value is not closed on its line")]
        kept = kept.only(~is_open)
        table, wrong = _read_csv(kept, names)
        if wrong:
            counts = dict(wrong)
            is_wrong = np.isin(np.arange(len(kept.numbers)), list(counts))
            for row in np.flatnonzero(is_wrong):
                reason = f"{counts[int(row)]} values where the header has {len(names)}"
                faults.append(Fault(int(kept.numbers[row]), reason, kept.lines[int(row)].as_py().strip()))
            kept = kept.only(~is_wrong)
        yield RawBatch(flattened(table), kept.numbers, tuple(faults), last_line, kept.lines)


def _blocks(path: Path, after_line: int) -> Iterator[LineBlock]:
    """Yield the file's lines after number ``after_line``; the work on earlier blocks is only counting."""
    number, rest, is_first = 1, b"", True
    with path.open("rb") as file:
        while True:
            chunk = file.read(BLOCK_BYTES)
            if is_first:
                chunk, is_first = chunk.removeprefix(BYTE_ORDER_MARK), False
            data = rest + chunk
            cut = len(data) if not chunk else data.rfind(b"\n") + 1
            data, rest = data[:cut], data[cut:]
            if len(rest) > LONGEST_LINE_BYTES:
                last = number + data.count(b"\n")
                raise ImportFileError(
                    f"{path.name}, line {last} is longer than {LONGEST_LINE_BYTES // 1024} KiB; "
                    "write one experience on each line"
                )
            if data:
                count = data.count(b"\n") + (not data.endswith(b"\n"))
                if number + count - 1 > after_line:
                    block = _block(data, number)
                    yield block if number > after_line else block.only(block.numbers > after_line)
                number += count
            if not chunk:
                return


def _block(data: bytes, first_number: int) -> LineBlock:
    ends = np.flatnonzero(np.frombuffer(data, dtype=np.uint8) == ord("\n")) + 1
    if not data.endswith(b"\n"):
        ends = np.append(ends, len(data))
    offsets = np.concatenate(([0], ends)).astype(np.int32)
    raw = pa.Array.from_buffers(pa.binary(), len(ends), [None, pa.py_buffer(offsets), pa.py_buffer(data)])
    numbers = row_numbers(first_number, len(ends))
    try:
        return LineBlock(raw.cast(pa.string()), numbers, ())
    except pa.ArrowInvalid:
        return _block_with_foreign_text(raw, numbers)


def _block_with_foreign_text(raw: pa.Array, numbers: IntArray) -> LineBlock:
    texts, faults = [], []
    for number, line in zip(numbers, raw.to_pylist(), strict=True):
        try:
            texts.append(line.decode())
        except UnicodeDecodeError as error:
            texts.append("")
            reason = f"byte {error.start + 1} of the line is not UTF-8; save the file as UTF-8"
            faults.append(Fault(int(number), reason, line.decode(errors="replace").strip()))
    return LineBlock(pa.array(texts, pa.string()), numbers, tuple(faults))


def _is_not_blank(lines: pa.Array) -> BoolArray:
    filled = pc.not_equal(pc.utf8_trim_whitespace(lines), "")
    return np.asarray(filled.to_numpy(zero_copy_only=False))


def _joined(lines: pa.Array) -> bytes:
    """Return the lines as one text; they still carry their line ends, so their bytes follow each other."""
    if len(lines) == 0:
        return b""
    _, offsets, data = lines.buffers()
    ends = np.frombuffer(offsets, dtype=np.int32)[lines.offset : lines.offset + len(lines) + 1]
    return bytes(data[int(ends[0]) : int(ends[-1])])


def _faults(block: LineBlock, is_bad: BoolArray, reason: str) -> list[Fault]:
    rows = np.flatnonzero(is_bad)
    return [Fault(int(block.numbers[row]), reason, block.lines[int(row)].as_py().strip()) for row in rows]


def _read_json(data: bytes, line_count: int) -> pa.Table | None:
    """Return the block as a table, or None where its lines need a closer look."""
    if line_count == 0:
        return pa.table({})
    read = pa_json.ReadOptions(use_threads=False, block_size=len(data) + 1)
    parse = pa_json.ParseOptions(explicit_schema=TEXT_COLUMNS)
    try:
        table = pa_json.read_json(io.BytesIO(data), read_options=read, parse_options=parse)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None
    # A text that looks like a date would have been taken for one, and two objects on one line for two rows.
    is_guessed = any(pa.types.is_temporal(field.type) for field in table.schema)
    return None if is_guessed or table.num_rows != line_count else table


def _json_line_by_line(block: LineBlock, last_line: int) -> RawBatch:
    rows: list[dict[str, Any]] = []
    is_good = np.zeros(len(block.numbers), dtype=np.bool_)
    faults = list(block.faults)
    for index, line in enumerate(block.lines.to_pylist()):
        try:
            row = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            reason = f"not valid JSON: {error}"
        else:
            if isinstance(row, dict):
                rows.append(flattened_row(row))
                is_good[index] = True
                continue
            reason = f"a JSON object is needed, not {quoted(row)}"
        faults.append(Fault(int(block.numbers[index]), reason, line.strip()))
    kept = block.only(is_good)
    return RawBatch(columns_of_rows(rows), kept.numbers, tuple(faults), last_line, kept.lines)


def _header(path: Path) -> list[str]:
    with path.open("rb") as file:
        line = file.readline(LONGEST_LINE_BYTES).removeprefix(BYTE_ORDER_MARK)
    try:
        names = next(csv.reader([line.decode().strip()], strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ImportFileError(
            f"{path.name}: the header on line 1 cannot be read ({error}); "
            "line 1 names the columns, separated by commas"
        ) from error
    names = [name.strip() for name in names]
    if not names or "" in names:
        raise ImportFileError(f"{path.name}: the header on line 1 cannot be read (a column has no name)")
    if doubled := sorted({name for name in names if names.count(name) > 1}):
        raise ImportFileError(
            f"{path.name}: the header names {', '.join(doubled)} more than once; keep one of each"
        )
    return names


def _read_csv(block: LineBlock, names: list[str]) -> tuple[pa.Table, list[tuple[int, int]]]:
    """Return the block as a table of texts, and (row, number of values) where that number is wrong."""
    wrong: list[tuple[int, int]] = []
    data = _joined(block.lines)
    if not data:
        return pa.table({name: pa.array([], pa.string()) for name in names}), wrong

    def on_wrong_row(row: pa_csv.InvalidRow) -> str:
        wrong.append((row.number - 1, row.actual_columns))
        return "skip"

    table = pa_csv.read_csv(
        io.BytesIO(data),
        read_options=pa_csv.ReadOptions(column_names=names, use_threads=False, block_size=len(data) + 1),
        parse_options=pa_csv.ParseOptions(invalid_row_handler=on_wrong_row, ignore_empty_lines=False),
        convert_options=pa_csv.ConvertOptions(
            column_types={name: pa.string() for name in names},
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=True,
        ),
    )
    return table, wrong
