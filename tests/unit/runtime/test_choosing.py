"""The choice in plain numbers is the choice of the learning core; views last until a row changes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qe_core.fleet import registry
from qe_core.hierarchy.aggregate import ValueKind
from qe_core.hierarchy.lookup import LevelRows, LookupSettings, Source, blended_lookup, ordered_lookup
from qe_core.learning.exploration import epsilon_greedy
from qe_core.learning.q_table import ConfidenceSettings, QTable, quantised_weights
from qe_core.runtime.choosing import Beliefs, pick
from qe_core.store.live.rows import Row, empty_row, row_after

CONTRACT = registry().get("test-executor")
ACTIONS = CONTRACT.action_count
APPROACHES = 6


def beliefs(rule: str = "blend", kind: ValueKind = ValueKind.ADVANTAGE, limit: int = 100) -> Beliefs:
    settings = LookupSettings(kind=kind)
    return Beliefs(
        CONTRACT, "ordered" if rule == "ordered" else "blend", settings, ConfidenceSettings(), limit
    )


@st.composite
def learned_rows(draw: st.DrawFn, actions: int) -> Row:
    """A row after some updates, with weights as published then."""
    update = st.tuples(st.integers(0, actions - 1), st.sampled_from([-20.0, 3.5, 40.0]), st.floats(0.1, 1.0))
    row = row_after(empty_row(actions), draw(st.lists(update, max_size=12)))
    return row._replace(weights=tuple(weights_of(row)[0].tolist()))


def weights_of(row: Row) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    table = QTable(
        np.array([row.q]), np.array([row.visits]), np.array([row.target_mean]), np.array([row.target_m2])
    )
    return quantised_weights(table)


@given(learned_rows(ACTIONS), learned_rows(APPROACHES), learned_rows(APPROACHES), st.data())
def test_values_best_actions_and_choices_are_those_of_the_array_implementations(
    own: Row, category: Row, fleet: Row, data: st.DataObject
) -> None:
    rule = data.draw(st.sampled_from(["blend", "ordered"]))
    kind = data.draw(st.sampled_from(ValueKind))
    view = beliefs(rule, kind).view(17, own, category, fleet)
    levels = [
        LevelRows(np.array([row.q]), np.array([row.visits]), weights_of(row))
        for row in (own, category, fleet)
    ]
    array_rule = ordered_lookup if rule == "ordered" else blended_lookup
    expected = array_rule(*levels, CONTRACT.approach_indices, LookupSettings(kind=kind))
    np.testing.assert_allclose(view.values, expected.value[0], rtol=1e-12, atol=1e-11)
    assert [int(source) for source in view.sources] == expected.source[0].tolist()

    seed, rate = data.draw(st.integers(0, 2**32)), data.draw(st.sampled_from([0.0, 0.1, 0.5, 1.0]))
    values, is_known = np.array(view.values), np.array(view.sources) != Source.NONE
    choice = epsilon_greedy(values, rate, np.random.default_rng(seed), is_known)
    generator = np.random.default_rng(seed)
    picked = pick(view.best, ACTIONS, rate, generator.random(), generator.random())
    assert picked.action == choice.action
    assert picked.propensity == pytest.approx(choice.propensity, rel=1e-15)
    assert picked.is_explored == choice.is_explored


def test_nobody_knowing_anything_makes_every_action_the_best() -> None:
    view = beliefs().view(0, empty_row(ACTIONS), empty_row(APPROACHES), empty_row(APPROACHES))
    assert view.best == tuple(range(ACTIONS))
    assert set(view.sources) == {Source.NONE}


def test_a_loss_that_is_known_is_better_than_nothing_known() -> None:
    own = row_after(empty_row(ACTIONS), [(2, -30.0, 1.0)])
    assert beliefs().view(0, own, empty_row(APPROACHES), empty_row(APPROACHES)).best == (2,)


def test_a_view_lasts_until_one_of_its_rows_is_another() -> None:
    known = beliefs()
    rows = [empty_row(ACTIONS), empty_row(APPROACHES), Row(*empty_row(APPROACHES))]
    view = known.view(0, *rows)
    assert known.view(0, *rows) is view
    for place in range(3):
        changed = [row_after(row, [(0, 9.0, 1.0)]) if of == place else row for of, row in enumerate(rows)]
        if place:
            changed[place] = changed[place]._replace(weights=(0.5,) * APPROACHES)
        assert known.view(0, *changed).values != view.values


def test_only_so_many_views_are_kept() -> None:
    known = beliefs(limit=3)
    rows = empty_row(ACTIONS), empty_row(APPROACHES), empty_row(APPROACHES)
    first = known.view(0, *rows)
    for state in range(1, 4):
        known.view(state, *rows)
    assert known.view(0, *rows) is not first
