"""`qe team` and `qe privacy`: what people and scripts read, from local-only to pulled and undone."""

import asyncio
import json
from collections.abc import Callable, Iterator
from itertools import count

import numpy as np
import pytest

from qe_core.fleet import registry
from qe_core.learning.team_evidence import TeamEvidence
from qe_core.privacy.space import PublicSpace
from qe_core.store.central import TeamCuration
from qe_core.store.server import EmbeddedServer
from tests.conftest import TEMPLATE, execute

AGENT = "quality-analyzer"
SPACE = PublicSpace.of(registry().get(AGENT))
_numbers = count()


@pytest.fixture
def central(postgres_server: EmbeddedServer) -> Iterator[str]:
    """The URL of a database that can become a team's server."""
    name = f"cli_central_{next(_numbers)}"
    execute(postgres_server.url("postgres"), "CREATE DATABASE {} TEMPLATE {}", name, TEMPLATE)
    yield postgres_server.url(name)
    execute(postgres_server.url("postgres"), "DROP DATABASE {} WITH (FORCE)", name)


@pytest.fixture
def member(central: str, monkeypatch: pytest.MonkeyPatch, tmp_path_factory) -> Callable[[float], int | None]:
    """Found a team of three with this project as a member; returns what publishes a table of one value."""

    async def founded() -> str:
        async with TeamCuration.connect(central) as curation:
            await curation.found("ada", "the testers")
            await curation.register([SPACE])
            await curation.invite("member-1")
            await curation.invite("member-2")
            return await curation.invite("member-3")

    async def published(value: float) -> int | None:
        shape = (SPACE.state_count, SPACE.action_count)
        visits = np.zeros(shape, dtype=np.int64)
        visits[3, 1] = 20
        q = np.where(visits > 0, value, 0.0)
        table = TeamEvidence(q, visits, np.where(visits > 0, 1.0, 0.0), visits.astype(np.float64))
        async with TeamCuration.connect(central) as curation:
            return await curation.publish(SPACE, table, 3, {})

    monkeypatch.setenv("QE_HOME", str(tmp_path_factory.mktemp("home")))
    monkeypatch.setenv("QE_TEAM_URL", asyncio.run(founded()))
    monkeypatch.setenv("QE_TEAM__IS_SHARING", "true")
    return lambda value: asyncio.run(published(value))


def test_by_default_nothing_leaves_and_the_commands_say_how_to_take_part(qe_here, monkeypatch, tmp_path):
    monkeypatch.setenv("QE_HOME", str(tmp_path / "home"))
    status = qe_here("team", "status")
    assert "sharing is off: nothing leaves this database" in status.stdout
    assert "no team's server is named (QE_TEAM_URL)" in status.stdout
    for command in ("push", "pull"):
        refused = qe_here("team", command)
        assert refused.returncode == 1
        assert "set team.is_sharing to true in learning.json" in refused.stderr
    assert [line["kind"] for line in json.loads(qe_here("team", "log", "--json").stdout)] == ["refusal"] * 2


def test_a_pull_brings_what_the_team_knows_and_undo_takes_it_back(qe_here, member):
    assert member(12.5) == 1
    pulled = json.loads(qe_here("team", "pull", "--json").stdout)
    assert [(one["agent"], one["team_version"], one["taken"]) for one in pulled["rebuilt"]] == [(AGENT, 1, 1)]
    assert "nothing newer" in qe_here("team", "pull").stdout
    status = json.loads(qe_here("team", "status", "--json").stdout)
    assert status["members"] == 3
    assert "***" in status["server"]
    [held] = [table for table in status["tables"] if table["version"]]
    assert (held["agent"], held["known_pairs"], held["newer"], held["is_merged"]) == (AGENT, 1, None, True)

    undone = json.loads(qe_here("team", "undo", "--json").stdout)
    assert [(one["before"], one["after"]) for one in undone["changes"]] == [(1, None)]
    assert json.loads(qe_here("team", "pull", "--json").stdout)["changes"] == []
    assert qe_here("team", "undo").returncode == 1
    assert AGENT in qe_here("team", "pull", "--again").stdout
    kinds = [line["kind"] for line in json.loads(qe_here("team", "log", "--json").stdout)]
    assert kinds == ["pull", "undo", "pull"]


def test_a_newer_table_is_seen_in_the_status_before_it_is_pulled(qe_here, member):
    member(12.5)
    qe_here("team", "pull")
    assert member(13.5) == 2
    table = qe_here("team", "status").stdout
    assert "has 3 contributors" in table
    [line] = [line for line in table.splitlines() if AGENT in line]
    assert [cell.strip() for cell in line.strip("│ ").split("│")] == [AGENT, "1", "2", "1", "yes"]


def test_a_push_says_why_nothing_leaves_yet(qe_here, member):
    assert "nothing new: no task has ended" in qe_here("team", "push").stdout
    report = json.loads(qe_here("team", "push", "--json").stdout)
    assert report["prepared"]["outcome"] == "nothing new"


def test_with_the_server_away_a_push_says_that_it_is_caught_up_with(qe_here, member, monkeypatch):
    monkeypatch.setenv("QE_TEAM_URL", "postgresql://nobody:secret@/qe?host=/nonexistent")
    pushed = qe_here("team", "push")
    assert pushed.returncode == 0
    assert "this is caught up with later" in pushed.stdout
    assert "secret" not in pushed.stdout


def test_opting_out_and_in_again_is_said_and_listed(qe_here, monkeypatch, tmp_path):
    monkeypatch.setenv("QE_HOME", str(tmp_path / "home"))
    out = qe_here("privacy", "opt-out", "--developer", "ada")
    assert out.stdout.strip() == "developer ada is in no release any more, beginning with the next"
    report = json.loads(qe_here("privacy", "status", "--json").stdout)
    [held] = report["opt_outs"]
    assert held["kind"] == "developer"
    assert "ada" not in held["subject"]
    assert held["subject"] in qe_here("privacy", "status").stdout
    assert "takes part again" in qe_here("privacy", "opt-in", "--developer", "Ada").stdout
    assert qe_here("privacy", "opt-out", "--developer", "ada", "--everything").returncode == 2
    assert "did you mean quality-gate" in qe_here("privacy", "opt-out", "--agent", "quality-gat").stderr


def test_the_audit_adds_up_and_a_kind_nobody_knows_is_named(qe_here, monkeypatch, tmp_path):
    monkeypatch.setenv("QE_HOME", str(tmp_path / "home"))
    assert "ledger and releases agree" in qe_here("privacy", "audit").stdout
    assert json.loads(qe_here("privacy", "audit", "--json").stdout)["faults"] == []
    assert "the log knows no 'pusch'" in qe_here("team", "log", "--kind", "pusch").stderr
