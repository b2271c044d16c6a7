"""What the agents of a process were doing when it was hit, as its diary tells.

What belongs here: reading the last lines of a diary. What does not: judging what is stored (`verdict`).
"""

from collections import Counter
from enum import StrEnum
from pathlib import Path

from tests.faults_agents.player import Seat


class Phase(StrEnum):
    """Where in its loop an agent was."""

    RECOVERING = "finishing what the process before it left open"
    DECIDING = "between an acknowledged outcome and the note of the next decision"
    WORKING = "between the note of a decision and its outcome"
    RECORDING = "between an outcome and its acknowledgement"


_AFTER = {
    "decided": Phase.DECIDING,
    "noted": Phase.WORKING,
    "happened": Phase.RECORDING,
    "acknowledged": Phase.DECIDING,
}


def phases(diary: Path, seat: Seat) -> Counter[Phase]:
    """Return how many agents of the present process of a seat were where, one count for each agent."""
    where = dict.fromkeys(seat.agents, Phase.RECOVERING)
    for line in diary.read_text().splitlines():
        match line.split():
            case ["resumed", life, agent] if int(life) == seat.life:
                where[agent] = Phase.DECIDING
            case [happened, life, agent, _, _] if int(life) == seat.life:
                if where[agent] is not Phase.RECOVERING:
                    where[agent] = _AFTER[happened]
            case _:
                pass
    return Counter(where.values())
