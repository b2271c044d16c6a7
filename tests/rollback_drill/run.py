"""One drill: agents at work, their policies poisoned, and what it takes until nobody follows a bad one.

What belongs here: the order of events. What does not: who notices and rolls back (a deployment's daemon, or
ticks in the short form), and adding up (`timeline`).
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from qe_core.fleet import AgentContract, registry
from qe_core.store import Store
from qe_core.store.policies import Mode
from tests.receiving import Receiver
from tests.rollback_drill.nursery import begun
from tests.rollback_drill.player import ENOUGH, Crew, occupy
from tests.rollback_drill.policies import Poisoned, poison, prepare
from tests.rollback_drill.timeline import Diaries, Recovery, recoveries, rolled_back_agents

SETTLE_SECONDS = 3.0
"""How long everybody goes on afterwards: whoever still follows a bad policy shows."""

ENDING_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Plan:
    """What a drill is made of.

    Attributes:
        seed: of all tasks.
        agents: names; the first, third … serve a promoted version, the others their live table.
        processes: at once.
        tasks: at work at once, of each agent in each process.
        work_seconds: a step of a task takes at most.
        healthy_tasks: each agent finishes before it is poisoned.
        patience_seconds: for each part of the drill.
    """

    seed: int
    agents: tuple[str, ...]
    processes: int
    tasks: int
    work_seconds: float
    healthy_tasks: int
    patience_seconds: float

    @property
    def tasks_at_once(self) -> int:
        """Tasks at work at once, of all agents in all processes."""
        return self.processes * len(self.agents) * self.tasks

    def mode(self, agent: str) -> Mode:
        """Return whether an agent serves a promoted version or follows its live table."""
        return Mode.SERVING if self.agents.index(agent) % 2 == 0 else Mode.LEARNING


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a drill.

    Attributes:
        plan: what it was made of.
        recoveries: of every poisoned agent that was rolled back.
        false_alarms: agents rolled back before they were poisoned.
        tasks_finished: by all agents.
        errors: what processes complained about.
    """

    plan: Plan
    recoveries: tuple[Recovery, ...]
    false_alarms: tuple[str, ...]
    tasks_finished: int
    errors: str

    @property
    def is_safe(self) -> bool:
        """Whether every agent was brought back to its good policy, told of, and fenced."""
        return (
            {one.agent for one in self.recoveries} == set(self.plan.agents)
            and not self.false_alarms
            and not self.errors
            and all(
                one.is_restored
                and one.alert_at >= one.rolled_back_at
                and one.processes == self.plan.processes
                and one.updates_refused == one.outcomes_refused > 0
                for one in self.recoveries
            )
        )


def drill(
    plan: Plan,
    url: str,
    folder: Path,
    receiver: Receiver,
    wait: Callable[[], None],
    say: Callable[[str], None] = lambda _: None,
) -> Result:
    """Return what came of a plan.

    Args:
        plan: what is to happen.
        url: of a migrated database without policies.
        folder: empty, for the diaries.
        receiver: where alerts arrive.
        wait: called again and again while the drill waits; what watches may do its work there.
        say: told how far it is.
    """
    contracts = {name: registry().get(name) for name in plan.agents}
    good = asyncio.run(_prepared(url, plan, contracts))
    crews = [
        Crew(url, str(folder), number, plan.agents, plan.tasks, plan.work_seconds, plan.seed)
        for number in range(plan.processes)
    ]
    processes = [begun(occupy, crew) for crew in crews]
    try:
        say(
            f"{plan.tasks_at_once} tasks at work; waiting for {plan.healthy_tasks} healthy ones of each agent"
        )
        _until(lambda: _least_finished(folder, plan) >= plan.healthy_tasks, plan, wait, processes)
        false_alarms = tuple(sorted(rolled_back_agents(url)))
        poisoned = asyncio.run(_poisoned(url, plan, contracts, good))
        say(f"{len(poisoned)} agents poisoned; waiting for the watch")
        _until(lambda: rolled_back_agents(url) >= set(plan.agents), plan, wait, processes)
        say("rolled back; everybody goes on for a while")
        settled_at = time.monotonic() + SETTLE_SECONDS
        _until(
            lambda: time.monotonic() >= settled_at and len(_opened(receiver)) >= len(plan.agents),
            plan, wait, processes,
        )  # fmt: skip
    finally:
        (folder / ENOUGH).touch()
        for process in processes:
            process.join(ENDING_SECONDS)
            process.kill()
            process.join()
    diaries = Diaries.read(folder)
    return Result(
        plan,
        tuple(
            recoveries(
                url, diaries, poisoned, list(zip(receiver.received_at, _bodies(receiver), strict=True))
            )
        ),
        false_alarms,
        sum(map(len, diaries.returns.values())),
        "".join(file.read_text() for file in sorted(folder.glob("errors-*"))),
    )


async def _prepared(url: str, plan: Plan, contracts: Mapping[str, AgentContract]) -> dict[str, int]:
    """Give every agent the best policy; return the versions."""
    async with Store.connect(url, pool_size=2) as store:
        return {name: await prepare(store, one, plan.mode(name)) for name, one in contracts.items()}


async def _poisoned(
    url: str, plan: Plan, contracts: Mapping[str, AgentContract], good: Mapping[str, int]
) -> dict[str, tuple[Poisoned, float]]:
    """Poison every agent; return what was done to each, and when."""
    async with Store.connect(url, pool_size=2) as store:
        found = {}
        for name, contract in contracts.items():
            begun_at = time.time()
            found[name] = await poison(store, contract, plan.mode(name), good[name]), begun_at
        return found


def _until(
    is_so: Callable[[], bool], plan: Plan, wait: Callable[[], None], processes: Sequence[BaseProcess]
) -> None:
    """Wait until something is so.

    Raises:
        AssertionError: it is not so in time, or a process ended.
    """
    deadline = time.monotonic() + plan.patience_seconds
    while not is_so():
        wait()
        assert all(process.exitcode is None for process in processes), "a process of agents ended by itself"
        assert time.monotonic() < deadline, f"not within {plan.patience_seconds:.0f} s"


def _least_finished(folder: Path, plan: Plan) -> int:
    """Return how many tasks the agent with the fewest has finished."""
    returns = Diaries.read(folder).returns
    return min(len(returns.get(agent, ())) for agent in plan.agents)


def _bodies(receiver: Receiver) -> list[Any]:
    """Return what was posted, in the order of arrival."""
    return [body for _, _, body in receiver.received]


def _opened(receiver: Receiver) -> set[str]:
    """Return the agents of which an opened rollback alert arrived."""
    alerts = [body["alert"] for body in _bodies(receiver) if body["event"] == "opened"]
    return {alert["subject"] for alert in alerts if alert["kind"] == "policy-rolled-back"}
