"""Bad inputs at the door of the fleet, each with the message a person needs."""

import math
from collections.abc import Callable
from typing import Annotated

import pytest

from qe_core.errors import ContractError, QEError, RewardError, StateError
from qe_core.fleet.core_testing import TEST_EXECUTOR, ExecutorState
from qe_core.fleet.features import Bins, Labels
from qe_core.fleet.rewards import Gain, RewardModel, RewardTerm, Target, default_rewards
from qe_core.fleet.state import StateModel

GOOD: dict[str, object] = {
    "size": 120, "risk": "low", "track_record": 0.9, "coverage_gap": 0.3, "last_run": "not-run",
    "duration": 30, "budget": 1,
}  # fmt: skip


def state(**changes: object) -> Callable[[], object]:
    """Return an attempt to build a state from good measurements with these changes."""
    return lambda: ExecutorState.from_features({**GOOD, **changes})


def without(name: str) -> Callable[[], object]:
    """Return an attempt to build a state with one measurement missing."""
    return lambda: ExecutorState.from_features({key: value for key, value in GOOD.items() if key != name})


def reward(**measured: object) -> Callable[[], object]:
    """Return an attempt to score these measurements."""
    return lambda: TEST_EXECUTOR.reward.reward(measured)  # type: ignore[arg-type] # that is the point


def features_of(annotation: object, **defaults: object) -> Callable[[], object]:
    """Return an attempt to declare a state model with one field."""
    body = {"__annotations__": {"field": annotation}, "__module__": __name__, **defaults}
    return lambda: type("Declared", (StateModel,), body).features()


def redefined() -> object:
    """Declare a subclass that changes an inherited feature."""

    class Changed(ExecutorState):
        """Redefines its base class's feature."""

        risk: Annotated[str, Labels("none", "total")]

    return Changed.features()


TERM = RewardTerm("gain", 1.0, Gain(1.0), "words")

BAD_INPUTS: list[tuple[str, Callable[[], object], type[QEError], list[str]]] = [
    (
        "state: out of range",
        state(coverage_gap=1.2),
        StateError,
        ["coverage_gap", "1.2 share uncovered is outside [0, 1]"],
    ),
    ("state: negative", state(size=-1), StateError, ["size", "-1 statements is outside [0, inf]"]),
    (
        "state: not a number",
        state(duration=math.nan),
        StateError,
        ["duration", "nan is not a finite number", "measure again"],
    ),
    ("state: infinite", state(size=math.inf), StateError, ["size", "inf is not a finite number"]),
    (
        "state: truth value",
        state(budget=True),
        StateError,
        ["budget", "True is neither a number nor one of low, half, full"],
    ),
    (
        "state: misspelt label",
        state(risk="hihg"),
        StateError,
        ["risk", "'hihg' is not a label", "did you mean high?"],
    ),
    (
        "state: foreign label",
        state(last_run="purple"),
        StateError,
        ["last_run", "known: not-run, all-passed"],
    ),
    (
        "state: label of another bin",
        state(coverage_gap="half"),
        StateError,
        ["coverage_gap", "known: narrow, moderate, wide"],
    ),
    ("state: number for a name", state(risk=3), StateError, ["risk", "3 is not a label", "one of low, high"]),
    ("state: nothing", state(track_record=None), StateError, ["track_record", "None is neither a number"]),
    ("state: missing", without("duration"), StateError, ["not a ExecutorState: duration: Field required"]),
    ("state: unknown field", state(colour="red"), StateError, ["colour", "Extra inputs are not permitted"]),
    ("state: several at once", state(size=-1, risk="x"), StateError, ["size: ", "; risk: "]),
    (
        "code: too large",
        lambda: ExecutorState.decode(1944),
        StateError,
        ["states 0 to 1943, not 1944", "another contract?"],
    ),
    ("code: negative", lambda: ExecutorState.decode(-1), StateError, ["states 0 to 1943, not -1"]),
    (
        "reward: not a number",
        reward(coverage_gain=math.nan),
        RewardError,
        ["'coverage_gain' is nan", "report the action as failed"],
    ),
    ("reward: infinite", reward(defects_found=-math.inf), RewardError, ["'defects_found' is -inf"]),
    (
        "reward: text",
        reward(coverage_gain="lots"),
        RewardError,
        ["'coverage_gain' is 'lots', not a number (change in share"],
    ),
    ("reward: nothing", reward(coverage_gain=None), RewardError, ["'coverage_gain' is None, not a number"]),
    (
        "reward: negative ratio",
        reward(execution_speed=-0.5),
        RewardError,
        ["'execution_speed' is -0.5", "cannot be negative"],
    ),
    (
        "reward: unknown term",
        reward(covrage=1.0),
        RewardError,
        ["unknown measurements ['covrage']", "this agent measures ["],
    ),
    (
        "weights: sum",
        lambda: default_rewards(coverage_gain=0.5),
        ContractError,
        ["weights must sum to 1, they sum to 1.2"],
    ),
    (
        "weights: unknown",
        lambda: default_rewards(covrage=0.5),
        ContractError,
        ["unknown reward terms ['covrage']; known: ["],
    ),
    (
        "weights: negative",
        lambda: default_rewards(coverage_gain=-0.1),
        ContractError,
        ["must be a finite number above 0"],
    ),
    (
        "reweighting: unknown",
        lambda: default_rewards().reweighted({"x": 1.0}),
        ContractError,
        ["unknown reward terms ['x']"],
    ),
    ("terms: none", lambda: RewardModel(()), ContractError, ["a reward model needs distinct terms, got []"]),
    (
        "terms: twice",
        lambda: RewardModel((TERM, TERM)),
        ContractError,
        ["needs distinct terms, got ['gain', 'gain']"],
    ),
    (
        "scale: zero",
        lambda: Gain(0.0),
        ContractError,
        ["full_scale must be a finite number above 0, got 0.0"],
    ),
    ("target: no tolerance", lambda: Target(1.0, 0.0), ContractError, ["a tolerance above 0"]),
    (
        "bins: order",
        lambda: Bins(edges=(2, 1), names=("a", "b", "c")),
        ContractError,
        ["must increase strictly"],
    ),
    (
        "bins: names",
        lambda: Bins(edges=(1,), names=("a",)),
        ContractError,
        ["1 edges need 2 distinct labels, got ('a',)"],
    ),
    ("bins: doubled names", lambda: Bins(edges=(1,), names=("a", "a")), ContractError, ["distinct labels"]),
    ("labels: one", lambda: Labels("only"), ContractError, ["at least two distinct labels, got ('only',)"]),
    (
        "feature: undeclared",
        features_of(str),
        ContractError,
        ["Declared.field is not a feature: declare it as Annotated"],
    ),
    (
        "feature: default",
        features_of(Annotated[str, Labels("a", "b")], field="a"),
        ContractError,
        ["Declared.field has a default; a feature is always measured"],
    ),
    (
        "feature: redefined",
        redefined,
        ContractError,
        ["Changed redefines a feature of", "may only add features"],
    ),
]


@pytest.mark.parametrize(
    ("attempt", "kind", "fragments"), [case[1:] for case in BAD_INPUTS], ids=[case[0] for case in BAD_INPUTS]
)
def test_a_bad_input_is_refused_with_a_message_that_says_what_to_do(
    attempt: Callable[[], object], kind: type[QEError], fragments: list[str]
) -> None:
    with pytest.raises(kind) as caught:
        attempt()
    for fragment in fragments:
        assert fragment in str(caught.value)
