"""Every check passes on what the graph made, and fails when its fault is planted in the database."""

import dagster as dg
import pytest

from qe_core.fleet import registry
from qe_core.store import LogAudit, StatsWindow, Store
from qe_pipelines.running import QUIET
from tests.pipelines.conftest import experience_columns, run_sql

LOG = "experience_chunks"
SHARED = "agent, fingerprint, source, first_at, last_at"
ARRAYS = (
    "episode, step, state, action, reward, next_state, terminated, truncated, propensity, exploration_rate, "
    "success, policy_version"
)
ONE_CHUNK = f"WHERE chunk_id = (SELECT min(chunk_id) FROM {LOG} WHERE agent = 'quality-gate')"
FIRST = ", ".join(f"{name}[1:1]" for name in ARRAYS.split(", "))
ONE_STATE = (
    "q_table_id = (SELECT q_table_id FROM q_tables WHERE is_current AND name = '{name}') "
    "AND state = (SELECT min(state) FROM q_values v WHERE v.q_table_id = q_values.q_table_id)"
)


def of(name: str) -> str:
    """Return the condition that picks the first row of one table."""
    return "WHERE " + ONE_STATE.format(name=name)


FAULTS = {
    "a reward that is not a number": (
        "experiences/values_are_in_range", f"UPDATE {LOG} SET reward[1] = 'NaN' {ONE_CHUNK}"),
    "a reward of a thousand points": (
        "experiences/values_are_in_range", f"UPDATE {LOG} SET reward[1] = 1000 {ONE_CHUNK}"),
    "a state outside the contract": (
        "experiences/values_are_in_range", f"UPDATE {LOG} SET state[1] = 999999 {ONE_CHUNK}"),
    "a next state outside the contract": (
        "experiences/values_are_in_range", f"UPDATE {LOG} SET next_state[1] = 999999 {ONE_CHUNK}"),
    "an action the agent does not have": (
        "experiences/values_are_in_range", f"UPDATE {LOG} SET action[1] = 99 {ONE_CHUNK}"),
    "a step logged again at another time": (
        "experiences/episodes_are_whole",
        f"INSERT INTO {LOG} (experiences, {SHARED}, occurred_at, {ARRAYS}) "
        f"SELECT 1, {SHARED}, ARRAY[first_at + interval '1 ms'], {FIRST} FROM {LOG} {ONE_CHUNK}"),
    "a step after the end of its episode": (
        "experiences/episodes_are_whole", f"UPDATE {LOG} SET terminated[1] = true {ONE_CHUNK}"),
    "an end of two kinds": (
        "experiences/episodes_are_whole",
        f"UPDATE {LOG} SET truncated[array_position(terminated, true)] = true {ONE_CHUNK}"),
    "a propensity of 0": (
        "experiences/propensities_support_learning", f"UPDATE {LOG} SET propensity[1] = 0 {ONE_CHUNK}"),
    "a propensity that is not a number": (
        "experiences/propensities_support_learning", f"UPDATE {LOG} SET propensity[1] = 'NaN' {ONE_CHUNK}"),
    "an agent nobody registered": (
        "experiences/contracts_are_current", f"UPDATE {LOG} SET agent = 'nobody' {ONE_CHUNK}"),
    "an outdated contract in the log": (
        "experiences/contracts_are_current", f"UPDATE {LOG} SET fingerprint = 'before' {ONE_CHUNK}"),
    "a table learned under another contract": (
        "individual_q_table/contract_fingerprint",
        "UPDATE q_tables SET fingerprint = 'before' WHERE name = 'quality-gate'"),
    "a value that cannot be earned": (
        "individual_q_table/values_are_bounded", f"UPDATE q_values SET q[1] = 1e9 {of('quality-gate')}"),
    "a value that is not a number": (
        "individual_q_table/values_are_bounded", f"UPDATE q_values SET q[1] = 'NaN' {of('quality-gate')}"),
    "a visit without experience": (
        "individual_q_table/visits_are_conserved",
        f"UPDATE q_values SET visits[1] = visits[1] + 1 {of('quality-gate')}"),
    "a visit beyond the log in a table that moved on": (
        "individual_q_table/visits_are_conserved",
        "UPDATE q_tables SET version = version + 1 WHERE name = 'quality-gate'; "
        f"UPDATE q_values SET visits[1] = visits[1] + 1 {of('quality-gate')}"),
    "a weight that is not confidence times visits": (
        "individual_q_table/weights_follow_evidence",
        f"UPDATE q_values SET weights[1] = weights[1] + 0.5 {of('quality-gate')}"),
    "a category weight one quantum off": (
        "category_q_table/core_testing/adds_up",
        f"UPDATE q_values SET weights[1] = weights[1] + 2 ^ -20 {of('core-testing')}"),
    "a category visit too few": (
        "category_q_table/strategic/adds_up",
        f"UPDATE q_values SET visits[1] = visits[1] - 1 {of('strategic')}"),
    "a category value off in the last digits": (
        "category_q_table/specialized/adds_up",
        f"UPDATE q_values SET q[1] = q[1] + 1e-9 {of('specialized')}"),
    "more visits in a category than in agents that moved on": (
        "category_q_table/core_testing/adds_up",
        "UPDATE q_tables SET version = version + 1 WHERE name = 'quality-gate'; "
        f"UPDATE q_values SET visits[1] = visits[1] + 1 {of('core-testing')}"),
    "a fleet visit too many": (
        "fleet_q_table/adds_up", f"UPDATE q_values SET visits[1] = visits[1] + 1 {of('fleet')}"),
    "a fleet statistic changed": (
        "fleet_q_table/statistics_are_conserved",
        f"UPDATE q_values SET target_m2[1] = target_m2[1] + 1 {of('fleet')}"),
    "a window missing": (
        "convergence_statistics/windows_cover_the_log",
        "DELETE FROM learning_stats WHERE agent = 'quality-gate' AND window_index = 0"),
    "a window that lost an episode": (
        "convergence_statistics/windows_cover_the_log",
        "UPDATE learning_stats SET episodes = episodes - 1 WHERE agent = 'quality-gate'"),
}  # fmt: skip


