"""QEAgent: does its tasks with the strategy the fleet has learned, and learns from what comes of them.

What belongs here: one task from context to recorded outcome, and finishing what a crash left open. What does
not: deciding and learning (`learner`), the strategies, which are the user's.

Learning never fails the work. Whatever goes wrong with it is logged, counted and told in the result; the
strategy's value is returned and its exception raised as they are. Where no decision can be had in time, the
contract's baseline action is used.
"""

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from qe_core.errors import ConfigError, FingerprintMismatchError, RewardError, StateError, StoreError
from qe_core.runtime.decisions import Decision
from qe_core.runtime.episodes import Episode, Outcome
from qe_core.runtime.errors import DecisionError, StrategyError
from qe_core.runtime.journal import FileJournal, Journal
from qe_core.runtime.learner import Learner
from qe_core.runtime.tasks import FAILED, Assess, Learning, QETask, Strategy, TaskResult, outcome_of
from qe_core.runtime.tokens import DecisionToken
from qe_core.store import StaleEpochError
from qe_core.store.errors import DecisionClaimedError, OutcomeUnknownError
from qe_core.store.live import Acknowledgement

LOGGER = logging.getLogger(__name__)

DECIDE_SECONDS = 0.25
"""How long work waits for a decision before it goes on with the baseline."""


@dataclass(slots=True)
class AgentCounters:
    """What an agent has met.

    Attributes:
        tasks: begun.
        failed_tasks: whose strategy raised.
        baselines: done with the baseline action because no decision was possible.
        recorded: outcomes that are durable.
        not_recorded: tasks nothing was learned from.
        unknown: outcomes sent without an answer.
        recovered: outcomes of decisions of earlier processes that are durable.
        abandoned: decisions of earlier processes that nobody will record.
    """

    tasks: int = 0
    failed_tasks: int = 0
    baselines: int = 0
    recorded: int = 0
    not_recorded: int = 0
    unknown: int = 0
    recovered: int = 0
    abandoned: int = 0


def abandon(_: DecisionToken) -> None:
    """Leave unfinished work of an earlier process undone."""


