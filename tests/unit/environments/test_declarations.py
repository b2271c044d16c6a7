"""Declaring a world: what contradicts the contract is refused, by name."""

from dataclasses import replace
from typing import Any

import pytest

from qe_core.environments.declarations import Outcome, Progress, Step, WorldDeclaration
from qe_core.environments.declared import WORLDS
from qe_core.errors import ContractError

GOOD = next(declaration for declaration in WORLDS if declaration.contract.name == "coverage-analyzer")


def with_step(**changes: Any) -> dict[str, Any]:
    """Return a change of one action's step."""
    return {"steps": {**GOOD.steps, "line-report": replace(GOOD.steps["line-report"], **changes)}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": {}}, "world of 'coverage-analyzer': no step declared for ['context-map', 'line-report'"),
        (
            {"steps": {**GOOD.steps, "line-reprot": Step(1.0)}},
            "'line-reprot' is no action of the contract: did",
        ),
        ({"budget": "bugdet"}, "'bugdet' is no feature of the contract: did you mean budget?"),
        ({"finding": "kind"}, "'kind' is no feature of the contract"),
        ({"frequencies": {"branches": 1.0}}, "frequencies are needed for each of ('branches', 'error-paths'"),
        ({"frequencies": {"branch": 1.0}}, "'branch' is no finding of the contract: did you mean branches?"),
        ({"unclear": ("unknown",)}, "'unknown' is no finding of the contract"),
        (
            {"progress": Progress("coverage_gap", ("wide",), (1.0,))},
            "must order all of ('narrow', 'moderate'",
        ),
        (
            {"progress": Progress("coverage_gap", ("wide", "moderate", "narrow"), (1.0,))},
            "one remaining share per label is needed",
        ),
        (with_step(cost=0.0), "action 'line-report' needs a cost above 0, not 0.0"),
        (with_step(effect=1.5), "results of 'line-report' must lie in [-1, 1]"),
        (with_step(fits={"branches": -2.0}), "results of 'line-report' must lie in [-1, 1]"),
        (with_step(fits={"branch": 0.5}), "'branch' is no finding of the contract"),
        (with_step(looks=1.5), "chances of 'line-report' must lie in [0, 1]"),
        (with_step(pays={"churn=bussy": 0.1}), "'churn=bussy' names no label of churn: did you mean busy?"),
        (with_step(pays={"chrun=busy": 0.1}), "'chrun' is no feature of the contract: did you mean churn?"),
        (with_step(gains=("glory",)), "'glory' is no reward term of the contract"),
        ({"leans": {"churn=quiet": {}}}, "leans: 'churn=quiet' names no label of churn"),
        ({"typical_tasks": 0}, "at least one task"),
        ({"noise_points": -1.0}, "noise must be 0 or more, spending in (0, 1]"),
        ({"spending": 0.0}, "noise must be 0 or more, spending in (0, 1]"),
        ({"reported": 1.5}, "reported and noticed must lie in [0, 1]"),
        (
            {"outcome": Outcome("track_record", ("failing", "healthy"), "unknown")},
            "'unknown' is no label of the outcome of the contract: known: failing, mixed, healthy",
        ),
        ({"outcome": Outcome("trackrecord", (), "")}, "'trackrecord' is no feature of the contract: did you"),
    ],
)
def test_a_declaration_that_contradicts_the_contract_is_refused(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ContractError) as caught:
        replace(GOOD, **changes)
    assert message in str(caught.value)


def test_a_look_needs_something_hidden() -> None:
    with pytest.raises(ContractError, match="'line-report' looks, but nothing is hidden"):
        WorldDeclaration(GOOD.contract, {name: Step(1.0, looks=0.5) for name in GOOD.steps})
