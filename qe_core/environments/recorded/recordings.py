"""Recorded outcomes of real test generators, as validated columns.

What belongs here: reading the three Parquet files of a recording and refusing what cannot be replayed.
What does not: making recordings (`qe_core.workbench`) and replaying them (`project`, `session`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from qe_core.errors import RecordingError, nearest
from qe_core.fleet.test_generation import STRATEGIES

Column = npt.NDArray[Any]

DEFAULT_FOLDER = Path(__file__).parents[2] / "workbench" / "recordings" / "test_generator"
"""Where the recordings that ship with the package lie."""

TRAINING = "training"
HELD_OUT = "held-out"
SPLITS = (TRAINING, HELD_OUT)

KINDS = ("branch", "mutant", "test")
"""What an outcome is: a branch covered, a mutant killed or a test kept, in the order of their codes."""

MODULE_COLUMNS: dict[str, str] = {
    "package": "text",
    "module": "text",
    "split": "text",
    "position": "number",
    "statements": "number",
    "branches": "number",
    "mutants": "number",
    "functions": "number",
    "classes": "number",
    "methods": "number",
    "doctests": "number",
    "annotated_share": "number",
    "complexity": "number",
    "max_complexity": "number",
    "literal_count": "number",
    "neighbour_tests": "number",
}
RUN_COLUMNS: dict[str, str] = {
    "package": "text",
    "module": "text",
    "strategy": "text",
    "repetition": "number",
    "seconds": "number",
}
OUTCOME_COLUMNS: dict[str, str] = {
    "package": "text",
    "module": "text",
    "strategy": "text",
    "repetition": "number",
    "kind": "text",
    "item": "number",
    "seconds": "number",
}


@dataclass(frozen=True, slots=True)
class Recordings:
    """What the real tools did, one mapping of equally long columns per table; every value is checked.

    Attributes:
        modules: one row per module: what is known before a session (`MODULE_COLUMNS`).
        runs: one row per run of a strategy on a module: its CPU seconds until it ended (`RUN_COLUMNS`).
        outcomes: one row per branch, mutant or test and run: the CPU second at which the run first covered,
            killed or kept it (`OUTCOME_COLUMNS`).
    """

    modules: Mapping[str, Column]
    runs: Mapping[str, Column]
    outcomes: Mapping[str, Column]

    def __post_init__(self) -> None:
        _check_columns("modules", self.modules, MODULE_COLUMNS)
        _check_columns("runs", self.runs, RUN_COLUMNS)
        _check_columns("outcomes", self.outcomes, OUTCOME_COLUMNS)
        _check_labels("modules", "split", self.modules["split"], SPLITS)
        for table, columns in (("runs", self.runs), ("outcomes", self.outcomes)):
            _check_labels(table, "strategy", columns["strategy"], STRATEGIES)
        _check_labels("outcomes", "kind", self.outcomes["kind"], KINDS)
        _check_modules(self)

    @classmethod
    def load(cls, folder: Path = DEFAULT_FOLDER) -> Self:
        """Return the recordings of a folder that holds modules, runs and outcomes as Parquet files.

        Raises:
            RecordingError: a file is missing or unreadable, or its content cannot be replayed.
        """
        return cls(*(_read(folder / f"{name}.parquet") for name in ("modules", "runs", "outcomes")))

    def packages(self, split: str | None = None) -> tuple[str, ...]:
        """Return the names of the packages of one split, or of all, in alphabetical order.

        Raises:
            RecordingError: there is no such split.
        """
        if split is None:
            return tuple(sorted(set(self.modules["package"].tolist())))
        if split not in SPLITS:
            raise RecordingError(f"there is no split {split!r}: {nearest(split, SPLITS)}")
        return tuple(sorted(set(self.modules["package"][self.modules["split"] == split].tolist())))

    def repetitions(self) -> tuple[int, ...]:
        """Return the recorded repetitions in ascending order."""
        return tuple(int(value) for value in np.unique(self.runs["repetition"]))

    def training_repetitions(self) -> tuple[int, ...]:
        """Return the repetitions that learning and choosing rules may see: all but the last recorded one."""
        repetitions = self.repetitions()
        return repetitions[:-1] or repetitions

    def unseen_repetitions(self) -> tuple[int, ...]:
        """Return the repetitions that policies are measured on: the last recorded one."""
        return self.repetitions()[-1:]

    def repetitions_of(self, package: str) -> tuple[int, ...]:
        """Return the repetitions in which at least one module of a package was run, in ascending order.

        Raises:
            RecordingError: the package was not recorded.
        """
        self.modules_of(package)
        return tuple(
            int(value) for value in np.unique(self.runs["repetition"][self.runs["package"] == package])
        )

    def modules_of(self, package: str) -> npt.NDArray[np.int64]:
        """Return the rows of a package's modules, in the project's order.

        Raises:
            RecordingError: the package was not recorded; the message names the nearest ones.
        """
        rows = np.flatnonzero(self.modules["package"] == package)
        if not len(rows):
            raise RecordingError(f"no package {package!r} was recorded: {nearest(package, self.packages())}")
        return rows[np.argsort(self.modules["position"][rows], kind="stable")].astype(np.int64)


def _read(path: Path) -> dict[str, Column]:
    if not path.is_file():
        raise RecordingError(
            f"there is no recording {path}; reinstall the package, or record again with 'qe workbench record'"
        )
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise RecordingError(f"{path} is not a readable Parquet file: {error}; record again") from error
    return {name: _array(table.column(name)) for name in table.column_names}


def _array(column: pa.ChunkedArray) -> Column:
    combined = column.combine_chunks()
    if pa.types.is_dictionary(combined.type):
        combined = combined.dictionary_decode()
    return np.asarray(combined.to_numpy(zero_copy_only=False))


def _check_columns(table: str, columns: Mapping[str, Column], wanted: Mapping[str, str]) -> None:
    if missing := [name for name in wanted if name not in columns]:
        raise RecordingError(
            f"the {table} of the recording lack the columns {', '.join(missing)}; "
            "record again with this version, or repair the file"
        )
    if len({len(columns[name]) for name in wanted}) > 1:
        raise RecordingError(f"the columns of the recording's {table} differ in length; record again")
    for name, kind in wanted.items():
        if kind == "number":
            _check_numbers(table, name, columns[name])


def _check_numbers(table: str, name: str, values: Column) -> None:
    if values.dtype.kind not in "biuf":
        raise RecordingError(f"column {name} of {table} must hold numbers, not {values.dtype}; record again")
    if (is_bad := ~np.isfinite(values) | (values < 0)).any():
        row = int(np.flatnonzero(is_bad)[0])
        raise RecordingError(
            f"column {name} of {table} must hold finite numbers of at least 0, but row {row} is "
            f"{values[row]} ({int(is_bad.sum())} bad in all); drop these rows or record again"
        )


def _check_labels(table: str, name: str, values: Column, allowed: tuple[str, ...]) -> None:
    if unknown := sorted(set(map(str, values.tolist())) - set(allowed)):
        raise RecordingError(
            f"column {name} of {table} holds {unknown[0]!r}: {nearest(unknown[0], allowed)}; "
            "record again with this version"
        )


def _check_modules(recordings: Recordings) -> None:
    """Raise where runs or outcomes name a module that is not described, or one is described twice."""
    modules = {name: recordings.modules[name].tolist() for name in ("package", "module", "split")}
    described = list(zip(modules["package"], modules["module"], strict=True))
    known = set(described)
    if not known:
        raise RecordingError("the recording describes no module; record again with 'qe workbench record'")
    if len(known) != len(described):
        doubled = next(name for name in described if described.count(name) > 1)
        raise RecordingError(f"module {doubled[1]!r} of {doubled[0]!r} is described twice; keep one row")
    for table in (recordings.runs, recordings.outcomes):
        used = set(zip(table["package"].tolist(), table["module"].tolist(), strict=True))
        if strangers := sorted(used - known):
            package, module = strangers[0]
            raise RecordingError(
                f"module {module!r} of {package!r} was run but is not described; record the package again"
            )
    splits: dict[str, str] = {}
    for package, split in zip(modules["package"], modules["split"], strict=True):
        if splits.setdefault(package, split) != split:
            raise RecordingError(
                f"package {package!r} is in both splits; a package is either for training or held out"
            )
