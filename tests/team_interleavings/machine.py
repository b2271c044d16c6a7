"""Four contributors and a server, in any order of learning, pushing, pulling, opting out, cuts and kills.

What belongs here: the rules, and what must hold after each of them. What does not: what should be there
(`model`), dying (`dying`).
"""

import asyncio
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from itertools import count
from typing import Any
from unittest import mock

import numpy as np
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from qe_core.fleet import registry
from qe_core.privacy.statistics import AgentStatistics
from qe_core.privacy.wire import decode
from qe_core.runtime.rebuilding import rebuild
from qe_core.runtime.table_declarations import individual_table
from qe_core.runtime.team import building
from qe_core.runtime.team.privacy_manager import PrivacyManager
from qe_core.runtime.team.reports import PushReport
from qe_core.store import Store
from qe_core.store.central import TeamCuration
from qe_core.store.server import EmbeddedServer
from qe_core.store.team import OptOutKind, PulledTable
from tests.conftest import TEMPLATE, execute
from tests.integration.runtime.team.nursery import (
    AGENTS,
    FLEET,
    Contributor,
    founded,
    sharing,
    tasks,
)
from tests.team_interleavings.contents import (
    append_rows,
    fetched_rows,
    last_step,
    nonzero_cells,
    steps_of,
    stored_parts,
    table_content,
    tables_held,
)
from tests.team_interleavings.dying import MOMENTS, Act, acted, killed
from tests.team_interleavings.model import Member, Task

SIZE = 4
EVERY_ROW = "SELECT line::text FROM team.{} AS line ORDER BY 1"
NOWHERE = "postgresql://nobody:x@/qe?host=/nonexistent"
CLOSING_TASKS = 8
"""What everybody learns before the end, so that there is something to agree about."""

who = st.integers(0, SIZE - 1)
agents = st.sampled_from(AGENTS)
developers = st.sampled_from([None, "ann", "bob"])
_numbers = count()


