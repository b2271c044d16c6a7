"""Importing one file: the first pass reads and changes nothing, the second writes chunk by chunk.

What belongs here: the order of things, resuming and repeating. What does not: reading (`sources`), rules
(`checking`, `repeats`) and storing (`qe_core.store`).
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from qe_core.errors import ImportFileError
from qe_core.fleet.registry import Registry
from qe_core.runtime.formats import FileFormat
from qe_core.runtime.importing.checking import CheckedBatch, RowChecker
from qe_core.runtime.importing.faults import Fault
from qe_core.runtime.importing.repeats import RepeatFinder, Repeats
from qe_core.runtime.importing.set_aside import set_aside_path, setting_aside
from qe_core.runtime.importing.sources import RowSource, open_source
from qe_core.store import ImportRecord, Store

SHOWN_FAULTS = 10
"""How many bad rows a refusal names."""

Progress = Callable[[str, int, int | None], None]
"""Told what is being done, rows handled so far, and rows in all where that is known."""


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """How to import a file.

    Attributes:
        format_name: one of `FileFormat`, or None to go by the extension.
        source: the source of rows that name none, or None for ``import:<file name>``.
        is_skipping_bad: set bad rows aside and import the others, instead of refusing the file.
    """

    format_name: str | None = None
    source: str | None = None
    is_skipping_bad: bool = False


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import did.

    Attributes:
        file_name: the file.
        source: the source its rows got where they named none.
        rows_read: rows in the file.
        rows_new: rows this import added to the log.
        rows_repeated: rows that say again what an earlier row of the file says.
        rows_bad: rows set aside.
        bad_file: where they are, or None.
        resumed_after_row: rows an earlier, interrupted import had done already.
    """

    file_name: str
    source: str
    rows_read: int
    rows_new: int
    rows_repeated: int
    rows_bad: int
    bad_file: Path | None
    resumed_after_row: int

    @property
    def rows_known(self) -> int:
        """Rows that were in the log before."""
        return self.rows_read - self.rows_new - self.rows_repeated - self.rows_bad


@dataclass(slots=True)
class _Survey:
    """What the first pass found out."""

    last_line: int = 0
    rows_good: int = 0
    rows_bad: int = 0
    has_untimed_rows: bool = False
    first_faults: list[Fault] = field(default_factory=list)
    repeats: Repeats = field(default_factory=lambda: RepeatFinder().find())

    @property
    def rows_read(self) -> int:
        return self.rows_good + self.rows_bad

    def note(self, faults: tuple[Fault, ...]) -> None:
        """Count faults and keep the first of them."""
        self.rows_bad += len(faults)
        merged = sorted([*self.first_faults, *faults[:SHOWN_FAULTS]], key=lambda fault: fault.line)
        self.first_faults = merged[:SHOWN_FAULTS]


async def import_file(
    store: Store,
    path: Path,
    fleet: Registry,
    now: datetime,
    options: ImportOptions = ImportOptions(),
    progress: Progress = lambda _what, _done, _total: None,
) -> ImportReport:
    """Import a file of experiences and return what came in.

    The whole file is checked before the first write. Writing continues where an interrupted import stopped; a
    file imported before, under whatever name, adds nothing.

    Args:
        store: where to.
        path: the file.
        fleet: whose experiences are welcome.
        now: aware; rows from the future are refused.
        options: format, source and what to do about bad rows.
        progress: told how far it is.

    Raises:
        ImportFileError: the file is refused; nothing was changed.
    """
    file = open_source(path, options.format_name)
    stamp = _stamp(path)
    digest = _digest(path)
    history = await store.imports.history()
    source = options.source or _registered_source(history, digest) or f"import:{path.stem}"
    checker = RowChecker(fleet, source, now)
    survey = _survey(file, checker, options, progress)
    _refuse_look_alikes(history, source, digest, survey)
    if _stamp(path) != stamp:
        raise ImportFileError(f"{path.name} changed while it was being read; import it when it is complete")
    record = await store.imports.begin(source, digest, path.name)
    report = ImportReport(
        file_name=path.name,
        source=source,
        rows_read=survey.rows_read,
        rows_new=0,
        rows_repeated=len(survey.repeats.equal_lines),
        rows_bad=survey.rows_bad,
        bad_file=set_aside_path(path) if survey.rows_bad else None,
        resumed_after_row=0 if record.state == "done" else record.rows_read,
    )
    if record.state == "done":
        return report
    rows_new = await _write(store, record, file, checker, survey, progress)
    await store.imports.finish(record.import_id, is_successful=True)
    return replace(report, rows_new=rows_new)


async def _write(
    store: Store,
    record: ImportRecord,
    file: RowSource,
    checker: RowChecker,
    survey: _Survey,
    progress: Progress,
) -> int:
    """Write the rows not written yet, a chunk at a time, and return how many were new."""
    rows_new = 0
    for batch in _checked(file, checker, record.rows_read):
        rows = _rows_to_store(batch, survey.repeats, record.created_at)
        rows_new += await store.imports.append_chunk(
            record.import_id, rows, batch.last_line, len(batch.faults)
        )
        progress("importing", batch.last_line, survey.last_line)
    return rows_new