@pytest.fixture(scope="module")
def own_checks(definitions: dg.Definitions) -> dg.JobDefinition:
    """All checks but dbt's and those that experiments make of themselves, as a job of their own."""
    graph = definitions.resolve_asset_graph()
    keys = [
        key
        for key in graph.asset_check_keys
        if key.asset_key.path[0] != "views" and not key.asset_key.path[0].endswith("_experiment")
    ]
    job = dg.define_asset_job("own_checks", selection=dg.AssetSelection.checks(*keys))
    return dg.Definitions(
        assets=definitions.assets,
        asset_checks=definitions.asset_checks,
        resources=definitions.resources,
        jobs=[job],
    ).resolve_job_def("own_checks")


def failed_checks(job: dg.JobDefinition) -> dict[str, dg.AssetCheckEvaluation]:
    """Return what fails when the job's checks are run, by ``asset/check``."""
    with dg.DagsterInstance.ephemeral() as instance:
        result = job.execute_in_process(run_config=QUIET, instance=instance, raise_on_error=False)
    found = {
        f"{e.asset_key.to_user_string()}/{e.check_name}": e for e in result.get_asset_check_evaluations()
    }
    assert found
    return {name: evaluation for name, evaluation in found.items() if not evaluation.passed}


def without_constraints(url: str) -> None:
    """Drop the constraints that would refuse a planted fault, as a restore from elsewhere could have."""
    rows = run_sql(
        url,
        "SELECT conrelid::regclass::text, conname FROM pg_constraint WHERE contype = 'c' "
        "AND (conname LIKE 'experience%' OR conname LIKE 'q_values%' OR conname LIKE 'stats%')",
    )
    for table, name in rows:
        run_sql(url, "ALTER TABLE {} DROP CONSTRAINT IF EXISTS {} CASCADE", table, name)


def test_what_the_graph_made_passes_every_check_but_convergence(
    learned_url: str, own_checks: dg.JobDefinition
) -> None:
    failed = failed_checks(own_checks)
    assert set(failed) == {"convergence_statistics/agents_have_converged"}
    assert failed["convergence_statistics/agents_have_converged"].severity is dg.AssetCheckSeverity.WARN


@pytest.mark.parametrize("fault", FAULTS)
def test_check_fails_when_its_fault_is_planted(
    fault: str, learned_url: str, own_checks: dg.JobDefinition
) -> None:
    check, statement = FAULTS[fault]
    without_constraints(learned_url)
    run_sql(learned_url, statement)
    failed = failed_checks(own_checks)
    assert check in failed, f"failed instead: {sorted(failed)}"
    assert failed[check].description


async def test_converged_agents_pass_and_one_that_is_not_fails(
    learned_url: str, definitions: dg.Definitions
) -> None:
    from qe_pipelines.defs.convergence.checks import judged_windows
    from qe_pipelines.resources import FleetDatabase

    async with Store.connect(learned_url) as store:
        for name in registry().names():
            [window, *_] = await store.stats.windows(name)
            await store.stats.replace(name, [converged(window)])
        passed = (await judged_windows(FleetDatabase()))[1]
        await store.stats.replace("quality-gate", [])
        failed = (await judged_windows(FleetDatabase()))[1]
    assert passed.passed
    assert not failed.passed
    assert failed.description == "quality-gate: no experiences yet"


