"""Team learning in the graph: what runs release, build and pull, what they show, and what checks find."""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import dagster as dg
import numpy as np
import pytest

from qe_core.fleet import registry
from qe_core.learning.team_evidence import TeamEvidence
from qe_core.runtime.rebuilding import team_version
from qe_core.runtime.table_declarations import individual_table
from qe_core.runtime.team.spaces import shareable_spaces
from qe_core.store import Store
from qe_core.store.central import TeamCuration
from qe_core.store.server import EmbeddedServer
from qe_core.store.team import PulledTable
from qe_pipelines.running import QUIET
from tests.integration.runtime.team.nursery import tasks
from tests.pipelines.conftest import copied, dump, run_sql
from tests.pipelines.test_rollout import failed, ran, shown

AGENT = "quality-analyzer"
NOWHERE = "postgresql://nobody:secret@127.0.0.1:1/nothing"
SHARING = {
    "IS_SHARING": "true", "MINIMUM_TASKS": "2", "MINIMUM_GROUP": "2",
    "PRIVACY_EPSILON_PER_RELEASE": "50", "PRIVACY_EPSILON_LIFETIME": "50",
}  # fmt: skip
"""Much is lost and little hidden, so that a handful of tasks can be shared; one release is all there is.

That an agent about which there is nothing but noise gets a table takes three deviations of 3 sigma: 2e-9.
"""

OWN_VIEWS = ("stg_team_releases", "stg_released_chunks", "stg_team_sync_log", "privacy_budget", "team_sync")


@pytest.fixture
def new_database(postgres_server: EmbeddedServer) -> Iterator[Callable[[str], str]]:
    """Makes fresh, migrated databases, dropped afterwards."""
    made = []

    def make(name: str) -> str:
        made.append(f"team_sync_{name}")
        return copied(postgres_server, "qe_template", made[-1])

    yield make
    for name in made:
        run_sql(postgres_server.url("postgres"), "DROP DATABASE {} WITH (FORCE)", name)


@pytest.fixture
def url(database_url: str, environment: Callable[[str], str]) -> str:
    """The project's database, empty."""
    return environment(database_url)


@pytest.fixture
def sharing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of somebody who takes part."""
    for name, value in SHARING.items():
        monkeypatch.setenv(f"QE_TEAM__{name}", value)


async def learned(url: str, name: str, count: int = 60) -> None:
    """Let an agent of one contributor finish some tasks."""
    async with Store.connect(url) as store:
        rows = tasks(registry().get(AGENT), [f"{name}-{number}" for number in range(count)])
        await store.experiences.append(rows)


async def invited(central: str, names: list[str]) -> list[str]:
    """Found a team; return its members' addresses."""
    async with TeamCuration.connect(central) as curation:
        await curation.found()
        await curation.register(shareable_spaces().values())
        return [await curation.invite(name) for name in names]


