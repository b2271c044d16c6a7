"""Whether anything was lost or counted twice, judged from what the processes wrote down and what is stored.

What belongs here: reading diaries and database, comparing. What does not: making either (`player`, `run`).
"""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from tests.faults.place import ask

Step: TypeAlias = tuple[str, str, int]
"""Agent, episode, step."""

_LOG = "SELECT agent, episode, step FROM learning_experiences WHERE source = 'agent'"
_VISITS = """
    SELECT tables.name, sum(visited)::bigint FROM q_values
    JOIN q_tables AS tables USING (q_table_id), unnest(visits) AS visited
    WHERE tables.level = 'individual' GROUP BY tables.name
"""


@dataclass(frozen=True, slots=True)
class Diaries:
    """What the processes of all seats wrote down.

    Attributes:
        decided: every decision, with the seat and the life that took it.
        noted: those of which the note was written, so that somebody has to finish them. Work begins only
            after that: of the others, of processes killed in between, nothing was begun.
        acknowledged: every step somebody was told is durable.
    """

    decided: dict[Step, tuple[int, int]]
    noted: frozenset[Step]
    acknowledged: frozenset[Step]

    @classmethod
    def read(cls, folders: list[Path]) -> "Diaries":
        """Return what is in the folders of the seats, in their order."""
        decided: dict[Step, tuple[int, int]] = {}
        noted, acknowledged = set(), set()
        for number, folder in enumerate(folders):
            diary = folder / "diary"
            for line in diary.read_text().splitlines() if diary.exists() else ():
                match line.split():
                    case ["decided", life, agent, episode, step]:
                        decided[agent, episode, int(step)] = (number, int(life))
                    case ["noted", _, agent, episode, step]:
                        noted.add((agent, episode, int(step)))
                    case ["acknowledged", _, agent, episode, step]:
                        acknowledged.add((agent, episode, int(step)))
        return cls(decided, frozenset(noted), frozenset(acknowledged))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found; every count is to be 0 but the first three.

    Attributes:
        experiences: in the log.
        acknowledged: of them.
        not_begun: decisions of processes that were killed before they had noted them.
        lost: acknowledged and not in the log.
        doubled: in the log more than once.
        unfinished: noted by a process that was replaced, and in the log nowhere.
        invented: in the log and decided by nobody.
        visits_off: visits more or fewer than experiences, over all agents.
    """

    experiences: int
    acknowledged: int
    not_begun: int
    lost: int
    doubled: int
    unfinished: int
    invented: int
    visits_off: int

    @property
    def is_clean(self) -> bool:
        """Whether nothing is wrong."""
        return not any((self.lost, self.doubled, self.unfinished, self.invented, self.visits_off))


def judge(
    diaries: Diaries, log: list[Step], visits: dict[str, int], zombies: set[tuple[int, int]]
) -> Verdict:
    """Return the verdict.

    Args:
        diaries: of all processes.
        log: every experience stored.
        visits: by agent.
        zombies: (seat, life) that went on after they had been replaced: nobody finishes what they began then.
    """
    times = Counter(log)
    of_agent = Counter(agent for agent, _, _ in log)
    nowhere = [step for step, life in diaries.decided.items() if step not in times and life not in zombies]
    unfinished = [step for step in nowhere if step in diaries.noted]
    return Verdict(
        experiences=len(log),
        acknowledged=len(diaries.acknowledged),
        not_begun=len(nowhere) - len(unfinished),
        lost=len(diaries.acknowledged - times.keys()),
        doubled=sum(count - 1 for count in times.values()),
        unfinished=len(unfinished),
        invented=len(times.keys() - diaries.decided.keys()),
        visits_off=sum(
            abs(of_agent[agent] - visits.get(agent, 0)) for agent in of_agent.keys() | visits.keys()
        ),
    )


def stored(url: str) -> tuple[list[Step], dict[str, int]]:
    """Return every experience agents recorded, and the visits by agent."""
    log = [(agent, episode, step) for agent, episode, step in ask(url, _LOG)]
    return log, {agent: int(visits) for agent, visits in ask(url, _VISITS) if visits}
