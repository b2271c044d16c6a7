"""Learning from decisions of processes that may have crashed, or may be about to record them as well.

What belongs here: whether a token may still be recorded, and what follows from its outcome. What does not:
counting it once, which is the store's (`qe_core.store.live.recovery`), and the ordinary way (`learner`).
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

from qe_core.errors import FingerprintMismatchError
from qe_core.fleet.contract import AgentContract
from qe_core.runtime.awaiting import check_age
from qe_core.runtime.episodes import Episode, Outcome
from qe_core.runtime.errors import DecisionError
from qe_core.runtime.steps import StepLearner
from qe_core.runtime.tokens import DecisionToken
from qe_core.store import TableHandle
from qe_core.store.live import Acknowledgement, Live
from qe_core.store.live.packing import check_single
from qe_core.store.live.recovery import Claim

_BEFORE = -1
"""Stands for the steps before the recovered one in the rewards of its episode."""


class Recovery:
    """Records outcomes by token for one agent.

    Args:
        live: the process's hot path.
        contract: the agent's.
        steps: computes what follows from an outcome.
        life: how long the outcome of a decision may take.
        clock: the present, aware.
    """

    def __init__(
        self,
        live: Live,
        contract: AgentContract,
        steps: StepLearner,
        life: timedelta,
        clock: Callable[[], datetime],
    ) -> None:
        self._live = live
        self._contract = contract
        self._steps = steps
        self._life = life
        self._clock = clock

    async def record(
        self, token: DecisionToken, outcome: Outcome, next_state: int
    ) -> tuple[Acknowledgement, float]:
        """Store an outcome once; return the acknowledgement and the return of its episode, points.

        Args:
            token: of the decision.
            outcome: what came of it; one that is not an end is taken as truncated.
            next_state: code of the state that followed, its own where none did.

        Raises: as `Learner.recover`.
        """
        contract = self._contract
        if (token.agent, token.fingerprint) != (contract.name, contract.fingerprint):
            raise FingerprintMismatchError(
                f"decision {token.decision_id} is one of {token.agent} under contract {token.fingerprint}, "
                f"not of {contract.name} under {contract.fingerprint}; recover it with the agent that took it"
            )
        if token.state >= contract.state_count or token.action >= contract.action_count:
            raise DecisionError(
                f"decision {token.decision_id} has a state or an action that {contract.name} does not have; "
                "its token was damaged, leave it out"
            )
        check_age(token.decision_id, token.decided_at, self._life, self._clock())
        ending = outcome if outcome.is_end else replace(outcome, truncated=True)
        ending.reward(contract.reward)
        handle = TableHandle(
            *(token.q_table_id, "individual", contract.name, contract.fingerprint, contract.state_count),
            *(contract.action_names, token.epoch, token.version),
        )
        claim = Claim(token.q_table_id, token.version, token.episode, token.step)
        recorded = await self._live.recovery.claim(claim)
        if recorded is not None:
            return recorded, token.return_before
        episode = Episode(token.episode, token.step + 1, {_BEFORE: token.return_before})
        table = self._live.reader.table(handle)
        [step] = await self._steps.prepare(table, [(token, ending, episode, next_state)], self._clock)
        check_single(handle, *step, self._clock())
        acknowledged = await self._live.recovery.store(claim, handle, *step, token.identity)
        return acknowledged, episode.total_reward
