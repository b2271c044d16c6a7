"""Every rule a single row must obey, each with the words a person reads."""

from datetime import UTC, datetime

import pytest

from qe_core.fleet import registry

LABELS = {
    "state__size": "small",
    "state__risk": "low",
    "state__track_record": "mixed",
    "state__coverage_gap": "narrow",
}


def test_a_good_row_keeps_every_value(stored):
    assert stored(
        terminated=True,
        propensity=0.25,
        exploration_rate=0.1,
        success=True,
        source="import:elsewhere",
        occurred_at="2026-03-01T13:00:00.000001+01:00",
    ) == {
        "occurred_at": datetime(2026, 3, 1, 12, 0, 0, 1, tzinfo=UTC),
        "agent": "test-executor",
        "episode": "e1",
        "step": 0,
        "state": 3,
        "action": 0,
        "reward": 1.5,
        "next_state": 4,
        "terminated": True,
        "truncated": False,
        "propensity": 0.25,
        "exploration_rate": 0.1,
        "success": True,
        "fingerprint": registry().get("test-executor").fingerprint,
        "source": "import:elsewhere",
    }


def test_optional_columns_have_their_documented_defaults(stored):
    row = stored()
    assert row["occurred_at"] is None
    assert row["propensity"] == 1.0
    assert row["exploration_rate"] is None
    assert row["success"] is None
    assert row["source"] == "import:x"
    assert row["truncated"] is False


def test_a_terminated_step_needs_no_next_state(stored):
    assert stored(terminated=True, next_state=...)["next_state"] == 3


def test_a_truncated_step_needs_its_next_state(reasons, write_lines, make_row):
    path = write_lines([make_row(truncated=True, next_state=...)])
    assert reasons(path) == {1: "next_state is missing: give its code or next_state.<feature> columns"}


def test_the_last_state_of_an_agent_is_accepted_and_the_next_is_not(stored, reasons, write_lines, make_row):
    last = registry().get("test-executor").state_count - 1
    assert stored(state=last)["state"] == last
    problems = reasons(write_lines([make_row(state=last + 1)]))
    assert problems == {1: f"state {last + 1} is outside 0 to {last} of test-executor"}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"agent": "test-executer"}, "agent 'test-executer' is not registered: did you mean test-executor"),
        ({"agent": None}, "agent is missing"),
        ({"agent": ""}, "agent is missing"),
        ({"agent": 3.5}, "agent '3.5' is not registered"),
        ({"episode": "x" * 201}, "episode is longer than 200 characters"),
        ({"episode": "a\u0000b"}, "episode contains a control character"),
        ({"step": -1}, "step -1 is outside 0 to 1000000"),
        ({"step": 0.5}, "step 0.5 is not a whole number"),
        ({"step": "two"}, "step 'two' is not a whole number"),
        ({"step": ...}, "step is missing"),
        ({"state": -1}, "state -1 is outside 0 to"),
        ({"state": "three"}, "state 'three' is not a whole number"),
        ({"state": ...}, "state is missing: give its code or state.<feature> columns"),
        ({"state__size": "small"}, "state and state.<feature> are both given; give one of them"),
        ({"state__colour": "red"}, "state.colour: test-executor has no such feature"),
        ({"action": "run-al"}, "action 'run-al' is not one of test-executor: did you mean run-all"),
        ({"action": None}, "action is missing"),
        ({"reward": float("nan")}, "reward nan is not a finite number"),
        ({"reward": float("inf")}, "reward inf is not a finite number"),
        ({"reward": 100.5}, "reward 100.5 is outside -100 to 100 points"),
        ({"reward": "much"}, "reward 'much' is not a number"),
        ({"reward": True}, "reward 'true' is not a number"),
        ({"reward": None}, "reward is missing"),
        ({"next_state": ...}, "next_state is missing"),
        ({"terminated": "maybe"}, "terminated 'maybe' is not true or false"),
        ({"terminated": ...}, "terminated is missing"),
        ({"terminated": True, "truncated": True}, "both terminated and truncated"),
        ({"occurred_at": "2026-01-01T00:00:00"}, "is not an ISO 8601 time with a zone"),
        ({"occurred_at": "2026-02-30T00:00:00Z"}, "is not an ISO 8601 time with a zone"),
        ({"occurred_at": 1767225600}, "is not an ISO 8601 time with a zone"),
        ({"occurred_at": "1999-12-31T23:59:59Z"}, "occurred_at 1999-12-31T23:59:59Z lies before 2000"),
        ({"occurred_at": "2026-06-03T00:00:00Z"}, "occurred_at 2026-06-03T00:00:00Z lies in the future"),
        ({"propensity": 0}, "propensity 0 is outside above 0 up to 1"),
        ({"propensity": 1.1}, "propensity 1.1 is outside above 0 up to 1"),
        ({"exploration_rate": -0.1}, "exploration_rate -0.1 is outside 0 to 1"),
        ({"success": True}, "success is only for an episode's last step"),
        ({"rewrad": 1}, "column 'rewrad' is unknown: did you mean reward"),
    ],
)
def test_a_bad_value_is_named_with_its_reason(reasons, write_lines, make_row, changes, words):
    assert words in reasons(write_lines([make_row(), make_row(**changes)]))[2]


def test_everything_wrong_with_a_row_is_said_at_once(reasons, write_lines, make_row):
    reason = reasons(write_lines([make_row(step=-1, reward=1000, action="x")]))[1]
    assert "step -1" in reason
    assert "reward 1000" in reason
    assert "action 'x'" in reason


def test_good_rows_around_a_bad_one_are_kept(check, write_lines, make_row):
    path = write_lines([make_row(step=step, reward=1000 if step == 1 else 0) for step in range(3)])
    (batch,) = check(path)
    assert batch.rows.column("step").to_pylist() == [0, 2]
    assert batch.lines.tolist() == [1, 3]


def test_features_may_be_nested_objects(stored):
    contract = registry().get("test-executor")
    state = contract.state_model.decode(7)
    assert stored(state=state.model_dump())["state"] == 7


def test_agents_with_different_features_share_a_file(check, write_lines, make_row):
    rows = []
    for contract in registry():
        state = contract.state_model.decode(contract.state_count - 1)
        spelled = {f"state.{name}": value for name, value in state.model_dump().items()}
        rows.append(
            make_row(agent=contract.name, action=contract.action_names[-1], state=..., next_state=0) | spelled
        )
    (batch,) = check(write_lines(rows))
    assert not batch.faults
    assert batch.rows.column("state").to_pylist() == [item.state_count - 1 for item in registry()]
    assert batch.rows.column("action").to_pylist() == [item.action_count - 1 for item in registry()]
    assert batch.rows.column("fingerprint").to_pylist() == [item.fingerprint for item in registry()]
