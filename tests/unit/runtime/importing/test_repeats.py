"""Repeated rows: equal ones are harmless, contradicting ones are found, in bounded memory."""

from hypothesis import given, settings
from hypothesis import strategies as st

from qe_core.runtime.importing.repeats import RepeatFinder


def found(batches):
    finder = RepeatFinder()
    for batch in batches:
        finder.add(batch.rows, batch.lines)
    return finder.find()


def test_nothing_repeats_in_no_rows_at_all():
    assert RepeatFinder().find().equal_lines.tolist() == []


def test_an_equal_row_is_told_from_a_contradiction(check, write_lines, make_row):
    rows = [make_row(), make_row(step=1), make_row(), make_row(reward=2.0), make_row(episode="e2")]
    repeats = found(check(write_lines(rows)))
    assert repeats.equal_lines.tolist() == [3]
    assert repeats.conflicting_lines.tolist() == [4]
    assert repeats.earlier_lines.tolist() == [1]


def test_a_missing_value_is_not_a_zero(check, write_lines, make_row):
    rows = [make_row(), make_row(exploration_rate=0.0)]
    assert found(check(write_lines(rows))).conflicting_lines.tolist() == [2]


def test_names_that_run_together_are_different_rows(check, write_lines, make_row):
    rows = [make_row(episode="ab", source="c"), make_row(episode="a", source="bc")]
    assert found(check(write_lines(rows))).conflicting_lines.tolist() == []


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.sampled_from([0.0, 1.0])), max_size=40))
def test_repeats_are_those_a_dictionary_finds(drawn):
    import numpy as np
    import pyarrow as pa

    from qe_core.runtime.importing.checking import ROW_SCHEMA

    values = [
        {"agent": "a", "source": "s", "episode": f"e{episode}", "step": step, "reward": reward}
        for episode, step, reward in drawn
    ]
    finder = RepeatFinder()
    for start in range(0, len(values), 7):
        piece = values[start : start + 7]
        finder.add(pa.Table.from_pylist(piece, schema=ROW_SCHEMA), np.arange(start, start + len(piece)) + 1)
    seen: dict[tuple[int, int], tuple[int, float]] = {}
    equal, conflicting, earlier = [], [], []
    for line, (episode, step, reward) in enumerate(drawn, 1):
        first_line, first_reward = seen.setdefault((episode, step), (line, reward))
        if first_line == line:
            continue
        if first_reward == reward:
            equal.append(line)
        else:
            conflicting.append(line)
            earlier.append(first_line)
    repeats = finder.find()
    assert repeats.equal_lines.tolist() == equal
    assert repeats.conflicting_lines.tolist() == conflicting
    assert repeats.earlier_lines.tolist() == earlier