class QEAgent:
    """An agent at work, for any number of tasks at once, inside one event loop.

    Args:
        learner: decides and learns.
        strategies: how to do a task, one for each action of the agent's contract, by the action's name.
        assess: makes an outcome of what a strategy returned.
        journal: notes open decisions, so that a process after this one can finish them; None notes nothing.
        decide_seconds: how long work waits for a decision, above 0.
        is_strict: raise what goes wrong with learning after the work is done; for tests.

    Attributes:
        counters: what has been met.

    Raises:
        StrategyError: an action has no strategy, or a strategy no action.
        ConfigError: the time limit is not positive.
    """

    def __init__(
        self,
        learner: Learner,
        strategies: Mapping[str, Strategy],
        *,
        assess: Assess = outcome_of,
        journal: Journal | None = None,
        decide_seconds: float = DECIDE_SECONDS,
        is_strict: bool = False,
    ) -> None:
        names = set(learner.contract.action_names)
        if odd := sorted(names ^ {str(name) for name in strategies}):
            raise StrategyError(
                f"{learner.contract.name} needs one strategy for each of its actions "
                f"({', '.join(learner.contract.action_names)}); missing or unknown: {', '.join(odd)}"
            )
        if not decide_seconds > 0.0:
            raise ConfigError(f"decide_seconds is above 0, not {decide_seconds}")
        self.counters = AgentCounters()
        self._learner = learner
        self._strategies = {str(name): strategy for name, strategy in strategies.items()}
        self._assess = assess
        self._journal = journal
        self._decide_seconds = decide_seconds
        self._is_strict = is_strict

    @property
    def learner(self) -> Learner:
        """Decides and learns for this agent."""
        return self._learner

    def begin_episode(self) -> Episode:
        """Return a new episode, for tasks that follow from each other."""
        return self._learner.begin_episode()

    async def execute_with_learning(self, task: QETask, episode: Episode | None = None) -> TaskResult[Any]:
        """Do a task with the strategy decided on, and learn from what came of it.

        Returns once the outcome is durable, or it is known that it will not be. Whatever the strategy raises
        is raised, after its failure was learned from. A task that is cancelled is not learned from.

        Args:
            task: what to do.
            episode: the episode it is a step of; None for a task of its own.
        """
        self.counters.tasks += 1
        step = await self._begun(task, episode or self._learner.begin_episode())
        try:
            value = await _run(self._strategies[step.action], task)
        except Exception:
            self.counters.failed_tasks += 1
            await self._learn(step, task, lambda: FAILED)
            raise
        await self._learn(step, task, lambda: self._assess(task, value))
        if self._is_strict and step.error is not None:
            raise step.error
        return TaskResult(
            *(task, step.action, value, step.is_baseline, step.decision),
            *(step.learning, step.acknowledgement, step.error),
        )

    async def resume(
        self, journal: FileJournal, redo: Callable[[DecisionToken], Awaitable[Outcome] | None] = abandon
    ) -> int:
        """Finish what earlier processes of this agent left open; return how many outcomes are durable.

        An outcome that was noted is recorded, unless it was already. A decision whose work was not finished
        is done again, if ``redo`` does that, with the action that was decided on; or abandoned.

        Args:
            journal: the notes of the earlier process, which nobody else uses now.
            redo: given the token of a decision without an outcome, does its work and says what came of it, or
                returns None to abandon it.

        Raises: what ``redo`` raises; the decision stays in the notes then.
        """
        finished = 0
        for token, noted in list(journal.open.values()):
            outcome = noted
            if outcome is None:
                doing = redo(token)
                outcome = None if doing is None else await doing
                if outcome is not None:
                    journal.happened(token, outcome)
            finished += outcome is not None and await self._recovered(token, outcome, journal)
            if outcome is None:
                self.counters.abandoned += 1
                journal.settled(token)
        return finished

    async def _begun(self, task: QETask, episode: Episode) -> "_Step":
        """Decide within the time limit, or use the baseline."""
        step = _Step(str(self._learner.contract.baseline_action))
        try:
            async with asyncio.timeout(self._decide_seconds):
                step.decision = await self._learner.decide(task.context, episode)
        except Exception as error:
            self.counters.baselines += 1
            step.is_baseline = True
            self._complain(step, task, "was done with the baseline action", error)
            try:
                step.decision = self._learner.decide_baseline(task.context, episode)
            except Exception as also:
                self._complain(step, task, "cannot be learned from", also)
                return step
        step.action = step.decision.name
        try:
            step.token = self._learner.token(step.decision)
            if self._journal is not None:
                self._journal.decided(step.token)
        except Exception as error:
            self._complain(step, task, "was not noted", error)
        return step

    async def _learn(self, step: "_Step", task: QETask, assess: Callable[[], Outcome]) -> None:
        """Record what came of a step; whatever goes wrong is kept in it."""
        decision, token = step.decision, step.token
        if decision is None:
            self.counters.not_recorded += 1
            return
        try:
            outcome = assess()
            if self._journal is not None and token is not None:
                self._journal.happened(token, outcome)
            step.acknowledgement = await self._recorded(decision, token, outcome)
            step.learning = Learning.RECORDED
            self.counters.recorded += 1
            if self._journal is not None and token is not None:
                self._journal.settled(token)
        except Exception as error:
            if isinstance(error, OutcomeUnknownError):
                step.learning = Learning.UNKNOWN
                self.counters.unknown += 1
            elif step.learning is not Learning.RECORDED:
                self.counters.not_recorded += 1
            self._complain(step, task, "has an outcome that was not recorded as it should be", error)

    async def _recorded(
        self, decision: Decision, token: DecisionToken | None, outcome: Outcome
    ) -> Acknowledgement:
        try:
            return await self._learner.record(decision, outcome)
        except DecisionClaimedError:
            if token is None:
                raise
            return await self._learner.recover(token, outcome)

    async def _recovered(self, token: DecisionToken, outcome: Outcome, journal: Journal) -> bool:
        """Record the outcome of an earlier process's decision; return whether it is durable."""
        try:
            await self._learner.recover(token, outcome)
        except (DecisionError, FingerprintMismatchError, RewardError, StateError, StaleEpochError) as error:
            LOGGER.warning("decision %s is given up: %s", token.decision_id, error)
            self.counters.abandoned += 1
            journal.settled(token)
            return False
        except StoreError as error:
            LOGGER.warning("decision %s stays open: %s", token.decision_id, error)
            self.counters.unknown += 1
            return False
        self.counters.recovered += 1
        journal.settled(token)
        return True

    def _complain(self, step: "_Step", task: QETask, what: str, error: Exception) -> None:
        LOGGER.warning("%s: task %s %s: %r", self._learner.contract.name, task.task_id, what, error)
        if step.error is None:
            step.error = error


@dataclass(slots=True)
class _Step:
    """What is known of a task while it is done."""

    action: str
    decision: Decision | None = None
    token: DecisionToken | None = None
    is_baseline: bool = False
    learning: Learning = Learning.NOT_RECORDED
    acknowledgement: Acknowledgement | None = None
    error: Exception | None = None


async def _run(strategy: Strategy, task: QETask) -> Any:
    """Return what a strategy returns; a sync one runs in a thread, so that nobody else waits for it."""
    if inspect.iscoroutinefunction(strategy):
        return await strategy(task)
    value = await asyncio.to_thread(strategy, task)
    return await value if inspect.isawaitable(value) else value
