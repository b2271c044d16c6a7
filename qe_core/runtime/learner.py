"""What an agent imports: decide by what the fleet knows, record what came of it.

What belongs here: one agent's decisions in one process, from context to acknowledgement. What does not:
running the agent's tools, leases and resuming episodes after a crash, which stand on top of this; Dagster.

A decision reads cached rows and waits for nothing, unless a row was never looked up before. Recording
computes the update from the same rows, own updates included, and returns when it is durable.
"""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, Self
from uuid import uuid4

import numpy as np

from qe_core.config import Settings
from qe_core.errors import LearningError, StoreError
from qe_core.fleet import registry
from qe_core.fleet.contract import AgentContract
from qe_core.learning.divergence_response import NEUTRAL, Adjustment
from qe_core.learning.exploration import ExplorationSchedule
from qe_core.runtime.choosing import Beliefs, pick
from qe_core.runtime.contexts import Context, ContextEncoder
from qe_core.runtime.decisions import Decision, LearnerCounters
from qe_core.runtime.episodes import Episode, Outcome
from qe_core.runtime.errors import AlreadyRecordedError, DecisionError
from qe_core.runtime.parameters import (
    confidence_settings,
    exploration_schedule,
    learning_rate,
    lookup_settings,
)
from qe_core.runtime.steps import Step, StepLearner, batch_of
from qe_core.runtime.tables import AgentTables
from qe_core.store import StaleEpochError, TableHandle
from qe_core.store.errors import OutcomeUnknownError
from qe_core.store.live import Acknowledgement, Live

DECISIONS_REMEMBERED = 100_000
"""Decisions whose outcomes are awaited; beyond that the oldest is forgotten, and counted."""


class _Awaited(NamedTuple):
    """A decision whose outcome is awaited, with the handle it was taken under."""

    handle: TableHandle
    episode: Episode


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
        self._beliefs = Beliefs(
            contract, settings.hierarchy.lookup, lookup_settings(settings), confidence_settings(settings)
        )
        discount = contract.discount_or(settings.learning.discount)
        self._steps = StepLearner(live.reader, contract, discount, self._learning_rate)
        self._awaited: dict[str, _Awaited] = {}
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
    ) -> Self:
        """Return a learner of one agent.

        Args:
            live: the process's hot path.
            agent: the name of a registered agent, or its contract.
            settings: how to learn, explore and look up.
            generator: source of chance.
            schedule: the exploration schedule to go on with; None begins the one the settings ask for.
            clock: the present, aware.

        Raises:
            UnknownAgentError: no such agent is registered.
            FingerprintMismatchError: the agent's table is in use under another contract.
            DatabaseUnavailableError: nobody answers.
        """
        contract = registry().get(agent) if isinstance(agent, str) else agent
        tables = await AgentTables.take(live, contract)
        chosen = exploration_schedule(settings) if schedule is None else schedule
        return cls(live, contract, settings, generator, tables, chosen, clock)

    @property
    def schedule(self) -> ExplorationSchedule:
        """The exploration schedule as it is now; its ``state()`` resumes it."""
        return self._schedule

    def adjust(self, adjustment: Adjustment) -> None:
        """Learn and explore from now on as asked; ``NEUTRAL`` is as configured. See `adjusting`."""
        self._adjustment = adjustment
        self._steps.learning_rate = adjustment.learning_rate(self._learning_rate)
        self._exploration_rate = adjustment.exploration_rate(self._schedule.exploration_rate)

    def begin_episode(self) -> Episode:
        """Return a new episode, for ``decide``: one task the agent works on, beside others."""
        self._episodes += 1
        return Episode(f"{self._prefix}-{self._episodes}")

    async def decide(self, context: Context, episode: Episode | None = None) -> Decision:
        """Return what to do.

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
        category_state, fleet_state = state // self._divisors[0], state // self._divisors[1]
        own = tables.own.row(state)
        category = tables.category.row(category_state)
        fleet = tables.fleet.row(fleet_state)
        if own is None or category is None or fleet is None:
            own, category, fleet = await self._live.reader.rows(
                [(tables.own, state), (tables.category, category_state), (tables.fleet, fleet_state)]
            )
        view = self._beliefs.view(state, own, category, fleet)
        rate = self._exploration_rate
        action, propensity, is_explored = pick(
            view.best, len(view.values), rate, self._random(), self._random()
        )
        if episode is None:
            episode = self._current_episode()
        step = episode.take_step()
        self.counters.decisions += 1
        decision_id = f"{episode.name}-{step}"
        self._await_outcome(decision_id, _Awaited(tables.handle, episode))
        return Decision(
            *(decision_id, self.contract.name, episode.name, step, state, action, self._names[action]),
            *(propensity, rate, is_explored, view.values, view.sources[action]),
        )

    async def record(self, decision: Decision, outcome: Outcome) -> Acknowledgement:
        """Learn from an outcome; return when experience and update are durable.

        A decision can be recorded once. After a refusal that says "not stored", it can be recorded again.

        Args:
            decision: as returned by ``decide`` of this learner.
            outcome: what came of it.

        Raises:
            AlreadyRecordedError: it was recorded before, or is not known here.
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
        awaited = self._take(outcomes)
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
                    self._awaited[decision.decision_id] = of
                elif outcome.is_end:
                    of.episode.is_finished = True

    def _take(self, outcomes: Sequence[tuple[Decision, Outcome]]) -> list[_Awaited]:
        """Take decisions out of those awaited, all or none."""
        if not outcomes:
            raise DecisionError("there is nothing to record; give at least one decision and its outcome")
        wanted = [decision.decision_id for decision, _ in outcomes]
        for decision_id in wanted:
            if decision_id not in self._awaited or wanted.count(decision_id) > 1:
                raise AlreadyRecordedError(
                    f"no outcome is awaited for decision {decision_id} of {self.contract.name}: it was "
                    "recorded before, is another learner's, or was forgotten among too many; record each "
                    "decision once"
                )
        if len({self._awaited[decision_id].handle.epoch for decision_id in wanted}) > 1:
            raise DecisionError(
                "some of these decisions were taken before the table was restored and some after; "
                "record them one by one"
            )
        return [self._awaited.pop(decision_id) for decision_id in wanted]

    async def _prepared(
        self, outcomes: Sequence[tuple[Decision, Outcome]], awaited: Sequence[_Awaited]
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
        awaited: Sequence[_Awaited],
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
        for (_, outcome), of in zip(outcomes, awaited, strict=True):
            if outcome.is_end:
                self.counters.episodes += 1
                self._schedule = self._schedule.advance(of.episode.total_reward)
                self._exploration_rate = self._adjustment.exploration_rate(self._schedule.exploration_rate)
        return acknowledged

    def _current_episode(self) -> Episode:
        """Return the episode of a process that works on one task after the other."""
        if self._episode is None or self._episode.is_finished:
            self._episode = self.begin_episode()
        return self._episode

    def _await_outcome(self, decision_id: str, awaited: _Awaited) -> None:
        if len(self._awaited) >= DECISIONS_REMEMBERED:
            del self._awaited[next(iter(self._awaited))]
            self.counters.forgotten += 1
        self._awaited[decision_id] = awaited

    async def _renewed(self) -> AgentTables:
        """Take the tables anew, once for all who notice at the same time."""
        async with self._renewing:
            if self._is_refused or self._tables.is_superseded:
                self._tables = await AgentTables.take(self._live, self.contract)
                self._is_refused = False
                self.counters.renewals += 1
            return self._tables
