"""Carrying tables over to a changed contract."""

import json
from dataclasses import replace
from enum import StrEnum
from typing import Annotated, Any

import pytest

from qe_core.errors import ContractError
from qe_core.fleet.contract import AgentContract, SuccessRule
from qe_core.fleet.features import Bins, Labels
from qe_core.fleet.reencoding import NotReencodable, Reencoding, reencode
from qe_core.fleet.rewards import default_rewards
from qe_core.fleet.vocabulary import Approach, Category, CoreTestingContext

LOAD = Bins(edges=(10,), names=("light", "heavy"), lower=0, unit="jobs")


class Before(CoreTestingContext):
    """The state as it was."""

    phase: Annotated[str, Labels("start", "middle", "end")]
    load: Annotated[str, LOAD]


class Reordered(CoreTestingContext):
    """The same features in another order, one label more."""

    load: Annotated[str, LOAD]
    phase: Annotated[str, Labels("end", "start", "middle", "aftermath")]


class Longer(Before):
    """A feature more."""

    weather: Annotated[str, Labels("dry", "wet")]


class Shorter(CoreTestingContext):
    """A feature less."""

    load: Annotated[str, LOAD]


class Renamed(CoreTestingContext):
    """A label less."""

    phase: Annotated[str, Labels("start", "end")]
    load: Annotated[str, LOAD]


class Rebinned(CoreTestingContext):
    """The same labels over other numbers."""

    phase: Annotated[str, Labels("start", "middle", "end")]
    load: Annotated[str, Bins(edges=(99,), names=("light", "heavy"), lower=0, unit="jobs")]


class Old(StrEnum):
    """The actions as they were."""

    RUN = "run"
    WAIT = "wait"


class New(StrEnum):
    """One dropped, one added, another order."""

    LOOK = "look"
    RUN = "run"


OLD = AgentContract(
    name="changing",
    category=Category.CORE_TESTING,
    description="Changes.",
    state_model=Before,
    actions=Old,
    approaches={Old.RUN: Approach.QUICK, Old.WAIT: Approach.GUARDED},
    reward=default_rewards(),
    horizon=5,
    success=SuccessRule(0.0, "always"),
    baseline_action=Old.RUN,
)
SUMMARY: dict[str, Any] = json.loads(json.dumps(OLD.summary()))


def test_the_same_contract_moves_nothing() -> None:
    mapping = reencode(SUMMARY, OLD)
    assert isinstance(mapping, Reencoding)
    assert mapping.is_identity
    assert len(mapping.states) == OLD.state_count


def test_every_old_state_becomes_the_new_state_with_the_same_labels() -> None:
    new = replace(
        OLD,
        state_model=Reordered,
        actions=New,
        approaches={New.LOOK: Approach.TARGETED, New.RUN: Approach.QUICK},
        baseline_action=New.RUN,
    )
    mapping = reencode(SUMMARY, new)
    assert isinstance(mapping, Reencoding)
    assert not mapping.is_identity
    assert mapping.actions == (1, None)
    assert len(set(mapping.states)) == OLD.state_count
    for code, moved in enumerate(mapping.states):
        assert Before.decode(code).model_dump() == Reordered.decode(moved).model_dump()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"state_model": Longer}, "old states do not say what weather was"),
        ({"state_model": Shorter}, "several old states become one without phase"),
        ({"state_model": Renamed}, "phase has no label middle any more"),
        ({"state_model": Rebinned}, "the bins of load changed, so its labels mean other numbers"),
        (
            {"reward": default_rewards(coverage_gain=0.2, defects_found=0.35)},
            "old values are in other points",
        ),
        ({"discount": 0.5}, "the discount changed"),
        ({"name": "another"}, "the table belongs to agent 'changing', not 'another'"),
        (
            {"approaches": {Old.RUN: Approach.THOROUGH, Old.WAIT: Approach.GUARDED}},
            "the approach of run changed, so the action is another one",
        ),
    ],
)
def test_where_values_would_change_their_meaning_the_table_starts_anew(
    changes: dict[str, Any], reason: str
) -> None:
    outcome = reencode(SUMMARY, replace(OLD, **changes))
    assert isinstance(outcome, NotReencodable)
    assert reason in outcome.reason


@pytest.mark.parametrize("summary", [{}, {"features": 3}, {**SUMMARY, "features": [{"name": "phase"}]}])
def test_what_is_no_summary_is_refused(summary: dict[str, Any]) -> None:
    with pytest.raises(ContractError, match=r"not the summary of a contract.*AgentContract.summary"):
        reencode(summary, OLD)
