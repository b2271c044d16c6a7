"""Decisions whose outcomes are awaited in this process: each good for one outcome, while it is young.

What belongs here: remembering, taking out, giving back, forgetting. What does not: deciding and recording
(`learner`), and decisions of other processes (`recovery`).
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from qe_core.errors import ConfigError
from qe_core.runtime.decisions import Decision
from qe_core.runtime.episodes import Episode
from qe_core.runtime.errors import AlreadyRecordedError, DecisionError, DecisionExpiredError
from qe_core.runtime.tokens import DecisionToken
from qe_core.store import TableHandle
from qe_core.store.identity import Identity

DECISIONS_REMEMBERED = 100_000
"""Decisions whose outcomes are awaited; beyond that the oldest is forgotten, and counted."""

DECISION_LIFE = timedelta(days=1)
"""How long the outcome of a decision may take, unless said otherwise."""

LONGEST_DECISION_LIFE = timedelta(days=30)
"""The longest that may be said; the store remembers claimed decisions for twice as long."""


class Awaited(NamedTuple):
    """A decision whose outcome is awaited.

    Attributes:
        handle: of the agent's table when it was taken.
        version: one that table had then.
        episode: it belongs to.
        decided_at: when.
    """

    handle: TableHandle
    version: int
    episode: Episode
    decided_at: datetime


class AwaitedDecisions:
    """The decisions of one learner whose outcomes are awaited.

    Args:
        agent: whose.
        life: how long an outcome may take.
        identity: whose the experiences are.

    Attributes:
        forgotten: how many were forgotten because they expired or were too many.
    """

    def __init__(self, agent: str, life: timedelta, identity: Identity) -> None:
        self._agent = agent
        self._identity = identity
        self._life = life
        self._awaited: dict[str, Awaited] = {}
        self.forgotten = 0

    def add(self, decision_id: str, awaited: Awaited) -> None:
        """Await one more; the oldest is forgotten where it expired or where there are too many."""
        while self._awaited:
            oldest = next(iter(self._awaited))
            is_expired = awaited.decided_at - self._awaited[oldest].decided_at > self._life
            if not is_expired and len(self._awaited) < DECISIONS_REMEMBERED:
                break
            del self._awaited[oldest]
            self.forgotten += 1
        self._awaited[decision_id] = awaited

    def token(self, decision: Decision) -> DecisionToken:
        """Return the token of a decision.

        Raises:
            AlreadyRecordedError: its outcome is not awaited here.
        """
        of = self._awaited.get(decision.decision_id)
        if of is None:
            raise self._unknown(decision.decision_id)
        return DecisionToken.of(
            *(decision, of.handle, of.version, of.decided_at, of.episode.total_reward, self._identity)
        )

    def take(self, decision_ids: Sequence[str], now: datetime) -> list[Awaited]:
        """Take decisions out, all or none.

        Args:
            decision_ids: at least one.
            now: the present, aware.

        Raises:
            AlreadyRecordedError: one is not awaited, or is given twice.
            DecisionExpiredError: one is too old.
            DecisionError: there are none, or from before and after the table was restored.
        """
        if not decision_ids:
            raise DecisionError("there is nothing to record; give at least one decision and its outcome")
        seen = set[str]()
        for decision_id in decision_ids:
            if decision_id not in self._awaited or decision_id in seen:
                raise self._unknown(decision_id)
            seen.add(decision_id)
            check_age(decision_id, self._awaited[decision_id].decided_at, self._life, now)
        if len({self._awaited[decision_id].handle.epoch for decision_id in decision_ids}) > 1:
            raise DecisionError(
                "some of these decisions were taken before the table was restored and some after; "
                "record them one by one"
            )
        return [self._awaited.pop(decision_id) for decision_id in decision_ids]

    def give_back(self, decision_id: str, awaited: Awaited) -> None:
        """Await a decision that was taken out again."""
        self._awaited[decision_id] = awaited

    def drop(self, decision_id: str) -> None:
        """Await a decision no longer, if it was."""
        self._awaited.pop(decision_id, None)

    def _unknown(self, decision_id: str) -> AlreadyRecordedError:
        return AlreadyRecordedError(
            f"no outcome is awaited for decision {decision_id} of {self._agent}: it was recorded before, is "
            "another learner's, or was forgotten among too many; record each decision once, and recover() "
            "those of other processes"
        )


def check_life(life: timedelta, kept_days: int) -> None:
    """Do nothing if outcomes may take so long.

    Args:
        life: of a decision.
        kept_days: days experiences stay in the log, where recovery looks for them.

    Raises:
        ConfigError: they may not.
    """
    longest = min(LONGEST_DECISION_LIFE, timedelta(days=kept_days))
    if not timedelta(0) < life <= longest:
        raise ConfigError(f"an outcome may take more than nothing and at most {longest}, not {life}")


def check_age(decision_id: str, decided_at: datetime, life: timedelta, now: datetime) -> None:
    """Do nothing if the outcome of a decision may still be recorded.

    Args:
        decision_id: whose outcome.
        decided_at: when it was taken, aware.
        life: how long its outcome may take.
        now: the present, aware.

    Raises:
        DecisionExpiredError: it may not.
    """
    if now - decided_at > life:
        raise DecisionExpiredError(
            f"decision {decision_id} was taken at {decided_at.isoformat()}, and outcomes may take {life}: "
            "this one was not stored; decide afresh, or open the learner with a longer decision_life"
        )
