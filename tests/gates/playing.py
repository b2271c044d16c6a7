"""One rollout from its start to its end, look by look, through the decision code itself.

What belongs here: letting units arrive, calling `judge` and `next_step`, doing what they say. What does not:
any decision, and counting over many rollouts (`rates`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

import numpy as np
import numpy.typing as npt

from qe_core.rollout.assignment import Arm, Stage, plan_of
from qe_core.rollout.evidence import ArmSample, Outcome, StageEvidence
from qe_core.rollout.ramp import Move, next_step
from qe_core.rollout.settings import DEFAULT_SETTINGS, ABTestSettings
from qe_core.rollout.verdicts import Judgement, Verdict, judge
from tests.gates.worlds import Tasks, World, draw

STAGES = tuple(Stage)
UNITS_A_LOOK = 20
LOOKS_WIDEN_BY = 0.05
"""A look comes after 20 more tasks in the test, or a twentieth of those there are."""


@dataclass(slots=True)
class Rollout:
    """A rollout in simulated traffic.

    Attributes:
        world: the traffic.
        random: source of chance.
        settings: of the test.
        stage: where the rollout is.
        days: since its start.
        days_at_stage_start: when the stage began.
        tasks: in the test up to now.
        evidence: of the stages reached.
        judgement: the newest.
        looks: taken.
        shown_at_units: units in the smaller arm when the reward by itself was first shown to be higher.
        promoted_at_units: units in the smaller arm at the first verdict *promote*.
        promoted_at_days: when that was.
        is_shipped: whether the ramp went on to 100 %.
        end: the move that ended it.
        crowd: who the tasks come from, where developers are the units.
    """

    world: World
    random: np.random.Generator
    settings: ABTestSettings = DEFAULT_SETTINGS
    stage: Stage = Stage.TENTH
    days: float = 0.0
    days_at_stage_start: float = 0.0
    tasks: int = 0
    evidence: dict[Stage, StageEvidence] = field(default_factory=dict)
    judgement: Judgement | None = None
    looks: int = 0
    shown_at_units: int | None = None
    promoted_at_units: int | None = None
    promoted_at_days: float | None = None
    is_shipped: bool = False
    end: Move | None = None
    crowd: "Crowd | None" = None

    def __post_init__(self) -> None:
        if self.world.developers:
            self.crowd = Crowd(self.world, self.random)

    @property
    def units(self) -> int:
        """Recorded units in the smaller arm."""
        return min(
            sum(stage.treatment.count for stage in self.evidence.values()),
            sum(stage.control.count for stage in self.evidence.values()),
        )

    def look(self) -> Judgement:
        """Let tasks arrive and judge what there is."""
        wanted = max(UNITS_A_LOOK, round(LOOKS_WIDEN_BY * self.tasks))
        if self.crowd is not None:
            self.evidence[self.stage] = self.crowd.arrive(wanted, self)
        else:
            known = self.evidence.get(self.stage, StageEvidence(self.stage))
            self.evidence[self.stage] = known + _arrive(wanted, self)
        self.tasks += wanted
        self.looks += 1
        return self.judge_again()

    def judge_again(self) -> Judgement:
        """Judge what there is."""
        self.judgement = judge(tuple(self.evidence.values()), self.settings)
        return self.judgement

    def follow(self, judgement: Judgement) -> None:
        """Do what the ramp makes of a judgement."""
        if judgement.always_valid_p <= self.settings.significance and self.shown_at_units is None:
            self.shown_at_units = self.units
        if judgement.verdict is Verdict.PROMOTE and self.promoted_at_units is None:
            self.promoted_at_units, self.promoted_at_days = self.units, self.days
        step = next_step(
            judgement, self.stage, timedelta(days=self.days - self.days_at_stage_start), self.settings
        )
        match step.move:
            case Move.STAY:
                return
            case Move.ADVANCE:
                assert step.stage is not None
                self.stage, self.days_at_stage_start = step.stage, self.days
                self.is_shipped = self.is_shipped or self.stage is Stage.FULL
            case Move.PROMOTE | Move.STOP:
                self.end = step.move

    def pass_time(self, tasks: int) -> npt.NDArray[np.float64]:
        """Return when the next tasks in the test happen, and move the clock on."""
        rate = self.world.tasks_per_day * plan_of(self.stage).tested_share
        began, self.days = self.days, self.days + tasks / rate
        return began + np.arange(1, tasks + 1) / rate


def play(world: World, random: np.random.Generator, settings: ABTestSettings = DEFAULT_SETTINGS) -> Rollout:
    """Return a rollout that was followed to its end.

    Args:
        world: the traffic.
        random: source of chance.
        settings: of the test.
    """
    rollout = Rollout(world, random, settings)
    while rollout.end is None:
        rollout.follow(rollout.look())
    return rollout


def _arrive(wanted: int, rollout: Rollout) -> StageEvidence:
    """Return the evidence of the next tasks, each a unit of its own."""
    world, random = rollout.world, rollout.random
    is_treated = random.random(wanted) < plan_of(rollout.stage).treatment_share
    is_lost = random.random(wanted) < world.lost_share
    tasks = draw(world, is_treated, rollout.pass_time(wanted), STAGES.index(rollout.stage), random)
    arms = []
    for is_in_arm in (~is_treated, is_treated):
        lost = int((is_in_arm & is_lost).sum())
        sample = sample_of(tasks, is_in_arm & ~is_lost)
        arms.append(
            replace(sample, lost=lost, repeated=int(random.binomial(sample.count, world.repeated_share)))
        )
    return StageEvidence(rollout.stage, *arms)


def sample_of(tasks: Tasks, is_chosen: npt.NDArray[np.bool_]) -> ArmSample:
    """Return the statistics of chosen tasks."""
    return ArmSample.of(
        tasks.reward[is_chosen].tolist(),
        tasks.success[is_chosen].tolist(),
        tasks.cost[is_chosen].tolist(),
        tasks.duration_seconds[is_chosen].tolist(),
    )


class Crowd:
    """Developers as units: who they are, when they came in, and the sums of their tasks at that stage.

    The sums are what `evidence_of` makes of the same outcomes, kept up to date; a test compares the two.
    """

    def __init__(self, world: World, random: np.random.Generator) -> None:
        activity = random.lognormal(0.0, 0.7, world.developers)
        self._activity = activity / activity.sum()
        self._buckets = random.random(world.developers)
        self._habits = random.standard_normal(world.developers)
        self._entered = np.full(world.developers, -1)
        self._counts = np.zeros(world.developers)
        self.outcomes: list[Outcome] | None = None
        self._sums = np.zeros((4, world.developers))

    def arrive(self, wanted: int, rollout: Rollout) -> StageEvidence:
        """Return the whole evidence of the stage after the next tasks of those in the test."""
        plan, stage_index, random = plan_of(rollout.stage), STAGES.index(rollout.stage), rollout.random
        is_treated = self._buckets < plan.treatment_below
        chance = np.where(is_treated | (self._buckets >= plan.control_from), self._activity, 0.0)
        who = random.choice(chance.size, wanted, p=chance / chance.sum())
        tasks = draw(rollout.world, is_treated[who], rollout.pass_time(wanted), stage_index, random)
        columns = np.stack([_habitual(tasks, self._habits[who], rollout.world), *_others(tasks)])
        self._entered[who] = np.where(self._entered[who] < 0, stage_index, self._entered[who])
        if self.outcomes is not None:
            self.outcomes += _outcomes(rollout.stage, is_treated[who], who, columns)
        is_counted = self._entered[who] == stage_index
        np.add.at(self._counts, who[is_counted], 1.0)
        np.add.at(self._sums, (slice(None), who[is_counted]), columns[:, is_counted])
        is_here = self._entered == stage_index
        return StageEvidence(
            rollout.stage, self._sample(is_here & ~is_treated), self._sample(is_here & is_treated)
        )

    def _sample(self, is_chosen: npt.NDArray[np.bool_]) -> ArmSample:
        """Return the statistics of developers, each the mean of their tasks."""
        return ArmSample.of(*(self._sums[:, is_chosen] / self._counts[is_chosen]).tolist())


def _outcomes(
    stage: Stage,
    is_treated: npt.NDArray[np.bool_],
    who: npt.NDArray[np.int64],
    columns: npt.NDArray[np.float64],
) -> list[Outcome]:
    """Return the outcomes of tasks as they are recorded."""
    arms = [Arm.TREATMENT if treated else Arm.CONTROL for treated in is_treated.tolist()]
    return [
        Outcome(stage, arm, f"developer-{developer}", *values)
        for arm, developer, values in zip(arms, who.tolist(), columns.T.tolist(), strict=True)
    ]


def _habitual(tasks: Tasks, habits: npt.NDArray[np.float64], world: World) -> npt.NDArray[np.float64]:
    """Return rewards of which the developers' habits make a share of the variance."""
    mean, share = tasks.reward.mean(), world.shared_variance
    own = np.sqrt(share) * tasks.reward.std() * habits
    return np.asarray(mean + np.sqrt(1.0 - share) * (tasks.reward - mean) + own)


def _others(tasks: Tasks) -> Sequence[npt.NDArray[np.float64]]:
    """Return what is measured beside the reward."""
    return tasks.success, tasks.cost, tasks.duration_seconds
