"""The rules of the log, before anything is sent."""

from datetime import timedelta
from typing import Any

import numpy as np
import pytest

from qe_core.store import ExperienceRejectedError
from qe_core.store.experience_rows import as_experience_table
from qe_core.store.experience_rules import RULES, check_experiences
from tests.integration.store.rows import START, experiences

NOW = START + timedelta(days=1)


def test_a_clock_may_be_a_day_ahead_but_no_more() -> None:
    table = as_experience_table(experiences(1, occurred_at=[NOW + timedelta(days=1)]))
    check_experiences(table, NOW)
    with pytest.raises(ExperienceRejectedError, match="lies in the future"):
        check_experiences(table, NOW - timedelta(microseconds=1))


def test_every_value_at_the_edge_of_its_range_is_accepted() -> None:
    edges = experiences(
        2,
        step=[0, 2**31 - 1],
        state=[0, 2**63 - 1],
        next_state=[2**63 - 1, 0],
        action=[0, 2**15 - 1],
        reward=[-100.0, 100.0],
        propensity=[5e-324, 1.0],
        exploration_rate=[0.0, 1.0],
        terminated=[True, False],
        truncated=[False, True],
        success=[True, False],
        policy_version=[0, 2**63 - 1],
    )
    check_experiences(as_experience_table(edges), NOW)


@pytest.mark.parametrize(
    ("rule", "changed"),
    [
        ("experience_names_are_given", {"fingerprint": ""}),
        ("experience_names_are_given", {"episode": ["a", "", "c"]}),
        ("experience_step_is_positive", {"step": [0, -1, 2]}),
        ("experience_state_is_positive", {"next_state": [0, -1, 2]}),
        ("experience_action_is_positive", {"action": [0, -1, 2]}),
        ("experience_reward_is_in_points", {"reward": [0.0, np.nextafter(100.0, 101.0), 1.0]}),
        ("experience_reward_is_in_points", {"reward": [0.0, float("nan"), 1.0]}),
        ("experience_end_is_unambiguous", {"terminated": [False, True, True], "truncated": True}),
        ("experience_propensity_is_a_probability", {"propensity": [1.0, float("nan"), 1.0]}),
        ("experience_exploration_rate_is_a_probability", {"exploration_rate": [None, 1.1, 0.0]}),
        ("experience_exploration_rate_is_a_probability", {"exploration_rate": [None, float("nan"), 0.0]}),
        ("experience_success_is_at_the_end", {"success": [None, False, None], "terminated": False}),
        ("experience_policy_version_is_positive", {"policy_version": [None, -1, 1]}),
    ],
    ids=str,
)
def test_a_broken_rule_is_named_with_the_first_row_that_breaks_it(rule: str, changed: dict[str, Any]) -> None:
    with pytest.raises(ExperienceRejectedError) as refused:
        check_experiences(as_experience_table(experiences(3, **changed)), NOW)
    assert RULES[rule] in str(refused.value)
    row = 0 if changed.get("fingerprint") == "" else 1
    assert f"It is row {row}: " in str(refused.value)
