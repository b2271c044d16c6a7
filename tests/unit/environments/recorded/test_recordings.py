"""Reading recordings, and refusing what cannot be replayed with a message that says what to do."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from qe_core.environments.recorded.project import compile_project
from qe_core.environments.recorded.recordings import Recordings
from qe_core.errors import RecordingError


def changed(table: Any, column: str, row: int, value: Any) -> dict[str, Any]:
    """Return a table with one value exchanged."""
    values = np.array(table[column].tolist(), dtype=object)
    values[row] = value
    return {**table, column: np.array(values.tolist())}


def write(recordings: Recordings, folder: Path) -> None:
    for name in ("modules", "runs", "outcomes"):
        columns = {column: pa.array(values.tolist()) for column, values in getattr(recordings, name).items()}
        pq.write_table(pa.table(columns), folder / f"{name}.parquet")


def test_what_was_written_is_read(by_hand: Recordings, tmp_path: Path) -> None:
    write(by_hand, tmp_path)
    read = Recordings.load(tmp_path)
    assert read.packages() == ("hand",)
    assert read.packages("training") == ("hand",)
    assert read.packages("held-out") == ()
    assert read.repetitions() == (0,)
    for name, values in by_hand.outcomes.items():
        assert read.outcomes[name].tolist() == values.tolist()


def test_dictionary_columns_are_read_as_text(by_hand: Recordings, tmp_path: Path) -> None:
    write(by_hand, tmp_path)
    path = tmp_path / "runs.parquet"
    table = pq.read_table(path)
    pq.write_table(
        table.set_column(
            table.schema.get_field_index("strategy"), "strategy", table["strategy"].dictionary_encode()
        ),
        path,
    )
    assert Recordings.load(tmp_path).runs["strategy"].tolist() == by_hand.runs["strategy"].tolist()


def test_the_last_repetition_is_kept_from_training(recordings: Recordings, by_hand: Recordings) -> None:
    assert recordings.training_repetitions() == (0, 1)
    assert recordings.unseen_repetitions() == (2,)
    assert by_hand.training_repetitions() == by_hand.unseen_repetitions() == (0,)


def test_a_missing_file_names_the_command_that_makes_it(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"modules\.parquet.*qe workbench record"):
        Recordings.load(tmp_path)


def test_a_file_of_another_kind_is_refused(by_hand: Recordings, tmp_path: Path) -> None:
    write(by_hand, tmp_path)
    (tmp_path / "outcomes.parquet").write_text("not columns", encoding="utf-8")
    with pytest.raises(RecordingError, match=r"outcomes\.parquet is not a readable Parquet file"):
        Recordings.load(tmp_path)


def test_missing_columns_are_named(by_hand: Recordings) -> None:
    runs = {name: values for name, values in by_hand.runs.items() if name != "seconds"}
    with pytest.raises(RecordingError, match="the runs of the recording lack the columns seconds"):
        replace(by_hand, runs=runs)


def test_columns_of_different_length_are_refused(by_hand: Recordings) -> None:
    with pytest.raises(RecordingError, match="runs differ in length"):
        replace(by_hand, runs={**by_hand.runs, "seconds": np.ones(3)})


@pytest.mark.parametrize("seconds", [float("nan"), float("inf"), -0.5])
def test_seconds_that_are_no_time_are_refused_with_their_row(by_hand: Recordings, seconds: float) -> None:
    with pytest.raises(RecordingError, match=r"column seconds of outcomes .* row 2 is .*1 bad in all"):
        replace(by_hand, outcomes=changed(by_hand.outcomes, "seconds", 2, seconds))


def test_text_where_numbers_belong_is_refused(by_hand: Recordings) -> None:
    texts = np.array(["1"] * len(by_hand.modules["branches"]))
    with pytest.raises(RecordingError, match="column branches of modules must hold numbers"):
        replace(by_hand, modules={**by_hand.modules, "branches": texts})


@pytest.mark.parametrize(
    ("table", "column", "value", "message"),
    [
        ("modules", "split", "trainig", "did you mean training"),
        ("runs", "strategy", "dynamossa", "did you mean dynamosa"),
        ("outcomes", "strategy", "literal", "did you mean literals"),
        ("outcomes", "kind", "brnch", "did you mean branch"),
    ],
)
def test_unknown_labels_are_answered_with_the_nearest(
    by_hand: Recordings, table: str, column: str, value: str, message: str
) -> None:
    with pytest.raises(RecordingError, match=message):
        replace(by_hand, **{table: changed(getattr(by_hand, table), column, 0, value)})


def test_an_outcome_of_an_undescribed_module_is_refused(by_hand: Recordings) -> None:
    with pytest.raises(RecordingError, match="module 'z' of 'hand' was run but is not described"):
        replace(by_hand, outcomes=changed(by_hand.outcomes, "module", 0, "z"))


def test_a_module_described_twice_is_refused(by_hand: Recordings) -> None:
    with pytest.raises(RecordingError, match="module 'a' of 'hand' is described twice"):
        replace(by_hand, modules=changed(by_hand.modules, "module", 1, "a"))


def test_a_package_in_both_splits_is_refused(by_hand: Recordings) -> None:
    with pytest.raises(RecordingError, match="package 'hand' is in both splits"):
        replace(by_hand, modules=changed(by_hand.modules, "split", 1, "held-out"))


def test_an_empty_recording_is_refused(by_hand: Recordings) -> None:
    nothing = {name: values[:0] for name, values in by_hand.modules.items()}
    with pytest.raises(RecordingError, match="describes no module"):
        replace(by_hand, modules=nothing)


def test_unknown_packages_and_splits_are_answered_with_the_nearest(recordings: Recordings) -> None:
    with pytest.raises(RecordingError, match="no package 'pakage1' was recorded: did you mean package1"):
        recordings.modules_of("pakage1")
    with pytest.raises(RecordingError, match="there is no split 'heldout': did you mean held-out"):
        recordings.packages("heldout")


def test_a_repetition_that_was_not_recorded_is_refused(by_hand: Recordings) -> None:
    with pytest.raises(RecordingError, match=r"hand has no repetition 4; recorded are \[0\]"):
        compile_project(by_hand, "hand", 4)


def test_a_module_not_recorded_completely_is_left_out(by_hand: Recordings) -> None:
    is_kept = ~((by_hand.runs["module"] == "a") & (by_hand.runs["strategy"] == "mio"))
    partial = replace(by_hand, runs={name: values[is_kept] for name, values in by_hand.runs.items()})
    project = compile_project(partial, "hand", 0)
    assert project.modules == ("b",)
    assert project.arrays.totals.tolist() == [6, 2, 6]


def test_a_package_without_a_complete_module_is_refused(by_hand: Recordings) -> None:
    is_kept = by_hand.runs["strategy"] != "mio"
    partial = replace(by_hand, runs={name: values[is_kept] for name, values in by_hand.runs.items()})
    with pytest.raises(RecordingError, match="strategy mio was never run on a in repetition 0"):
        compile_project(partial, "hand", 0)


def test_an_item_beyond_the_module_is_refused(by_hand: Recordings) -> None:
    with pytest.raises(RecordingError, match="a has 4 items of kind branch, but item 4 was reached"):
        compile_project(replace(by_hand, outcomes=changed(by_hand.outcomes, "item", 0, 4)), "hand", 0)


def test_an_event_after_its_runs_end_extends_the_run(by_hand: Recordings) -> None:
    """The float32 of an event may lie a rounding above the float64 of the run's end."""
    project = compile_project(
        replace(by_hand, outcomes=changed(by_hand.outcomes, "seconds", 2, 0.21)), "hand", 0
    )
    assert project.arrays.ends[0, 0] == pytest.approx(0.21)


