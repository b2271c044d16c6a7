"""Experiments as assets: materialised on the real instance, judged, and left out of what is quick."""

import dagster as dg
import numpy as np
import pytest

from qe_core.config import Settings
from qe_core.runtime.experiments.convergence import LearningCurve
from qe_core.runtime.experiments.hierarchy import ALONE, LOOKUPS, LookupRegret, default_lookup
from qe_core.runtime.experiments.newcomer import QUICK_WAYS, Way
from qe_core.runtime.experiments.transfer import CHECKPOINTS, NewcomerCurve

EXPERIMENTS = ("convergence_experiment", "transfer_experiment", "hierarchy_experiment")
CONFIG = {
    "ops": {
        "convergence_experiment": {
            "config": {"agents": ["quality-gate", "chaos-engineer"], "worlds": [0], "seeds": 1}
        },
        "transfer_experiment": {"config": {"agents": ["chaos-engineer"], "worlds": [0]}},
        "hierarchy_experiment": {"config": {"worlds": [0, 1]}},
    }
}


def test_all_three_land_as_assets_with_tables_pictures_and_a_verdict(
    instance: dg.DagsterInstance, definitions: dg.Definitions, learned_url: str
) -> None:
    job = definitions.resolve_job_def("experiments")
    result = job.execute_in_process(run_config=CONFIG, instance=instance)
    assert result.success
    checks = {one.check_name: one for one in result.get_asset_check_evaluations()}
    assert {name: one.passed for name, one in checks.items()} == {
        "the_optimum_is_reached": True,
        "sharing_does_not_delay_newcomers": True,
        "the_default_lookup_is_not_beaten": True,
    }
    shown = {}
    for name in EXPERIMENTS:
        event = instance.get_latest_materialization_event(dg.AssetKey(name))
        assert event is not None
        assert event.asset_materialization is not None
        shown |= event.asset_materialization.metadata
    assert "| quality-gate | 0 |" in str(shown["by agent and world"].value)
    assert "| chaos-engineer | security |" in str(shown["episodes needed"].value)
    assert "| blend, advantage |" in str(shown["regret after episodes"].value)
    for picture in ("learning curves", "newcomers"):
        assert str(shown[picture].value).startswith(f"![{picture}](data:image/png;base64,")


@pytest.mark.parametrize("job", ["whole_graph", "learn", "statistics", "replay"])
def test_runs_that_are_to_be_quick_leave_them_out(definitions: dg.Definitions, job: str) -> None:
    selected = definitions.resolve_job_def(job).asset_layer.selected_asset_keys
    assert not {dg.AssetKey(name) for name in EXPERIMENTS} & selected


def test_checks_run_alone_do_not_compute_them_anew(definitions: dg.Definitions) -> None:
    keys = definitions.resolve_job_def("checks").asset_layer.asset_graph.asset_check_keys
    assert keys
    assert not [key for key in keys if key.asset_key.to_user_string() in EXPERIMENTS]


def curve(agent: str, shares: list[float]) -> LearningCurve:
    return LearningCurve(
        agent, "f", 0, 100.0, 0.0, 50.0, "act", (1000,), np.array([[share] for share in shares])
    )


def test_too_many_sessions_below_the_target_fail_and_are_named(definitions: dg.Definitions) -> None:
    from qe_pipelines.defs.experiments.learning import judged_curves

    # Of 20 sessions five may miss: were one in twenty to miss, more would in 3 cases of 10,000.
    assert judged_curves([curve("a", [0.9] * 5 + [0.99] * 15)]).passed
    failed = judged_curves([curve("a", [0.9] * 6 + [0.99] * 4), curve("b", [0.99] * 10)])
    assert not failed.passed
    assert failed.description == "a in world 0: 6 of 10 sessions stay below 95%"


def newcomer(way: Way, slower: Way) -> NewcomerCurve:
    """Return a curve on which one way is slow in every world and the others are quick."""
    quick = np.ones((5, len(CHECKPOINTS)))
    slow = np.where(np.arange(len(CHECKPOINTS)) < 10, 0.0, 1.0) * quick
    return NewcomerCurve(
        "a", "g", {each: slow if each in (way, slower) else quick for each in QUICK_WAYS}, 0.9, 0.4
    )


def test_sharing_that_delays_newcomers_fails(definitions: dg.Definitions) -> None:
    from qe_pipelines.defs.experiments.learning import judged_newcomers

    assert judged_newcomers([newcomer(Way.ISOLATED, Way.ISOLATED)]).passed
    failed = judged_newcomers([newcomer(Way.HIERARCHY, Way.HIERARCHY)])
    assert not failed.passed
    assert (failed.description or "").startswith("hierarchy saves -")


def regret(better: str, by: float) -> LookupRegret:
    rules = (ALONE, *LOOKUPS)
    noise = 0.001 * np.random.default_rng(0).standard_normal((len(rules), 1, 2, 4))
    found = np.full((len(rules), 1, 2, 4), 0.5) + noise
    found[rules.index(better)] -= by
    return LookupRegret(rules, (100,), ("a", "b"), found)


def test_a_default_lookup_that_is_beaten_fails(definitions: dg.Definitions) -> None:
    from qe_pipelines.defs.experiments.learning import judged_lookups

    chosen = default_lookup(Settings())
    assert chosen in LOOKUPS
    assert judged_lookups(regret(chosen, 0.1), chosen).passed
    assert judged_lookups(regret("ordered, raw", 0.01), chosen).passed
    assert judged_lookups(regret(ALONE, 0.1), chosen).passed
    failed = judged_lookups(regret("ordered, raw", 0.1), chosen)
    assert not failed.passed
    assert (failed.description or "").startswith("ordered, raw has 0.10")
