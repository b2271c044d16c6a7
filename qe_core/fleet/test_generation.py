"""The pilot: test-generator, which shares one scarce budget among the modules of a project.

What belongs here: its state, actions, reward and contract. What does not: the recorded environment it
learns in (`qe_core.environments.recorded`) and the tools behind its actions (`qe_core.workbench`).
"""

from enum import StrEnum
from typing import Annotated

from qe_core.fleet.contract import AgentContract, SuccessRule
from qe_core.fleet.features import Bins, Labels
from qe_core.fleet.rewards import Gain, RelativeToExpected, RewardModel, RewardTerm
from qe_core.fleet.vocabulary import Approach, Category, CoreTestingContext


class TestGeneratorState(CoreTestingContext):
    """What is known of a module before a slice: what it is, what was tried on it, what is left to gain.

    The inherited features are measured like this: ``risk`` is high where a function's cyclomatic complexity
    is 10 or more; ``track_record`` is the share of the module's last two slices that gained anything, 1
    before the first; ``coverage_gap`` is the share of the module's branches that no test reaches yet.
    """

    __test__ = False

    callers: Annotated[str, Labels("untried", "literals", "edge-values", "both")]
    examples: Annotated[str, Labels("none-left", "untried")]
    neighbours: Annotated[str, Labels("untried", "silent", "answered")]
    effort: Annotated[
        str,
        Bins(
            edges=(0.05, 0.3, 1.0),
            names=("none", "brief", "some", "long"),
            lower=0,
            unit="CPU seconds spent on the module",
        ),
    ]
    budget: Annotated[
        str, Bins(edges=(1.0,), names=("scarce", "ample"), lower=0, unit="CPU seconds left for each module")
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
                "coverage_gain", 0.80, Gain(20.0), "share of the module's uncovered branches added, a second"
            ),
            RewardTerm(
                "defects_found", 0.10, Gain(20.0), "share of the module's living mutants killed, a second"
            ),
            RewardTerm(
                "edge_cases_reached",
                0.04,
                Gain(20.0),
                "coverage_gain in a module of which at least half was covered before",
            ),
            RewardTerm(
                "execution_speed",
                0.03,
                RelativeToExpected(),
                "expected seconds of the session with this slice / without it",
            ),
            RewardTerm(
                "suite_size",
                0.03,
                Gain(20.0),
                "tests kept beyond one a branch added, negative, as a share of the module's branches",
            ),
        )
    ),
    horizon=1_000,
    success=SuccessRule(10.0, "a session that gains clearly more than it spends"),
    baseline_action=TestGeneratorAction.LITERALS,
    similarity_group="test-generation",
    discount=0.0,
)