class Team(RuleBasedStateMachine):
    """A team whose members do anything in any order, beside a plain model of what is true of it."""

    server: EmbeddedServer
    tally: Counter[str]
    is_killing = True

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.databases: list[str] = []
        self.cut: set[int] = set()
        self.members = [Member() for _ in range(SIZE)]
        self.exact: dict[int, Mapping[str, AgentStatistics]] = {}

    @initialize()
    def found(self) -> None:
        """Found the team, give everybody a database, and let everybody share something."""
        self.central = self._database()
        urls = self.runner.run(founded(self.central, SIZE))
        rules = sharing(privacy_epsilon_per_release=5.0)
        self.contributors = [
            Contributor(f"member-{number}", self._database(), url, rules) for number, url in enumerate(urls)
        ]
        for member in range(SIZE):
            self._learn(member, AGENTS[0], None, 3, is_finished=True)
            self._push(member)

    @rule(member=who, agent=agents, developer=developers, size=st.integers(1, 3), is_finished=st.booleans())
    def learn(self, member: int, agent: str, developer: str | None, size: int, is_finished: bool) -> None:
        """Let an agent finish, or only begin, some tasks."""
        self._learn(member, agent, developer, size, is_finished=is_finished)

    @rule(member=who)
    def finish(self, member: int) -> None:
        """Let the tasks that were begun end, with one step more."""
        for name, task in self.members[member].tasks.items():
            if not task.is_finished:
                contributor = self.contributors[member]
                rows = last_step(task, name)
                self.runner.run(append_rows(contributor, rows, task.developer))
                task.steps += steps_of(rows)
                task.is_finished = True

    @rule(member=who)
    def push(self, member: int) -> None:
        """Push, and once more: the second time nothing may change anywhere."""
        self._push(member)
        before = self._central_bytes()
        report = self._push(member)
        assert not report.sent
        assert not report.prepared.release_id
        assert self._central_bytes() == before

    @rule(member=who, again=st.booleans())
    def pull(self, member: int, again: bool) -> None:
        """Pull."""
        self.runner.run(self._pulled(member, again=again))

    @rule(member=who)
    def undo(self, member: int) -> None:
        """Take the last pull back, if there is one."""
        self.tally["undone"] += 1
        self.runner.run(acted(Act.UNDO, self._connected(member), self.central))

    @rule()
    def build(self) -> None:
        """Build the team's tables, and once more: the same contributions give the same tables."""
        self.runner.run(self._built())
        assert self.runner.run(self._built()) == {}

    @rule(member=who, is_agent=st.booleans(), developer=st.sampled_from(["ann", "bob"]), agent=agents)
    def opt_out(self, member: int, is_agent: bool, developer: str, agent: str) -> None:
        """Have a developer or an agent not take part any more."""
        kind, name = (OptOutKind.AGENT, agent) if is_agent else (OptOutKind.DEVELOPER, developer)

        async def out() -> None:
            async with self._connected(member).opened() as (_, coordinator):
                await coordinator.privacy.opt_out(kind, name)

        self.runner.run(out())
        self.members[member].opted_out.add(name)
        self._observe(member)

    @rule(member=who)
    def partition(self, member: int) -> None:
        """Cut somebody off from the server, or let them reach it again."""
        self.tally["cuts and repairs"] += 1
        self.cut ^= {member}

    @precondition(lambda self: self.is_killing)
    @rule(member=who, moment=st.sampled_from(range(len(MOMENTS[Act.PUSH]))))
    def kill_push(self, member: int, moment: int) -> None:
        """Kill a push that has something to release."""
        self._learn(member, AGENTS[0], None, 2, is_finished=True)
        self._kill(Act.PUSH, moment, member)

    @precondition(lambda self: self.is_killing)
    @rule(member=who, moment=st.sampled_from(range(len(MOMENTS[Act.PULL]))))
    def kill_pull(self, member: int, moment: int) -> None:
        """Kill a pull of something new; the next one completes it, with the server away as well."""
        self._share_news((member + 1) % SIZE)
        self.runner.run(self._built())
        self._kill(Act.PULL, moment, member)
        self.runner.run(self._pulled(member, again=False))
        self.runner.run(self._all_merged(member))

    @precondition(lambda self: self.is_killing)
    @rule(member=who, moment=st.sampled_from(range(len(MOMENTS[Act.UNDO]))))
    def kill_undo(self, member: int, moment: int) -> None:
        """Kill the undoing of a pull; the next pull completes it."""
        self.runner.run(self._pulled(member, again=True))
        self._kill(Act.UNDO, moment, member)
        self.runner.run(self._pulled(member, again=False))
        self.runner.run(self._all_merged(member))

    @precondition(lambda self: self.is_killing)
    @rule(member=who, moment=st.sampled_from(range(len(MOMENTS[Act.BUILD]))))
    def kill_build(self, member: int, moment: int) -> None:
        """Kill a build that has something to publish."""
        self._share_news(member)
        self._kill(Act.BUILD, moment, member)

    def _share_news(self, member: int) -> None:
        self._learn(member, AGENTS[0], None, 2, is_finished=True)
        self._push(member)

    def _kill(self, act: Act, moment: int, member: int) -> None:
        if killed(act, moment, self._connected(member), self.central):
            self.tally[f"killed in {act}"] += 1
        self._observe(member)

    def teardown(self) -> None:
        """Heal everything and let everybody agree, then clean up."""
        try:
            if sys.exception() is None and self.databases:
                self._converge()
        finally:
            self.runner.close()
            for name in self.databases:
                execute(self.server.url("postgres"), "DROP DATABASE {} WITH (FORCE)", name)

    def _converge(self) -> None:
        """After healing all partitions: push, build, pull; everybody holds the same, nothing counts twice."""
        self.cut.clear()
        for member in range(SIZE):
            self._learn(member, AGENTS[0], None, CLOSING_TASKS, is_finished=True)
            assert not self._push(member).pending
        self.runner.run(self._built())
        for member in range(SIZE):
            self.runner.run(self._pulled(member, again=True))
        published = self._published()
        self.tally["teams"] += 1
        self.tally["tables agreed on"] += len(published)
        for member in range(SIZE):
            held = self.runner.run(tables_held(self.contributors[member]))
            assert held == published
            self.runner.run(self._own_evidence(member))
        before = self._central_bytes()
        for member in range(SIZE):
            assert not self._push(member).sent
        assert self._central_bytes() == before
        self._compare_central()

    def _connected(self, member: int) -> Contributor:
        """Return the contributor, with the server out of reach while it is cut off."""
        contributor = self.contributors[member]
        return replace(contributor, team_url=NOWHERE) if member in self.cut else contributor

    def _learn(self, member: int, agent: str, developer: str | None, size: int, *, is_finished: bool) -> None:
        names = [f"task-{next(_numbers)}" for _ in range(size)]
        rows = tasks(registry().get(agent), names, is_finished=is_finished)
        self.runner.run(append_rows(self.contributors[member], rows, developer))
        for place, name in enumerate(names):
            steps = steps_of(rows)[5 * place : 5 * place + 5]
            self.members[member].tasks[name] = Task(agent, developer, steps, is_finished)

    def _push(self, member: int) -> PushReport:
        async def pushed() -> PushReport:
            async with self._connected(member).opened() as (_, coordinator):
                return await coordinator.push_to_central()

        count_exactly = PrivacyManager.count

        def noted(manager: PrivacyManager, *arguments: Any) -> Mapping[str, AgentStatistics]:
            self.exact[member] = count_exactly(manager, *arguments)
            return self.exact[member]

        self.exact.pop(member, None)
        with mock.patch.object(PrivacyManager, "count", noted):
            report = self.runner.run(pushed())
        self._observe(member)
        return report

    async def _pulled(self, member: int, *, again: bool) -> None:
        async with self._connected(member).opened() as (_, coordinator):
            await coordinator.sync_from_central(again=again)

    async def _built(self) -> dict[str, int]:
        async with TeamCuration.connect(self.central) as curation:
            return (await building.build(curation, self.contributors[0].settings)).published

    def _observe(self, member: int) -> None:
        """Bring the model up to date with the releases a contributor has, and hold each against it."""
        model, seen = self.members[member], self.contributors[member].url
        lines = fetched_rows(
            seen,
            "SELECT release_id::text, withdrawn_at IS NOT NULL, delivery_began_at IS NOT NULL "
            "FROM team_releases ORDER BY made_at",
        )
        for release, is_withdrawn, has_begun in lines:
            if release not in model.releases:
                model.take(release, AGENTS)
                self.tally["releases"] += 1
                assert sum(task.release == release for task in model.tasks.values()) >= 2
                self._compare_exact(member, release)
            if is_withdrawn and not has_begun:
                self.tally["withdrawn"] += any(task.release == release for task in model.tasks.values())
                model.free(release)
        [(spent, debits)] = fetched_rows(
            seen, "SELECT coalesce(sum(nano_rho), 0), count(*) FROM privacy_ledger"
        )
        assert debits == len(lines)
        assert (spent > 0) == bool(lines)

    def _compare_exact(self, member: int, release: str) -> None:
        """Hold what was counted before noise against the model, where this process counted it."""
        exact = self.exact.pop(member, None)
        if exact is None:
            return
        for agent, expected in self.members[member].releases[release].items():
            found = exact[agent]
            assert found.units == expected.units
            assert nonzero_cells(found.visits) == expected.visits
            assert nonzero_cells(found.rewards) == {
                pair: sum_ for pair, sum_ in expected.rewards.items() if sum_
            }
            assert found.transitions.sum() <= found.visits.sum()

    def _compare_central(self) -> None:
        """Hold what the server has against what contributors made: the same bytes, each release once."""
        central = dict(stored_parts(self.central, "team.contributions"))
        local = [entry for one in self.contributors for entry in stored_parts(one.url, "release_parts")]
        assert len({key for key, _ in local}) == len(local)
        sent = {key: part for key, part in local if key in central}
        assert all(central[key] == part for key, part in sent.items())
        missing = {release for release, _ in central.keys() - sent.keys()}
        withdrawn = {
            release
            for one in self.contributors
            for (release,) in fetched_rows(
                one.url,
                "SELECT release_id::text FROM team_releases "
                "WHERE withdrawn_at IS NOT NULL AND delivery_began_at IS NOT NULL",
            )
        }
        assert missing <= withdrawn
        for member, one in zip(self.members, self.contributors, strict=True):
            for (release, agent), part in stored_parts(one.url, "release_parts"):
                space = self._space(agent)
                noisy, expected = decode(part, space), member.releases[release][agent]
                exact = np.zeros_like(noisy.visits)
                for pair, visits in expected.visits.items():
                    exact[pair] = visits
                # 7,776 cells of σ ≈ 15: their mean square deviates from σ² by 10 % once in 10^9 releases.
                scale = float(np.sqrt(np.mean((noisy.visits - exact) ** 2)))
                assert scale < 1.2 * float(noisy.visits[12:].std())

    @staticmethod
    def _space(agent: str) -> Any:
        from qe_core.privacy.space import PublicSpace

        return PublicSpace.of(registry().get(agent))

    async def _all_merged(self, member: int) -> None:
        """Hold that every agent's own table was built with the team's table in use."""
        async with self.contributors[member].opened() as (_, coordinator):
            assert all(table.is_merged for table in (await coordinator.status()).tables)

    async def _own_evidence(self, member: int) -> None:
        """Hold the visits of the agents' tables against the log: nothing pulled is among them."""
        model = self.members[member]
        await self._all_merged(member)
        async with Store.connect(self.contributors[member].url) as store:
            for contract in FLEET:
                await rebuild(store, contract, self.contributors[member].settings)
                stored = await individual_table(contract).load(store)
                assert nonzero_cells(stored.table.visits) == model.log_visits(contract.name)

    def _published(self) -> dict[str, tuple[int, bytes]]:
        """Return version and content of the newest table of each agent, as the server has them."""

        async def fetched() -> list[PulledTable]:
            from qe_core.store.central import TeamServer

            async with TeamServer.connect(self.contributors[0].team_url) as server:
                return [
                    PulledTable(one.agent, one.fingerprint, one.version, one.table)
                    for one in await server.newest({})
                ]

        return {table.agent: table_content(table) for table in self.runner.run(fetched())}

    def _central_bytes(self) -> dict[str, list[str]]:
        """Return every row of the server's tables as text."""
        names = ("members", "agents", "releases", "contributions", "set_aside", "tables")
        return {
            name: [row[0] for row in fetched_rows(self.central, EVERY_ROW.format(name))] for name in names
        }

    def _database(self) -> str:
        name = f"interleaved_{next(_numbers)}"
        execute(self.server.url("postgres"), "CREATE DATABASE {} TEMPLATE {}", name, TEMPLATE)
        self.databases.append(name)
        return self.server.url(name)


def machine(server: EmbeddedServer, *, is_killing: bool = True) -> type[Team]:
    """Return what makes such a team on a server.

    Args:
        server: that holds a migrated template.
        is_killing: whether processes are killed, which takes a second each.
    """
    members = {"server": server, "is_killing": is_killing, "tally": Counter()}
    return type("TeamOfThisServer", (Team,), members)
