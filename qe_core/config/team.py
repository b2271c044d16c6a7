"""How a team learns together, and what protects its people.

What belongs here: the section ``team`` of ``learning.json``. What does not: what follows from the figures
(`qe_core.privacy`), and the address of the team's server, which holds a password (``QE_TEAM_URL``).
"""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from qe_core.config.section import Section

_Epsilon = Annotated[float, Field(gt=0.0, le=50.0)]
_Name = Annotated[str, Field(min_length=1, max_length=200)]


class TeamSettings(Section):
    """What is shared, at what price in privacy, and how far what comes back is trusted."""

    is_sharing: bool = Field(
        default=False,
        description="Take part in team learning. False is local-only: nothing leaves this machine.",
    )
    developer: _Name | None = Field(
        default=None,
        description="For whom agents of this process work; stored as a keyed pseudonym, never as it is.",
    )
    project: _Name | None = Field(
        default=None, description="On what they work; stored as a keyed pseudonym, never as it is."
    )
    protected_unit: Literal["task", "developer"] = Field(
        default="task", description="What the guarantee protects: one task, or all that one developer did."
    )
    privacy_epsilon_per_release: _Epsilon = Field(
        default=1.0, description="Privacy lost by the protected unit in one release, at most (epsilon)."
    )
    privacy_epsilon_lifetime: _Epsilon = Field(
        default=8.0,
        description="Privacy lost over all releases together, as if the same unit came back in each.",
    )
    privacy_delta: Annotated[float, Field(gt=0.0, le=1e-3)] = Field(
        default=1e-6, description="Chance outside of which both guarantees hold (delta)."
    )
    pairs_per_task: Annotated[int, Field(ge=1, le=1_000)] = Field(
        default=5, description="Different (state, action) pairs of one task that count, at most."
    )
    pairs_per_developer: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=50, description="Different (state, action) pairs of one developer that count per release."
    )
    clip_bound_points: Annotated[float, Field(gt=0.0, le=100.0)] = Field(
        default=100.0, description="Rewards further from 0 are counted as this much, points."
    )
    kept_out_sources: tuple[_Name, ...] = Field(
        default=("simulated", "recorded"),
        description="Sources whose experiences are never shared: what the product's own sessions played.",
    )
    minimum_tasks: Annotated[int, Field(ge=1)] = Field(
        default=500, description="Finished tasks below which a release waits: noise would drown them."
    )
    minimum_cohort: Annotated[int, Field(ge=3, le=1_000_000)] = Field(
        default=3,
        description="Contributors without whom nothing is shared; of two, each could see the other.",
    )
    minimum_group: Annotated[int, Field(ge=2, le=1_000_000)] = Field(
        default=10, description="Visits without which a pair is not shared, noise allowed for (k-anonymity)."
    )
    maximum_share: Annotated[float, Field(gt=0.0, lt=1.0)] = Field(
        default=0.5, description="Share of the evidence on any pair that one contributor can have, at most."
    )
    conflict_standard_errors: Annotated[float, Field(gt=0.0, le=20.0)] = Field(
        default=3.0, description="Standard errors from which own and shared values contradict each other."
    )
    pseudonym_days: Annotated[int, Field(ge=1, le=3_650)] = Field(
        default=90, description="Days after which this database is known to the team by another pseudonym."
    )
    sureness_standard_errors: Annotated[float, Field(ge=0.0, le=10.0)] = Field(
        default=3.0, description="Standard errors of noise a count must exceed the minimum group by."
    )

    @model_validator(mode="after")
    def _lifetime_holds_a_release(self) -> Self:
        if self.privacy_epsilon_lifetime < self.privacy_epsilon_per_release:
            raise ValueError(
                f"privacy_epsilon_lifetime {self.privacy_epsilon_lifetime:g} must not be below "
                f"privacy_epsilon_per_release {self.privacy_epsilon_per_release:g}"
            )
        return self