def test_local_only_is_the_default_and_connects_to_nobody(
    url: str, quick_instance: dg.DagsterInstance, definitions: dg.Definitions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QE_TEAM_URL", NOWHERE)
    asyncio.run(learned(url, "ada", 2))
    pushed = ran(definitions, quick_instance, "team_push")
    built = ran(definitions, quick_instance, "team_build")
    pulled = only(definitions, quick_instance, "team_pull", "team_knowledge")
    assert pushed.success
    assert built.success
    assert pulled.success
    assert shown(pushed, "team_contribution")["what happened"] == "local only: nothing left this machine"
    assert shown(pulled, "team_knowledge")["what happened"] == "local only: nothing left this machine"
    assert "no team was founded in this database" in str(shown(built, "team_tables")["what happened"])
    assert failed(pushed) == failed(built) == failed(pulled) == {}
    assert run_sql(url, "SELECT count(*) FROM team_sync_log") == [(0,)]
    assert run_sql(url, "SELECT count(*) FROM team_releases") == [(0,)]


def test_three_contribute_the_server_builds_and_everybody_pulls(
    new_database: Callable[[str], str],
    environment: Callable[[str], str],
    sharing: None,
    quick_instance: dg.DagsterInstance,
    definitions: dg.Definitions,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    names, central = ["ada", "grace", "edsger"], new_database("central")
    urls = {name: new_database(name) for name in names}
    addresses = dict(zip(names, asyncio.run(invited(central, names)), strict=True))
    for name in names:
        asyncio.run(learned(urls[name], name))
        environment(urls[name])
        monkeypatch.setenv("QE_TEAM_URL", addresses[name])
        result = ran(definitions, quick_instance, "team_push")
        assert result.success
        assert failed(result) == {}
        told = shown(result, "team_contribution")
        assert (told["tasks"], told["delivered now"], told["pending"]) == (60, 1, 0)
        assert told["epsilon over its lifetime"] == pytest.approx(50.0, rel=1e-3)
        assert "| task | 50 | 1e-06 | 17 | sent " in str(told["releases"])

    environment(central)
    built = ran(definitions, quick_instance, "team_build")
    assert failed(built) == {}
    assert shown(built, "team_tables")["what happened"] == "1 tables are new"
    assert f"| {AGENT} | 1 | 3 | 0 | 0 |" in str(shown(built, "team_tables")["tables"])
    again = ran(definitions, quick_instance, "team_build")
    assert shown(again, "team_tables")["what happened"] == "0 tables are new"
    assert f"| {AGENT} | as before | 3 |" in str(shown(again, "team_tables")["tables"])

    newcomer = environment(new_database("newcomer"))
    pulled = only(definitions, quick_instance, "team_pull", "team_knowledge")
    assert failed(pulled) == {}
    told = shown(pulled, "team_knowledge")
    assert (told["what happened"], told["tables"], told["conflicts"]) == (
        "1 tables are newer than before",
        1,
        0,
    )
    assert told["taken"] == told["dagster/row_count"] > 10
    assert "data:image/png;base64," in str(told["pairs known"])
    before = dump(newcomer)
    told = shown(only(definitions, quick_instance, "team_pull", "team_knowledge"), "team_knowledge")
    assert (told["what happened"], told["taken"]) == ("0 tables are newer than before", 0)
    assert dump(newcomer) == before
    assert asyncio.run(team_version_of(newcomer)) == 1


async def team_version_of(url: str) -> int:
    """Return which of the team's tables the agent's own was built with."""
    async with Store.connect(url) as store:
        return team_version(await individual_table(registry().get(AGENT)).load(store))


def test_server_away_is_said_and_caught_up_with(
    new_database: Callable[[str], str],
    url: str,
    sharing: None,
    quick_instance: dg.DagsterInstance,
    definitions: dg.Definitions,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asyncio.run(learned(url, "ada"))
    monkeypatch.setenv("QE_TEAM_URL", NOWHERE)
    result = ran(definitions, quick_instance, "team_push")
    assert result.success
    assert "cannot be reached" in str(shown(result, "team_contribution")["what happened"])
    assert "secret" not in str(shown(result, "team_contribution"))
    pulled = only(definitions, quick_instance, "team_pull", "team_knowledge")
    assert "cannot be reached" in str(shown(pulled, "team_knowledge")["what happened"])
    addresses = asyncio.run(invited(new_database("central"), ["ada", "grace", "edsger"]))
    monkeypatch.setenv("QE_TEAM_URL", addresses[0])
    result = ran(definitions, quick_instance, "team_push")
    assert shown(result, "team_contribution")["delivered now"] == 1
    asyncio.run(learned(url, "later"))
    spent = shown(ran(definitions, quick_instance, "team_push"), "team_contribution")
    assert "one more does not fit" in str(spent["what happened"])
    assert spent["delivered now"] == 0


def test_rebuilding_the_whole_graph_releases_nothing(definitions: dg.Definitions) -> None:
    contribution = dg.AssetKey("team_contribution")
    whole = definitions.resolve_job_def("whole_graph").asset_layer.selected_asset_keys
    assert contribution not in whole
    assert {dg.AssetKey("team_tables"), dg.AssetKey("team_knowledge")} <= whole
    graph = definitions.resolve_asset_graph()
    assert contribution in graph.get(dg.AssetKey("team_tables")).parent_keys
    assert dg.AssetKey("team_knowledge") in graph.get(dg.AssetKey("individual_q_table")).parent_keys


def test_schedules_ask_for_their_own_runs(url: str, definitions: dg.Definitions) -> None:
    roster = registry().names()
    with dg.DagsterInstance.ephemeral() as instance:
        for name, job, cron, tags in (
            ("weekly_contribution", "team_push", "20 3 * * 1", set()),
            ("daily_team_build", "team_build", "20 4 * * *", set()),
            ("daily_team_pull", "team_pull", "20 5 * * *", {roster[0], roster[-1]}),
        ):
            schedule = definitions.resolve_schedule_def(name)
            with dg.build_schedule_context(instance=instance) as context:
                [request] = schedule.evaluate_tick(context).run_requests or []
            assert (schedule.job_name, schedule.cron_schedule) == (job, cron)
            assert set(request.tags.values()) >= tags


def test_views_and_checks_find_what_was_paid_for_wrongly(
    new_database: Callable[[str], str],
    url: str,
    sharing: None,
    quick_instance: dg.DagsterInstance,
    definitions: dg.Definitions,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asyncio.run(learned(url, "ada"))
    [address, *_] = asyncio.run(invited(new_database("central"), ["ada", "grace", "edsger"]))
    monkeypatch.setenv("QE_TEAM_URL", address)
    assert ran(definitions, quick_instance, "team_push").success
    for path in (["views", name] for name in OWN_VIEWS):
        assert dg.AssetKey(path) in definitions.resolve_asset_graph().materializable_asset_keys
    asyncio.run(compare_one_by_one(url))

    for table in ("privacy_ledger", "released_chunks"):
        run_sql(url, f"ALTER TABLE {table} DISABLE TRIGGER ALL")
    run_sql(url, "ALTER TABLE privacy_ledger DROP CONSTRAINT debits_stay_within_the_lifetime")
    run_sql(url, "UPDATE privacy_ledger SET lifetime_nano_rho = nano_rho - 5, spent_nano_rho = nano_rho + 1")
    assert set(failed(views(definitions, quick_instance))) == {"privacy_spent_adds_up"}
    assert run_sql(
        url,
        "SELECT state, agents, chunks > 0, payload_bytes > 100000, left_nano_rho "
        "FROM qe_views.privacy_budget",
    ) == [("sent", 17, True, True, -6)]  # fmt: skip
    assert set(run_sql(url, "SELECT kind, entries FROM qe_views.team_sync")) == {("release", 1), ("push", 1)}
    result = ran(definitions, quick_instance, "team_push")
    assert set(failed(result)) == {"budget_is_kept"}
    assert "is 6 nano-ρ beyond the lifetime budget" in failed(result)["budget_is_kept"]

    run_sql(url, "ALTER TABLE released_chunks DROP CONSTRAINT released_chunks_pkey")
    run_sql(url, "INSERT INTO released_chunks SELECT * FROM released_chunks")
    assert set(failed(views(definitions, quick_instance))) == {"unique_stg_released_chunks_chunk_id"}


async def compare_one_by_one(url: str) -> None:
    """Compare ledger and log of releases as they are, and as they must not be."""
    from qe_pipelines.defs.team_sync.checks import (
        LONGEST_WAIT,
        judged_contributions,
    )
    from qe_pipelines.resources import FleetDatabase

    run_sql(url, "ALTER TABLE team_releases DISABLE TRIGGER ALL")
    run_sql(url, "UPDATE team_releases SET sent_at = NULL")
    now = datetime.now(UTC)
    [*sums, in_time] = await judged_contributions(FleetDatabase(), now)
    [*_, late] = await judged_contributions(FleetDatabase(), now + LONGEST_WAIT + timedelta(hours=1))
    assert all(result.passed for result in sums)
    assert (in_time.passed, late.passed, late.severity) == (True, False, dg.AssetCheckSeverity.WARN)
    run_sql(url, "UPDATE team_releases SET sent_at = now()")


async def test_values_nobody_can_earn_and_outdated_contracts_are_found(
    url: str, definitions: dg.Definitions
) -> None:
    from qe_core.config import load_settings
    from qe_pipelines.defs.team_sync.checks import judged_knowledge
    from qe_pipelines.resources import FleetDatabase

    contract = registry().get(AGENT)
    shape = (contract.state_count, contract.action_count)
    q, one = np.zeros(shape), np.zeros(shape)
    q[0, 0], one[0, 0] = 1e6, 1.0
    table = PulledTable(AGENT, contract.fingerprint, 1, TeamEvidence(q, one.astype(np.int64), one, one))
    async with Store.connect(url) as store:
        await store.team_tables.save(uuid4(), [table], by="a test")
        found = await judged_knowledge(FleetDatabase(), load_settings().values)
        assert [result.passed for result in found] == [False, True]
        assert f"{AGENT}: 1 values of the team's table 1 are beyond" in str(found[0].description)
        await store.team_tables.undo(by="a test")
        await store.team_tables.save(uuid4(), [replace(table, fingerprint="f" * 16)], by="a test")
        found = await judged_knowledge(FleetDatabase(), load_settings().values)
    assert [result.passed for result in found] == [True, False]
    assert "have the team's server register the contract of today" in str(found[1].description)


async def test_contributions_set_aside_or_unused_are_found(
    new_database: Callable[[str], str], environment: Callable[[str], str], definitions: dg.Definitions
) -> None:
    from qe_core.store.central import Member, Publication
    from qe_pipelines.defs.team_sync.tables import aside_faults, judged_server, unused_faults
    from qe_pipelines.resources import FleetDatabase

    environment(await founded_alone(new_database("central")))
    assert [result.passed for result in await judged_server(FleetDatabase())] == [True, True]
    now = datetime.now(UTC)
    member = Member(1, "ada", True, now, now, 1, 1)
    published = Publication(AGENT, 1, "f" * 16, 3, {}, now - timedelta(days=3))
    assert "see why it was not built before" in next(unused_faults([member], [published]))
    assert list(unused_faults([member], [replace(published, published_at=now)])) == []
    assert list(aside_faults([])) == []


async def founded_alone(central: str) -> str:
    """Found a team without members; return its database."""
    await invited(central, [])
    return central


def only(
    definitions: dg.Definitions, instance: dg.DagsterInstance, job: str, asset: str
) -> dg.ExecuteInProcessResult:
    """Return what came of one asset of a job."""
    return definitions.resolve_job_def(job).execute_in_process(
        run_config=QUIET, instance=instance, asset_selection=[dg.AssetKey(asset)], raise_on_error=False
    )


def views(definitions: dg.Definitions, instance: dg.DagsterInstance) -> dg.ExecuteInProcessResult:
    """Return what came of the views of team learning and their tests."""
    return definitions.resolve_job_def("whole_graph").execute_in_process(
        run_config=QUIET,
        instance=instance,
        asset_selection=[dg.AssetKey(["views", name]) for name in OWN_VIEWS],
        raise_on_error=False,
    )