def converged(window: StatsWindow) -> StatsWindow:
    """Return the window with another verdict."""
    values = {name: getattr(window, name) for name in window.__slots__}
    return StatsWindow(**{**values, "verdict": "converged"})


async def test_replay_disagrees_where_the_newest_experiences_contradict_the_rest(
    learned_url: str, definitions: dg.Definitions, monkeypatch: pytest.MonkeyPatch
) -> None:
    from qe_core.config import load_settings
    from qe_pipelines.defs.convergence.checks import judged_replay
    from qe_pipelines.resources import FleetDatabase

    monkeypatch.setenv("QE_REPLAY__CAPACITY_TRANSITIONS", "400")
    contract = registry().get("quality-gate")
    async with Store.connect(learned_url) as store:
        for part, best in enumerate((0, 1)):
            rows = experience_columns(contract, 400 if part else 2_000, part, 10_000 * (part + 1), steps=1)
            rows["state"] = rows["next_state"] = rows["state"] * 0
            rows["reward"] = (rows["action"] == best) * 100.0
            await store.experiences.append(rows)
    found = await judged_replay(FleetDatabase(), load_settings().values)
    assert not found.passed
    assert found.description is not None
    assert found.description.startswith("quality-gate: ")


def test_blocking_check_keeps_a_fault_from_spreading(
    filled_url: str, definitions: dg.Definitions, quick_instance: dg.DagsterInstance
) -> None:
    from qe_pipelines.materialize import materialize

    without_constraints(filled_url)
    run_sql(filled_url, f"UPDATE {LOG} SET propensity[1] = 2 {ONE_CHUNK}")
    said: list[dict[str, object]] = []
    assert not materialize(quick_instance, said.append, job_name="learn")
    assert quick_instance.get_materialized_partitions(dg.AssetKey("experiences"))
    assert not quick_instance.get_materialized_partitions(dg.AssetKey("individual_q_table"))
    assert run_sql(filled_url, "SELECT count(*) FROM q_values") == [(0,)]
    [error] = [message["error"] for message in said if "error" in message]
    assert "propensities_support_learning" in str(error)
    assert "quality-gate: 1 propensities outside (0, 1]" in str(error)


def test_dbt_tests_fail_as_asset_checks_when_their_faults_are_planted(
    learned_url: str, quick_instance: dg.DagsterInstance
) -> None:
    from qe_pipelines.checks import run_checks

    without_constraints(learned_url)
    run_sql(learned_url, f"UPDATE {LOG} SET propensity[1] = 7 {ONE_CHUNK}")
    run_sql(learned_url, f"UPDATE q_values SET visits[1] = visits[1] + 1 {of('fleet')}")
    said: list[dict[str, object]] = []
    assert not run_checks(quick_instance, said.append)
    results = {str(message["check"]): message for message in said if "check" in message}
    failed = {name for name, message in results.items() if not message["passed"]}
    assert failed >= {"propensities_are_probabilities", "levels_hold_the_same_visits", "adds_up"}
    assert "not_null_agent_health_agent" in results.keys() - failed


def audit(**changes: int | str) -> LogAudit:
    """Return figures of a faultless log with some of them changed."""
    figures: dict[str, int | str] = {
        "agent": "quality-gate", "fingerprint": registry().get("quality-gate").fingerprint, "experiences": 10,
        "last_experience_id": 10, "lowest_state": 0, "highest_state": 5, "lowest_action": 0,
        "highest_action": 1, "rewards_out_of_range": 0, "propensities_out_of_range": 0, "ambiguous_ends": 0,
        "repeated_steps": 0, "episodes_beyond_their_end": 0,
    }  # fmt: skip
    return LogAudit(**{**figures, **changes})  # type: ignore[arg-type]


def test_faults_are_named_with_what_to_do() -> None:
    from qe_pipelines.defs.experiences.checks import contract_faults, episode_faults, value_faults

    contract = registry().get("quality-gate")
    assert list(value_faults(audit(), contract)) == []
    assert "encoded under another contract" in next(value_faults(audit(lowest_state=-1), contract))
    assert "give each run its own name" in next(episode_faults(audit(episodes_beyond_their_end=2)))
    assert "install its package" in next(contract_faults(audit(agent="nobody")))
    assert list(contract_faults(audit())) == []


def test_verdict_lists_eight_faults_and_counts_the_rest() -> None:
    from qe_pipelines.verdicts import verdict

    found = verdict([f"fault {number}" for number in range(10)], "ten things")
    assert found.description == "; ".join(f"fault {number}" for number in range(8)) + "; and 2 more"
    assert verdict([], "ten things").description == "ten things"