def test_parts_of_a_project_keep_their_events(record: Callable[..., Recordings]) -> None:
    whole = compile_project(record(seed=1, packages=3, modules=5), "package0", 0)
    part = whole.in_order([3, 1])
    assert part.modules == (whole.modules[3], whole.modules[1])
    assert part.arrays.totals[0] == whole.arrays.branches[[3, 1]].sum()
    strategies = whole.arrays.ends.shape[1]
    for kind in range(3):
        for new, old in ((0, 3), (1, 1)):
            for strategy in range(strategies):
                run = (kind * 2 + new) * strategies + strategy
                origin = (kind * 5 + old) * strategies + strategy
                mine = slice(*part.arrays.starts[[run, run + 1]])
                theirs = slice(*whole.arrays.starts[[origin, origin + 1]])
                assert part.arrays.items[mine].tolist() == whole.arrays.items[theirs].tolist()
                assert part.arrays.times[mine].tolist() == whole.arrays.times[theirs].tolist()


@pytest.mark.parametrize("order", [[], [0, 0], [5], [-1]])
def test_an_order_that_is_no_part_of_the_project_is_refused(recordings: Recordings, order: list[int]) -> None:
    with pytest.raises(RecordingError, match=r"distinct modules|has modules 0 to 3"):
        compile_project(recordings, "package0", 0).in_order(order)
