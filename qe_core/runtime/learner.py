"""What an agent imports: decide by what the fleet knows, record what came of it.

What belongs here: one agent's decisions in one process, from context to acknowledgement. What does not:
running the agent's tools (`agent`), decisions of other processes (`recovery`); Dagster.

A decision reads cached rows and waits for nothing, unless a row was never looked up before. Recording
computes the update from the same rows, own updates included, and returns when it is durable.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Self
from uuid import uuid4

import numpy as np

from qe_core.config import Settings
from qe_core.errors import LearningError, StoreError
from qe_core.fleet import registry
from qe_core.fleet.contract import AgentContract
from qe_core.hierarchy.lookup import Source
from qe_core.learning.divergence_response import NEUTRAL, Adjustment
from qe_core.learning.exploration import ExplorationSchedule
from qe_core.runtime.awaiting import DECISION_LIFE, Awaited, AwaitedDecisions, check_life
from qe_core.runtime.choosing import Beliefs, pick
from qe_core.runtime.contexts import Context, ContextEncoder
from qe_core.runtime.decisions import Decision, LearnerCounters
from qe_core.runtime.episodes import Episode, Outcome
from qe_core.runtime.identity import require_identity
from qe_core.runtime.parameters import (
    confidence_settings,
    exploration_schedule,
    learning_rate,
    lookup_settings,
)
from qe_core.runtime.recovery import Recovery
from qe_core.runtime.rollout.serving_policies import ServingPolicies
from qe_core.runtime.steps import Step, StepLearner, batch_of
from qe_core.runtime.tables import AgentTables
from qe_core.runtime.tokens import DecisionToken
from qe_core.store import StaleEpochError, TableHandle
from qe_core.store.errors import OutcomeUnknownError
from qe_core.store.live import Acknowledgement, Live


class Learner:
    """Decides and learns for one agent, for any number of its tasks at once, inside one event loop.

    Open it with `open`; it needs no closing.

    Attributes:
        contract: the agent's.
        counters: what has been met.
    """

    def __init__(
        self,
        live: Live,
        contract: AgentContract,
        settings: Settings,
        generator: np.random.Generator,
        tables: AgentTables,
        schedule: ExplorationSchedule,
        clock: Callable[[], datetime],
        decision_life: timedelta,
    ) -> None:
        self.contract = contract
        self.counters = LearnerCounters()
        self._live = live
        self._random = generator.random
        self._tables = tables
        self._clock = clock
        self._schedule = schedule
        self._exploration_rate = schedule.exploration_rate
        self._adjustment = NEUTRAL
        self._learning_rate = learning_rate(settings)
        self._encode = ContextEncoder(contract).encode
        self._names = contract.action_names
        self._divisors = contract.category_divisor, contract.fleet_divisor
        confidence, lookup = confidence_settings(settings), lookup_settings(settings)
        believe = partial(Beliefs, contract, settings.hierarchy.lookup, lookup, confidence)
        rate = settings.rollout.serving_exploration_rate
        self._serving = ServingPolicies(live, contract.name, believe, rate, self.counters)
        discount = contract.discount_or(settings.learning.discount)
        self._steps = StepLearner(live.reader, contract, discount, self._learning_rate)
        self._awaited = AwaitedDecisions(contract.name, decision_life, live.identity)
        self._recovery = Recovery(live, contract, self._steps, decision_life, clock)
        self._prefix = uuid4().hex
        self._episodes = 0
        self._episode: Episode | None = None
        self._is_refused = False
        self._renewing = asyncio.Lock()

    @classmethod
    async def open(
        cls,
        live: Live,
        agent: str | AgentContract,
        settings: Settings,
        generator: np.random.Generator,
        *,
        schedule: ExplorationSchedule | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        decision_life: timedelta = DECISION_LIFE,
    ) -> Self:
        """Return a learner of one agent.

        Args:
            live: the process's hot path.
            agent: the name of a registered agent, or its contract.
            settings: how to learn, explore and look up.
            generator: source of chance.
            schedule: the exploration schedule to go on with; None begins the one the settings ask for.
            clock: the present, aware.
            decision_life: how long the outcome of a decision may take, above 0; at most 30 days, and no
                longer than experiences are kept.

        Raises:
            ConfigError: the decision life is out of range, or the settings name a developer or a project and
                the store was opened without.
            UnknownAgentError: no such agent is registered.
            FingerprintMismatchError: the agent's table is in use under another contract.
            DatabaseUnavailableError: nobody answers.
        """
        contract = registry().get(agent) if isinstance(agent, str) else agent
        require_identity(settings, live.identity)
        check_life(decision_life, settings.retention.experiences_days)
        tables = await AgentTables.take(live, contract)
        await live.serving.look(contract.name)
        chosen = exploration_schedule(settings) if schedule is None else schedule
        return cls(live, contract, settings, generator, tables, chosen, clock, decision_life)

    @property
    def schedule(self) -> ExplorationSchedule:
        """The exploration schedule as it is now; its ``state()`` resumes it."""
        return self._schedule

    def adjust(self, adjustment: Adjustment) -> None:
        """Learn and explore from now on as asked; ``NEUTRAL`` is as configured. See `adjusting`."""
        self._adjustment = adjustment
        self._steps.learning_rate = adjustment.learning_rate(self._learning_rate)
        self._exploration_rate = adjustment.exploration_rate(self._schedule.exploration_rate)

    def begin_episode(self, unit: str | None = None) -> Episode:
        """Return a new episode, for ``decide``: one task the agent works on, beside others.

        Args:
            unit: what an A/B test assigns by, for example the developer; None assigns each episode by itself.

        Raises:
            DecisionError: the unit cannot be used.
        """
        self._episodes += 1
        return Episode(f"{self._prefix}-{self._episodes}", unit=unit)

    async def decide(self, context: Context, episode: Episode | None = None) -> Decision:
        """Return what to do, by the live table or by the policy version that serves the episode.

        Args:
            context: the agent's state, its measurements by name, or the code of a state.
            episode: the task this belongs to; None is one task after the other.

        Raises:
            StateError: the context is not a state of this agent.
            DecisionError: the episode is over.
            FingerprintMismatchError: the agent's table was replaced under another contract.
            DatabaseUnavailableError: a row is not cached and the database did not answer in time.
        """
        state = self._encode(context)
        tables = self._tables
        if self._is_refused or tables.is_superseded:
            tables = await self._renewed()
        if episode is None:
            episode = self._current_episode()
        route = episode.route
        if route is None or episode.epoch != tables.handle.epoch:
            route = self._serving.begin(episode, tables.handle.epoch, self._clock())
        category_state, fleet_state = state // self._divisors[0], state // self._divisors[1]
        policy = tables if route.policy is None else route.policy
        own = policy.own.row(state)
        category = policy.category.row(category_state)
        fleet = policy.fleet.row(fleet_state)
        if own is None or category is None or fleet is None:
            own, category, fleet = await self._live.reader.rows(
                [(tables.own, state), (tables.category, category_state), (tables.fleet, fleet_state)]
            )
        view = route.beliefs.view(state, own, category, fleet)
        rate = self._exploration_rate if route.exploration_rate is None else route.exploration_rate
        action, propensity, is_explored = pick(
            view.best, len(view.values), rate, self._random(), self._random()
        )
        decision_id, name, step = self._begin_step(tables, episode)
        return Decision(
            *(decision_id, self.contract.name, name, step, state, action, self._names[action]),
            *(propensity, rate, is_explored, view.values, view.sources[action]),
            *(route.version, route.variant),
        )

    def decide_baseline(self, context: Context, episode: Episode | None = None) -> Decision:
        """Return the contract's baseline action, chosen with certainty and without asking anybody.

        For when `decide` cannot answer; its outcome is recorded like any other.

        Args:
            context: as for `decide`.
            episode: as for `decide`.

        Raises:
            StateError: the context is not a state of this agent.
            DecisionError: the episode is over.
        """
        state = self._encode(context)
        if episode is None:
            episode = self._current_episode()
        variant = None if episode.route is None else episode.route.variant
        decision_id, name, step = self._begin_step(self._tables, episode)
        baseline = str(self.contract.baseline_action)
        action = self._names.index(baseline)
        return Decision(
            *(decision_id, self.contract.name, name, step, state, action, baseline),
            *(1.0, 0.0, False, (0.0,) * len(self._names), Source.NONE, None, variant),
        )

    def token(self, decision: Decision) -> DecisionToken:
        """Return a decision as a value that survives this process, to be kept until its outcome is recorded.

        Raises:
            AlreadyRecordedError: its outcome is not awaited here.
        """
        return self._awaited.token(decision)

    async def recover(self, token: DecisionToken, outcome: Outcome) -> Acknowledgement:
        """Learn from the outcome of a decision that this or another process took, and may have recorded.

        However often and from wherever it is recovered, and even if the process that decided goes on and
        records it too, it counts once: whoever comes later gets the acknowledgement of the first. Slower than
        `record`. Its episode ends with it: an outcome that is not an end counts as truncated.

        Args:
            token: as returned by `token`, of this agent.
            outcome: what came of it.

        Raises:
            DecisionExpiredError: it is too old. Not stored.
            FingerprintMismatchError: it was taken under another contract. Not stored.
            RewardError: a measurement cannot be used. Not stored.
            StateError: the next context is not a state of this agent. Not stored.
            StaleEpochError: the table was restored or replaced since the decision. Not stored.
            DatabaseUnavailableError: the database did not answer in time. Not stored.
            OutcomeUnknownError: it was sent and not acknowledged in time; recover it again.
        """
        following = token.state if outcome.next_context is None else self._encode(outcome.next_context)
        acknowledged, total_reward = await self._recovery.record(token, outcome, following)
        self._awaited.drop(token.decision_id)
        if not acknowledged.is_repeated:
            self.counters.recorded += 1
            self._end_episode(total_reward)
        return acknowledged

    async def record(self, decision: Decision, outcome: Outcome) -> Acknowledgement:
        """Learn from an outcome; return when experience and update are durable.

        A decision can be recorded once. After a refusal that says "not stored", it can be recorded again.

        Args:
            decision: as returned by ``decide`` of this learner.
            outcome: what came of it.

        Raises:
            AlreadyRecordedError: it was recorded before, or is not known here.
            DecisionExpiredError: it is too old. Not stored.
            DecisionClaimedError: another process recovers it. Not stored from here; `recover` makes sure.
            RewardError: a measurement cannot be used. Not stored.
            StateError: the next context is not a state of this agent. Not stored.
            QueueFullError: too much waits to be stored. Not stored.
            DatabaseUnavailableError: the database did not answer in time. Not stored.
            OutcomeUnknownError: it was sent and not acknowledged in time: stored once, or not at all.
            StaleEpochError: the table was restored or replaced since the decision. Not stored; decide afresh.
        """
        return await self.record_many([(decision, outcome)])

    async def record_many(self, outcomes: Sequence[tuple[Decision, Outcome]]) -> Acknowledgement:
        """Learn from several outcomes in order: all of them or none, acknowledged together.

        Args:
            outcomes: decisions of this learner and what came of them, at least one.

        Raises: the same as `record`; DecisionError where there are none, or some from before the table was
            restored and some from after.
        """
        awaited = self._awaited.take([decision.decision_id for decision, _ in outcomes], self._clock())
        is_given_back = True
        try:
            steps = await self._prepared(outcomes, awaited)
            is_given_back = False
            return await self._stored(awaited[0].handle, steps, outcomes, awaited)
        except (StaleEpochError, OutcomeUnknownError):
            raise
        except (StoreError, LearningError):
            is_given_back = True
            raise
        finally:
            for (decision, outcome), of in zip(outcomes, awaited, strict=True):
                if is_given_back:
                    of.episode.rewards.pop(decision.step, None)
                    self._awaited.give_back(decision.decision_id, of)
                elif outcome.is_end:
                    of.episode.is_finished = True

    async def _prepared(
        self, outcomes: Sequence[tuple[Decision, Outcome]], awaited: Sequence[Awaited]
    ) -> list[Step]:
        """Return the steps that follow from outcomes."""
        happened = [
            (
                decision,
                outcome,
                of.episode,
                decision.state if outcome.next_context is None else self._encode(outcome.next_context),
            )
            for (decision, outcome), of in zip(outcomes, awaited, strict=True)
        ]
        return await self._steps.prepare(self._live.reader.table(awaited[0].handle), happened, self._clock)

    async def _stored(
        self,
        handle: TableHandle,
        steps: Sequence[Step],
        outcomes: Sequence[tuple[Decision, Outcome]],
        awaited: Sequence[Awaited],
    ) -> Acknowledgement:
        """Store steps; once they are durable, advance exploration by the episodes that ended with them."""
        writer = self._live.writer
        try:
            if len(steps) == 1:
                acknowledged = await writer.record(handle, *steps[0])
            else:
                acknowledged = await writer.record_many(handle, batch_of(steps))
        except StaleEpochError:
            self._is_refused = True
            self.counters.refused += len(steps)
            raise
        self.counters.recorded += len(steps)
        for step, (_, outcome), of in zip(steps, outcomes, awaited, strict=True):
            if outcome.is_end:
                self._end_episode(of.episode.total_reward)
                self._serving.finish(of.episode, step.experience.success, step.experience.occurred_at)
        return acknowledged

    def _end_episode(self, total_reward: float) -> None:
        """Explore from now on as one does after one more episode."""
        self.counters.episodes += 1
        self._schedule = self._schedule.advance(total_reward)
        self._exploration_rate = self._adjustment.exploration_rate(self._schedule.exploration_rate)

    def _begin_step(self, tables: AgentTables, episode: Episode) -> tuple[str, str, int]:
        """Await the outcome of an episode's next step; return its decision's number, episode and step."""
        step = episode.take_step()
        self.counters.decisions += 1
        decision_id = f"{episode.name}-{step}"
        seen = tables.own.through
        version = tables.handle.version if seen is None else max(seen, tables.handle.version)
        self._awaited.add(decision_id, Awaited(tables.handle, version, episode, self._clock()))
        self.counters.forgotten = self._awaited.forgotten
        return decision_id, episode.name, step

    def _current_episode(self) -> Episode:
        """Return the episode of a process that works on one task after the other."""
        if self._episode is None or self._episode.is_finished:
            self._episode = self.begin_episode()
        return self._episode

    async def _renewed(self) -> AgentTables:
        """Take the tables anew, once for all who notice at the same time."""
        async with self._renewing:
            if self._is_refused or self._tables.is_superseded:
                # First what is served: under the new tables nobody may go on with a policy taken back.
                await self._serving.renew()
                self._tables = await AgentTables.take(self._live, self.contract)
                self._is_refused = False
                self.counters.renewals += 1
            return self._tables
