"""The pilot: test-generator, which shares one scarce budget among the modules of a project.

What belongs here: its state, actions, reward and contract. What does not: the recorded environment it
learns in (`qe_core.environments.recorded`) and the tools behind its actions (`qe_core.workbench`).
"""

from enum import StrEnum
from typing import Annotated

from qe_core.fleet.contract import AgentContract, SuccessRule
from qe_core.fleet.features import Bins, Labels
from qe_core.fleet.rewards import Gain, RelativeToExpected, RewardModel, RewardTerm, Target
from qe_core.fleet.vocabulary import Approach, Category, CoreTestingContext


class TestGeneratorState(CoreTestingContext):
    """What is known before a slice: the module, what the last slice brought, the budget left."""

    __test__ = False

    structure: Annotated[str, Labels("functions", "classes", "documented")]
    last_gain: Annotated[str, Labels("untried", "nothing", "little", "much")]
    budget: Annotated[
        str, Bins(edges=(0.34, 0.67), names=("low", "half", "full"), lower=0, upper=1, unit="share left")
    ]


class TestGeneratorAction(StrEnum):
    """A slice of one strategy on the current module, or moving on to the next."""

    __test__ = False

    LITERALS = "literals"
    EDGE_VALUES = "edge-values"
    DOCTESTS = "doctests"
    NEIGHBOUR_TESTS = "neighbour-tests"
    GHOSTWRITER = "ghostwriter"
    DYNAMOSA = "dynamosa"
    MIO = "mio"
    MOVE_ON = "move-on"


STRATEGIES: tuple[str, ...] = tuple(
    str(action) for action in TestGeneratorAction if action is not TestGeneratorAction.MOVE_ON
)
"""The strategies a slice can be spent with, in column order; moving on comes after them."""


TEST_GENERATOR = AgentContract(
    name="test-generator",
    category=Category.CORE_TESTING,
    description="Chooses how to generate tests for each module, slice by slice, under one budget for all.",
    state_model=TestGeneratorState,
    actions=TestGeneratorAction,
    approaches={
        TestGeneratorAction.LITERALS: Approach.TARGETED,
        TestGeneratorAction.EDGE_VALUES: Approach.QUICK,
        TestGeneratorAction.DOCTESTS: Approach.REUSE,
        TestGeneratorAction.NEIGHBOUR_TESTS: Approach.REUSE,
        TestGeneratorAction.GHOSTWRITER: Approach.EXPLORATORY,
        TestGeneratorAction.DYNAMOSA: Approach.THOROUGH,
        TestGeneratorAction.MIO: Approach.EXPLORATORY,
        TestGeneratorAction.MOVE_ON: Approach.GUARDED,
    },
    reward=RewardModel(
        (
            RewardTerm(
                "coverage_gain", 0.60, Gain(0.05), "change in share of the project's branches covered"
            ),
            RewardTerm("defects_found", 0.15, Gain(0.05), "change in share of the project's mutants killed"),
            RewardTerm(
                "edge_cases_reached",
                0.10,
                Gain(0.05),
                "share of the project's branches only this run reached",
            ),
            RewardTerm("execution_speed", 0.10, RelativeToExpected(), "seconds taken / length of a slice"),
            RewardTerm(
                "suite_size", 0.05, Target(1.0, 1.0), "tests kept / tests useful for the branches gained"
            ),
        )
    ),
    horizon=400,
    success=SuccessRule(10.0, "a session that gains clearly more than it spends"),
    baseline_action=TestGeneratorAction.LITERALS,
    similarity_group="test-generation",
)
