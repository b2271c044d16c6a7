"""A team's table refuses arrays that cannot belong together."""

from dataclasses import replace

import numpy as np
import pytest

from qe_core.errors import LearningError
from qe_core.learning.team_evidence import TeamEvidence

GOOD = TeamEvidence(np.ones((2, 3)), np.ones((2, 3), dtype=np.int64), np.ones((2, 3)), np.ones((2, 3)))


def test_known_pairs_are_those_with_effective_visits():
    assert GOOD.known_count == 6
    assert replace(GOOD, visits=np.array([[0, 1, 0], [0, 0, 2]])).known_count == 2


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("q", np.ones(3), "q must have shape"),
        ("visits", np.ones((2, 3)), "visits must be int64"),
        ("error", np.ones((3, 2)), "error must have shape"),
        ("reported", np.full((2, 3), np.inf), "reported must be finite"),
        ("error", -np.ones((2, 3)), "must not be negative"),
    ],
)
def test_what_cannot_be_a_table_is_refused(name, value, message):
    with pytest.raises(LearningError, match=message):
        replace(GOOD, **{name: value})