def _survey(file: RowSource, checker: RowChecker, options: ImportOptions, progress: Progress) -> _Survey:
    """Read the whole file, find everything wrong with it and refuse it, or set the bad rows aside."""
    survey, finder = _Survey(), RepeatFinder()
    with ExitStack() as stack:
        set_aside = None
        for batch in _checked(file, checker, 0):
            survey.last_line = batch.last_line
            survey.rows_good += batch.rows.num_rows
            survey.has_untimed_rows |= batch.rows.column("occurred_at").null_count > 0
            survey.note(batch.faults)
            finder.add(batch.rows, batch.lines)
            if batch.faults and options.is_skipping_bad:
                set_aside = set_aside or stack.enter_context(setting_aside(file))
                set_aside(batch.faults)
            progress("checking", batch.last_line, None)
        survey.repeats = finder.find()
        for faults in _conflicts(file, survey.repeats):
            survey.rows_good -= len(faults)
            survey.note(faults)
            if options.is_skipping_bad:
                set_aside = set_aside or stack.enter_context(setting_aside(file))
                set_aside(faults)
    if survey.rows_read == 0:
        raise ImportFileError(f"{file.path.name} holds no rows; there is nothing to import")
    if survey.rows_bad and not options.is_skipping_bad:
        raise ImportFileError(_refusal(file, survey))
    return survey


def _checked(file: RowSource, checker: RowChecker, after_line: int) -> Iterator[CheckedBatch]:
    """Yield the file's rows, checked; a table whose very columns are wrong is refused at once."""
    is_table = file.file_format is not FileFormat.JSONL
    for batch in file.batches(after_line):
        if is_table:
            names = list(batch.columns)
            problem = checker.unknown_column(names) or checker.missing_column(names)
            if problem is not None:
                raise ImportFileError(f"{file.path.name}: {problem}; see qe import --schema")
        yield checker.check(batch)


def _conflicts(file: RowSource, repeats: Repeats) -> Iterator[tuple[Fault, ...]]:
    """Yield the rows that contradict an earlier one, with the file's own text, a batch at a time."""
    if len(repeats.conflicting_lines) == 0:
        return
    earlier = dict(zip(repeats.conflicting_lines.tolist(), repeats.earlier_lines.tolist(), strict=True))
    for batch in file.batches(int(repeats.conflicting_lines[0]) - 1):
        rows = np.flatnonzero(np.isin(batch.lines, repeats.conflicting_lines))
        if len(rows):
            yield tuple(
                Fault(line, _contradiction(file, earlier[line]), batch.text(int(row)))
                for row, line in zip(rows, batch.lines[rows].tolist(), strict=True)
            )


def _contradiction(file: RowSource, line: int) -> str:
    return f"same agent, source, episode and step as {_place(file)} {line}, but other content"


def _rows_to_store(batch: CheckedBatch, repeats: Repeats, base: datetime) -> pa.Table:
    """Return the rows to append, those without a time dated by their place in the file."""
    keep = ~repeats.is_repeated(batch.lines)
    rows, lines = batch.rows.filter(pa.array(keep)), batch.lines[keep]
    start = int(pa.scalar(base, pa.timestamp("us", "UTC")).value)
    dated = pa.array(start + lines, pa.int64()).cast(pa.timestamp("us", "UTC"))
    index = rows.schema.get_field_index("occurred_at")
    return rows.set_column(index, "occurred_at", pc.coalesce(rows.column(index), dated))


def _registered_source(history: list[ImportRecord], digest: str) -> str | None:
    return next((record.source for record in history if record.file_digest == digest), None)


def _refuse_look_alikes(history: list[ImportRecord], source: str, digest: str, survey: _Survey) -> None:
    """Refuse a second file of the same source whose rows carry no time: repeats could not be recognised."""
    for record in history:
        if survey.has_untimed_rows and record.source == source and record.file_digest != digest:
            raise ImportFileError(
                f"another file ({record.file_name}) was imported as {source} before, and rows without "
                "occurred_at cannot be told from repeats of its rows; say --source with a new name if these "
                "are other experiences, or give every row its occurred_at. Nothing was changed"
            )


def _refusal(file: RowSource, survey: _Survey) -> str:
    place = _place(file)
    shown = [f"  {place} {fault.line}: {fault.reason}" for fault in survey.first_faults]
    if survey.rows_bad > len(shown):
        shown.append(f"  and {survey.rows_bad - len(shown):,} more")
    return "\n".join(
        [
            f"{file.path.name}: {survey.rows_bad:,} of {survey.rows_read:,} rows cannot be imported; "
            "nothing was changed",
            *shown,
            "Correct them, or say --skip-bad to set them aside and import the others.",
        ]
    )


def _place(file: RowSource) -> str:
    return "row" if file.file_format is FileFormat.PARQUET else "line"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _stamp(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns
