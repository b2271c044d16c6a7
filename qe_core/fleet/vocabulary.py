"""The small vocabularies all agents share: categories, approaches and the contexts of states.

What belongs here: what category and fleet tables are defined over. What does not: anything one agent
alone knows (one module per category).
"""

from enum import StrEnum
from typing import Annotated

from qe_core.fleet.features import Bins, Labels
from qe_core.fleet.state import StateModel

Budget = Annotated[
    str, Bins(edges=(0.34, 0.67), names=("low", "half", "full"), lower=0, upper=1, unit="share left")
]
"""What remains of an episode's budget of time or money: the last digit of most agents' states."""


class Category(StrEnum):
    """The five categories of the fleet; each has one table."""

    CORE_TESTING = "core-testing"
    PERFORMANCE_SECURITY = "performance-security"
    ADVANCED_TESTING = "advanced-testing"
    SPECIALIZED = "specialized"
    STRATEGIC = "strategic"

    @property
    def context(self) -> "type[FleetContext]":
        """The state model of this category's table."""
        return CONTEXTS[self]


class Approach(StrEnum):
    """How an action goes about its work; the columns of category and fleet tables, in this order."""

    QUICK = "quick"
    THOROUGH = "thorough"
    TARGETED = "targeted"
    EXPLORATORY = "exploratory"
    REUSE = "reuse"
    GUARDED = "guarded"

    @property
    def column(self) -> int:
        """The column of this approach, 0 to 5."""
        return list(Approach).index(self)


class FleetContext(StateModel):
    """What every agent knows about the thing it works on; the state space of the fleet table."""

    size: Annotated[
        str,
        Bins(edges=(100, 400), names=("small", "medium", "large"), lower=0, unit="statements"),
    ]
    risk: Annotated[str, Labels("low", "high")]
    track_record: Annotated[
        str,
        Bins(
            edges=(0.5, 0.85),
            names=("failing", "mixed", "healthy"),
            lower=0,
            upper=1,
            unit="share of successes",
        ),
    ]


class CoreTestingContext(FleetContext):
    """Adds how much of the subject no test reaches yet."""

    coverage_gap: Annotated[
        str,
        Bins(
            edges=(0.2, 0.5), names=("narrow", "moderate", "wide"), lower=0, upper=1, unit="share uncovered"
        ),
    ]


class PerformanceSecurityContext(FleetContext):
    """Adds how exposed the subject is and whether issues are already known."""

    exposure: Annotated[str, Labels("internal", "partner", "public")]
    known_issues: Annotated[str, Bins(edges=(1,), names=("none", "some"), lower=0, unit="open issues")]


class AdvancedTestingContext(FleetContext):
    """Adds how large the change is and how unstable its tests have been."""

    change_size: Annotated[str, Bins(edges=(200,), names=("small", "large"), lower=0, unit="changed lines")]
    instability: Annotated[
        str,
        Bins(
            edges=(0.02, 0.1),
            names=("stable", "wavering", "unstable"),
            lower=0,
            upper=1,
            unit="share of flaky runs",
        ),
    ]


class SpecializedContext(FleetContext):
    """Adds where the work happens and how far a mistake would reach."""

    environment: Annotated[str, Labels("development", "staging", "production")]
    blast_radius: Annotated[str, Labels("contained", "wide")]


class StrategicContext(FleetContext):
    """Adds how ambiguous the input is and how close the deadline."""

    ambiguity: Annotated[
        str,
        Bins(
            edges=(0.2, 0.5),
            names=("clear", "vague", "contradictory"),
            lower=0,
            upper=1,
            unit="share ambiguous",
        ),
    ]
    deadline: Annotated[str, Bins(edges=(24,), names=("near", "far"), lower=0, unit="hours left")]


CONTEXTS: dict[Category, type[FleetContext]] = {
    Category.CORE_TESTING: CoreTestingContext,
    Category.PERFORMANCE_SECURITY: PerformanceSecurityContext,
    Category.ADVANCED_TESTING: AdvancedTestingContext,
    Category.SPECIALIZED: SpecializedContext,
    Category.STRATEGIC: StrategicContext,
}
