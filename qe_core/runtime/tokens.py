"""A decision as a value that survives the process that took it.

What belongs here: what such a value holds, written and read. What does not: using it (`recovery`).
"""

from datetime import datetime
from typing import Annotated, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from qe_core.runtime.decisions import Decision
from qe_core.runtime.errors import DecisionError
from qe_core.store import TableHandle
from qe_core.store.identity import NOBODY, Identity

_Whole = Annotated[int, Field(ge=0)]
_Pseudonym = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]


class DecisionToken(BaseModel):
    """Everything needed to record the outcome of a decision, by anybody, once.

    It is trusted like the process that wrote it: keep it where only agents write.

    Attributes:
        agent: whose.
        fingerprint: the contract it was taken under.
        q_table_id: the table it was taken under.
        epoch: the fencing epoch it was taken under.
        version: one the table had when it was taken.
        episode: the name of the episode it belongs to.
        step: its position in the episode, from 0.
        state: code of the state it was taken in.
        action: index of the chosen action.
        name: the chosen action's name.
        propensity: the probability with which it was chosen, in (0, 1].
        exploration_rate: of this decision, in [0, 1].
        return_before: undiscounted sum of the rewards its episode had then, points.
        decided_at: when.
        policy_version: the frozen version followed, if any.
        developer: pseudonym of whom the process that took it works for, if it was said.
        project: pseudonym of what it works on, if it was said.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    agent: str
    fingerprint: str
    q_table_id: _Whole
    epoch: _Whole
    version: _Whole
    episode: Annotated[str, Field(min_length=1)]
    step: _Whole
    state: _Whole
    action: _Whole
    name: str
    propensity: Annotated[float, Field(gt=0.0, le=1.0)]
    exploration_rate: Annotated[float, Field(ge=0.0, le=1.0)]
    return_before: Annotated[float, Field(allow_inf_nan=False)]
    decided_at: AwareDatetime
    policy_version: _Whole | None = None
    developer: _Pseudonym | None = None
    project: _Pseudonym | None = None

    @property
    def decision_id(self) -> str:
        """The number of the decision."""
        return f"{self.episode}-{self.step}"

    @property
    def identity(self) -> Identity:
        """Whose the experience is, whoever records it."""
        return Identity(self.developer, self.project)

    @classmethod
    def of(
        cls,
        decision: Decision,
        handle: TableHandle,
        version: int,
        decided_at: datetime,
        return_before: float,
        identity: Identity = NOBODY,
    ) -> Self:
        """Return the token of a decision.

        Args:
            decision: the decision.
            handle: of the agent's table, as it was then.
            version: one that table had then.
            decided_at: when, aware.
            return_before: rewards of its episode until then, points.
            identity: whose the experience is.
        """
        return cls(
            agent=decision.agent,
            fingerprint=handle.fingerprint,
            q_table_id=handle.q_table_id,
            epoch=handle.epoch,
            version=version,
            episode=decision.episode,
            step=decision.step,
            state=decision.state,
            action=decision.action,
            name=decision.name,
            propensity=decision.propensity,
            exploration_rate=decision.exploration_rate,
            return_before=return_before,
            decided_at=decided_at,
            policy_version=decision.policy_version,
            developer=identity.developer,
            project=identity.project,
        )

    def to_json(self) -> str:
        """Return the token as one line of JSON."""
        return self.model_dump_json()

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Return the token that was written.

        Raises:
            DecisionError: this is not a token.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise DecisionError(
                f"this is not the token of a decision, or only a part of one: {error}; leave it out"
            ) from error
