"""What the diaries, the database and the webhook's receiver say together: from harm to safe.

What belongs here: adding up. What does not: playing, and asking the product's own code: tables are read by
plain SQL.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.place import ask
from tests.rollback_drill.player import LIVE_TABLE
from tests.rollback_drill.policies import Poisoned

_EVENTS = """
    SELECT e.agent, extract(epoch FROM e.happened_at)::float8, e.trigger, e.evidence::text, e.to_version,
        e.epoch_before, coalesce(sum(r.updates), 0)::int, e.stopped_test
    FROM rollback_events AS e
    LEFT JOIN refused_flushes AS r ON r.q_table_id = e.q_table_id AND r.epoch = e.epoch_before
    GROUP BY e.rollback_id ORDER BY e.rollback_id
"""


@dataclass(frozen=True, slots=True)
class Decided:
    """One decision, as its process noted it.

    Attributes:
        at: Unix time.
        episode: the task, unique within the agent.
        version: the policy version it followed, `LIVE_TABLE` for none.
        epoch: of the agent's table when the task was given that policy.
        process: that decided.
    """

    at: float
    episode: str
    version: int
    epoch: int
    process: int


@dataclass(frozen=True, slots=True)
class Diaries:
    """What all processes noted.

    Attributes:
        decisions: by agent, in the order of time.
        refused: how many outcomes were refused, by agent.
        returns: (Unix time, episode, return in points) of ended tasks, by agent, in the order of time.
    """

    decisions: Mapping[str, Sequence[Decided]]
    refused: Mapping[str, int]
    returns: Mapping[str, Sequence[tuple[float, str, float]]]

    @classmethod
    def read(cls, folder: Path) -> "Diaries":
        """Return what is in the diaries now; a line that is being written is left out."""
        decisions: dict[str, list[Decided]] = defaultdict(list)
        returns: dict[str, list[tuple[float, str, float]]] = defaultdict(list)
        refused: dict[str, int] = defaultdict(int)
        for diary in sorted(folder.glob("diary-*")):
            process = int(diary.name.removeprefix("diary-"))
            for line in diary.read_text(encoding="utf-8").splitlines(keepends=True):
                if not line.endswith("\n"):
                    continue
                match line.split():
                    case ["decided", at, agent, episode, version, epoch]:
                        decisions[agent].append(
                            Decided(float(at), episode, int(version), int(epoch), process)
                        )
                    case ["refused", _, agent]:
                        refused[agent] += 1
                    case ["ended", at, agent, episode, points]:
                        returns[agent].append((float(at), episode, float(points)))
        return cls(
            {agent: sorted(found, key=lambda one: one.at) for agent, found in decisions.items()},
            dict(refused),
            {agent: sorted(found) for agent, found in returns.items()},
        )


@dataclass(frozen=True, slots=True)
class Recovery:
    """How one agent was harmed and made safe again; times are Unix times.

    Attributes:
        agent: its name.
        mode: learning or serving.
        poisoned_at: the bad policy was about to be put in place.
        first_harm_at: the first decision by it.
        rolled_back_at: the rollback's transaction.
        safe_at: the last decision by it, in whichever process.
        alert_at: the alert was received.
        tasks_harmed: tasks with a decision by it.
        processes: that decided by the restored policy afterwards.
        updates_refused: in flight when the policy was taken back, as stored.
        outcomes_refused: the same, as the processes noted.
        reason: why it was rolled back, in the words of the evidence.
        is_restored: whether the version gone back to is the good one.
    """

    agent: str
    mode: str
    poisoned_at: float
    first_harm_at: float
    rolled_back_at: float
    safe_at: float
    alert_at: float
    tasks_harmed: int
    processes: int
    updates_refused: int
    outcomes_refused: int
    reason: str
    is_restored: bool

    @property
    def harm_to_safe_seconds(self) -> float:
        """From the first decision by the bad policy to the last one."""
        return self.safe_at - self.first_harm_at


def rolled_back_agents(url: str) -> set[str]:
    """Return the agents of which a rollback is stored."""
    return {agent for (agent,) in ask(url, "SELECT DISTINCT agent FROM rollback_events")}


def recoveries(
    url: str,
    diaries: Diaries,
    poisoned: Mapping[str, tuple[Poisoned, float]],
    alerts: Sequence[tuple[float, Mapping[str, Any]]],
) -> list[Recovery]:
    """Return what happened to each poisoned agent.

    Args:
        url: of the database.
        diaries: of all processes.
        poisoned: what was done to each agent, and when.
        alerts: what the webhook received, each with the Unix time.
    """
    return [
        _recovery(line, diaries, *poisoned[line[0]], alerts)
        for line in ask(url, _EVENTS)
        if line[0] in poisoned
    ]


def is_harmed(one: Decided, what: Poisoned, poisoned_at: float, epoch_before: int) -> bool:
    """Return whether a decision followed the bad policy."""
    if what.bad is not None:
        return one.version == what.bad
    return one.version == LIVE_TABLE and one.epoch <= epoch_before and one.at >= poisoned_at


def _recovery(
    line: tuple[Any, ...],
    diaries: Diaries,
    what: Poisoned,
    poisoned_at: float,
    alerts: Sequence[tuple[float, Mapping[str, Any]]],
) -> Recovery:
    agent, rolled_back_at, trigger, evidence, to_version, epoch_before, refused, _ = line
    decisions = diaries.decisions[agent]
    harmed = [one for one in decisions if is_harmed(one, what, poisoned_at, epoch_before)]
    after = {one.process for one in decisions if one.at > harmed[-1].at}
    told = [
        at for at, body in alerts
        if (body["event"], body["alert"]["kind"], body["alert"]["subject"])
        == ("opened", "policy-rolled-back", agent)
    ]  # fmt: skip
    return Recovery(
        agent=agent,
        mode=what.mode,
        poisoned_at=poisoned_at,
        first_harm_at=harmed[0].at,
        rolled_back_at=rolled_back_at,
        safe_at=harmed[-1].at,
        alert_at=min(told, default=float("nan")),
        tasks_harmed=len({one.episode for one in harmed}),
        processes=len(after),
        updates_refused=refused,
        outcomes_refused=diaries.refused.get(agent, 0),
        reason=f"{trigger}: {json.loads(evidence)['reason']}",
        is_restored=to_version == what.good,
    )
