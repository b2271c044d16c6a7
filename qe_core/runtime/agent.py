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
from uuid import uuid4

from qe_core.errors import ConfigError, FingerprintMismatchError, RewardError, StateError, StoreError
from qe_core.fleet.contract import AgentContract
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

RECORD_SECONDS = 5.0
"""How long a result waits for its outcome to be durable."""


@dataclass(slots=True)
class AgentCounters:
    """What an agent has met.

    Attributes:
        tasks: begun.
        failed_tasks: whose strategy raised.
        baselines: done with the baseline action because no decision was possible.
        recorded: outcomes that are durable.
        not_recorded: tasks nothing was learned from.
        unknown: outcomes nothing was heard of in time.
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
        learner: decides and learns; or the agent's contract where there is none because the database could
            not be reached: tasks are done with the baseline until `learn_with`.
        strategies: how to do a task, one for each action of the agent's contract, by the action's name.
        assess: makes an outcome of what a strategy returned.
        journal: notes open decisions, so that a process after this one can finish them; None notes nothing.
        decide_seconds: how long work waits for a decision, above 0.
        record_seconds: how long a result waits for its outcome to be durable, above 0; it is stored all the
            same if the database comes back before the deadline of the hot path.
        is_strict: raise what goes wrong with learning after the work is done; for tests.

    Attributes:
        contract: the agent's.
        counters: what has been met.

    Raises:
        StrategyError: an action has no strategy, or a strategy no action.
        ConfigError: a time limit is not positive.
    """

    def __init__(
        self,
        learner: Learner | AgentContract,
        strategies: Mapping[str, Strategy],
        *,
        assess: Assess = outcome_of,
        journal: Journal | None = None,
        decide_seconds: float = DECIDE_SECONDS,
        record_seconds: float = RECORD_SECONDS,
        is_strict: bool = False,
    ) -> None:
        contract = learner.contract if isinstance(learner, Learner) else learner
        names = set(contract.action_names)
        if odd := sorted(names ^ {str(name) for name in strategies}):
            raise StrategyError(
                f"{contract.name} needs one strategy for each of its actions "
                f"({', '.join(contract.action_names)}); missing or unknown: {', '.join(odd)}"
            )
        for name, seconds in (("decide_seconds", decide_seconds), ("record_seconds", record_seconds)):
            if not seconds > 0.0:
                raise ConfigError(f"{name} is above 0, not {seconds}")
        self.contract = contract
        self.counters = AgentCounters()
        self._learner = learner if isinstance(learner, Learner) else None
        self._strategies = {str(name): strategy for name, strategy in strategies.items()}
        self._assess = assess
        self._journal = journal
        self._decide_seconds = decide_seconds
        self._record_seconds = record_seconds
        self._is_strict = is_strict

    def learn_with(self, learner: Learner) -> None:
        """Decide and learn with a learner from now on, in place of the one there was, or of none.

        Raises:
            StrategyError: it is another agent's.
        """
        if learner.contract.fingerprint != self.contract.fingerprint:
            raise StrategyError(f"this is {self.contract.name}; give it a learner of its own contract")
        self._learner = learner

    def begin_episode(self, unit: str | None = None) -> Episode:
        """Return a new episode, for tasks that follow from each other; see `Learner.begin_episode`."""
        return Episode(uuid4().hex, unit=unit) if self._learner is None else self._learner.begin_episode(unit)

    async def execute_with_learning(self, task: QETask, episode: Episode | None = None) -> TaskResult[Any]:
        """Do a task with the strategy decided on, and learn from what came of it.

        Returns once the outcome is durable, or it is known that it will not be. Whatever the strategy raises
        is raised, after its failure was learned from. A task that is cancelled is not learned from.

        Args:
            task: what to do.
            episode: the episode it is a step of; None for a task of its own.
        """
        self.counters.tasks += 1
        step = await self._begun(task, episode or self.begin_episode(task.unit))
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
        learner = self._learner
        if learner is None:
            return 0
        finished = 0
        for token, noted in list(journal.open.values()):
            outcome = noted
            if outcome is None:
                doing = redo(token)
                outcome = None if doing is None else await doing
                if outcome is not None:
                    journal.happened(token, outcome)
            finished += outcome is not None and await self._recovered(learner, token, outcome, journal)
            if outcome is None:
                self.counters.abandoned += 1
                journal.settled(token)
        return finished

    async def _begun(self, task: QETask, episode: Episode) -> "_Step":
        """Decide within the time limit, or use the baseline."""
        step = _Step(str(self.contract.baseline_action), self._learner)
        learner = step.learner
        if learner is None:
            self.counters.baselines += 1
            missing = DecisionError(
                "there is no learner, because the database could not be reached when this agent was made; "
                "give it one with learn_with()"
            )
            self._complain(step, task, "was done with the baseline action", missing)
            return step
        try:
            async with asyncio.timeout(self._decide_seconds):
                step.decision = await learner.decide(task.context, episode)
            step.is_baseline = False
        except Exception as error:
            self.counters.baselines += 1
            self._complain(step, task, "was done with the baseline action", error)
            try:
                step.decision = learner.decide_baseline(task.context, episode)
            except Exception as also:
                self._complain(step, task, "cannot be learned from", also)
                return step
        step.action = step.decision.name
        try:
            step.token = learner.token(step.decision)
        except Exception as error:
            self._complain(step, task, "cannot be recovered after a crash", error)
        self._note(step, lambda journal, token: journal.decided(token))
        return step

    async def _learn(self, step: "_Step", task: QETask, assess: Callable[[], Outcome]) -> None:
        """Record what came of a step; whatever goes wrong is kept in it."""
        if step.learner is None or step.decision is None:
            self.counters.not_recorded += 1
            return
        try:
            outcome = assess()
        except Exception as error:
            self.counters.not_recorded += 1
            self._complain(step, task, "has a result that says nothing", error)
            self._note(step, lambda journal, token: journal.settled(token))
            return
        self._note(step, lambda journal, token: journal.happened(token, outcome))
        is_settled = True
        try:
            async with asyncio.timeout(self._record_seconds):
                step.acknowledgement = await _recorded(step.learner, step.decision, step.token, outcome)
            step.learning = Learning.RECORDED
            self.counters.recorded += 1
        except (OutcomeUnknownError, TimeoutError) as error:
            is_settled = False
            step.learning = Learning.UNKNOWN
            self.counters.unknown += 1
            self._complain(step, task, "has an outcome nothing was heard of in time", error)
        except Exception as error:
            # What the database could not take stays in the notes, to be recorded when it is back.
            is_settled = isinstance(error, StaleEpochError) or not isinstance(error, StoreError)
            self.counters.not_recorded += 1
            self._complain(step, task, "has an outcome that was not recorded", error)
        if is_settled:
            self._note(step, lambda journal, token: journal.settled(token))

    def _note(self, step: "_Step", write: Callable[[Journal, DecisionToken], None]) -> None:
        """Write to the notes; without them the work goes on and the outcome is recorded all the same."""
        if self._journal is None or step.token is None:
            return
        try:
            write(self._journal, step.token)
        except Exception as error:
            LOGGER.warning("%s: %s was not noted: %r", self.contract.name, step.token.decision_id, error)
            step.error = step.error or error

    async def _recovered(
        self, learner: Learner, token: DecisionToken, outcome: Outcome, journal: Journal
    ) -> bool:
        """Record the outcome of an earlier process's decision; return whether it is durable."""
        try:
            await learner.recover(token, outcome)
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
        LOGGER.warning("%s: task %s %s: %r", self.contract.name, task.task_id, what, error)
        step.error = step.error or error


@dataclass(slots=True)
class _Step:
    """What is known of a task while it is done."""

    action: str
    learner: Learner | None
    is_baseline: bool = True
    decision: Decision | None = None
    token: DecisionToken | None = None
    learning: Learning = Learning.NOT_RECORDED
    acknowledgement: Acknowledgement | None = None
    error: Exception | None = None


async def _recorded(
    learner: Learner, decision: Decision, token: DecisionToken | None, outcome: Outcome
) -> Acknowledgement:
    """Record an outcome, or find out what another process that took the decision over made of it."""
    try:
        return await learner.record(decision, outcome)
    except DecisionClaimedError:
        if token is None:
            raise
        return await learner.recover(token, outcome)


async def _run(strategy: Strategy, task: QETask) -> Any:
    """Return what a strategy returns; a sync one runs in a thread, so that nobody else waits for it."""
    if inspect.iscoroutinefunction(strategy):
        return await strategy(task)
    value = await asyncio.to_thread(strategy, task)
    return await value if inspect.isawaitable(value) else value
