"""Which policy each episode of an agent follows: the live table, a frozen version, or an arm of a test.

What belongs here: giving each episode a route. What does not: loading versions
(`qe_core.store.live.serving`), where a unit falls (`qe_core.rollout.assignment`), choosing an action.

An episode gets its route at its first decision and keeps it to its end, whatever changes meanwhile, with one
exception: when the agent's table was restored, its epoch raised, the policy it follows may be the one that
was taken back, and the episode gets another.
"""

from collections.abc import Callable
from datetime import datetime

from qe_core.rollout.assignment import Arm, StagePlan, arm_of
from qe_core.runtime.choosing import Beliefs
from qe_core.runtime.decisions import LearnerCounters
from qe_core.runtime.episodes import Episode
from qe_core.runtime.rollout.routes import Route
from qe_core.store.ab_tests import UnitRow
from qe_core.store.live import Live
from qe_core.store.live.serving import Served
from qe_core.store.policies import Mode

DEVELOPER = "developer"
"""The kind of unit that is assigned by what episodes were begun for, instead of one by one."""


class ServingPolicies:
    """The routes of one agent's episodes in one process.

    Args:
        live: the process's hot path, which follows what the agent serves.
        agent: whose.
        believe: makes what follows from one version's rows, and remembers it.
        exploration_rate: of frozen versions, in [0, 1].
        counters: where episodes that do without their version are counted.
    """

    def __init__(
        self,
        live: Live,
        agent: str,
        believe: Callable[[], Beliefs],
        exploration_rate: float,
        counters: LearnerCounters,
    ) -> None:
        self._serving = live.serving
        self._units = live.units
        self._agent = agent
        self._believe = believe
        self._exploration_rate = exploration_rate
        self._counters = counters
        self._beliefs: dict[int, Beliefs] = {}
        self._on_live_table = Route(None, believe())
        self._take(live.serving.of(agent))

    async def renew(self) -> None:
        """Learn what the agent serves now.

        Raises:
            DatabaseUnavailableError: nobody answers.
        """
        await self._serving.look(self._agent)

    def begin(self, episode: Episode, epoch: int, now: datetime) -> Route:
        """Give an episode its route and return it.

        Args:
            episode: at its first decision, or at the first after its agent's table was restored.
            epoch: of that table.
            now: the present, aware.
        """
        served = self._serving.of(self._agent)
        if served is not self._served:
            self._take(served)
        route = self._rest
        if self._plan is not None and (test := served.state.test) is not None:
            assigned_by = episode.unit if test.unit_kind == DEVELOPER else episode.name
            if assigned_by is not None:
                route = self._arms.get(arm_of(test.key, assigned_by, self._plan), route)
        if not served.is_complete:
            self._counters.degraded += 1
        episode.route, episode.epoch, episode.began_at = route, epoch, now
        if (unit := _unit(episode)) is not None:
            self._units.add(unit)
        return route

    def finish(self, episode: Episode, is_success: bool | None, now: datetime) -> None:
        """Report what came of an episode that is a unit of a test; its last outcome is durable.

        Args:
            episode: that ended.
            is_success: whether it succeeded, where that is known.
            now: when, aware.
        """
        if (unit := _unit(episode)) is not None:
            self._units.add(
                unit._replace(
                    reward=episode.total_reward,
                    is_success=is_success,
                    cost=episode.mean_cost,
                    duration_seconds=max(0.0, (now - unit.assigned_at).total_seconds()),
                    recorded_at=now,
                )
            )

    def _take(self, served: Served) -> None:
        """Prepare the routes there are under what is served now."""
        self._served = served
        state, policies = served.state, served.policies
        self._beliefs = {number: self._beliefs.get(number) or self._believe() for number in policies}
        self._rest = self._on_live_table
        if state.mode is Mode.SERVING:
            # Where the version is not at hand, the live table: it may have learned what nobody promoted, but
            # it is better than nothing.
            self._rest = self._frozen(state.stable) or self._rest._replace(
                exploration_rate=self._exploration_rate
            )
        self._arms: dict[Arm, Route] = {}
        self._plan: StagePlan | None = None
        test = state.test
        if test is None:
            return
        control, treatment = self._frozen(test.control), self._frozen(test.treatment)
        # With one arm only, its units would be compared with nobody: they stay out of the test.
        if control is not None and treatment is not None:
            self._plan = test.plan
            self._arms = {
                Arm.CONTROL: control._replace(variant=Arm.CONTROL, test=test),
                Arm.TREATMENT: treatment._replace(variant=Arm.TREATMENT, test=test),
            }

    def _frozen(self, number: int | None) -> Route | None:
        """Return the route along a version, None where it is not at hand."""
        policy = None if number is None else self._served.policies.get(number)
        if policy is None:
            return None
        return Route(policy, self._beliefs[policy.number], self._exploration_rate, policy.number)


def _unit(episode: Episode) -> UnitRow | None:
    """Return what is known of a unit when it is assigned; None for an episode that is in no test."""
    route, assigned_at = episode.route, episode.began_at
    if route is None or assigned_at is None or route.test is None:
        return None
    if route.variant is None or route.version is None:
        return None
    return UnitRow(
        experiment_id=route.test.experiment_id,
        unit=episode.name,
        stage=route.test.stage,
        arm=route.variant,
        policy_version=route.version,
        assigned_at=assigned_at,
        cluster=episode.unit,
    )
