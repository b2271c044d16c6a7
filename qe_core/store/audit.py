"""What is in the log that should not be there, counted by the server.

What belongs here: the figures. What does not: judging them against an agent's contract (whoever knows it),
and preventing faults, which the log's own constraints do first.
"""

from dataclasses import dataclass

from qe_core.store.connection import Database
from qe_core.store.statements import STATEMENTS


@dataclass(frozen=True, slots=True)
class LogAudit:
    """Figures over one agent's experiences under one contract.

    Attributes:
        agent: the agent's name.
        fingerprint: the contract the experiences name.
        experiences: how many there are.
        last_experience_id: the highest number among them.
        lowest_state: of states and next states.
        highest_state: of states and next states.
        lowest_action: smallest action index.
        highest_action: largest action index.
        rewards_out_of_range: rewards outside [-100, 100] points or not a number.
        propensities_out_of_range: propensities outside (0, 1] or not a number.
        ambiguous_ends: experiences both terminated and truncated.
        repeated_steps: experiences whose step of their episode is in the log already.
        episodes_beyond_their_end: episodes with steps after the one that ended them.
    """

    agent: str
    fingerprint: str
    experiences: int
    last_experience_id: int
    lowest_state: int
    highest_state: int
    lowest_action: int
    highest_action: int
    rewards_out_of_range: int
    propensities_out_of_range: int
    ambiguous_ends: int
    repeated_steps: int
    episodes_beyond_their_end: int


async def audit_log(database: Database) -> list[LogAudit]:
    """Return the figures of the whole log, one entry for each agent and contract, in one consistent view."""
    async with database.snapshot() as connection:
        rows = await connection.fetch(STATEMENTS["audit_rows"])
        episodes = await connection.fetch(STATEMENTS["audit_episodes"])
    return [LogAudit(**{**row, **more}) for row, more in zip(rows, episodes, strict=True)]
