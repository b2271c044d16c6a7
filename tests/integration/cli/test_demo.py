"""`qe demo` whole, on a real database: what it leaves, and that it repeats harmlessly."""

import json
import re

import numpy as np
import pytest

from qe_core.config import load_settings
from qe_core.environments.catalogue import world_of
from qe_core.fleet import registry
from qe_core.runtime import demo
from qe_core.runtime.figures import fleet_figures
from qe_core.runtime.report import page
from qe_core.runtime.sessions import PILOT

pytestmark = pytest.mark.timeout(900)


@pytest.fixture
def shorter(monkeypatch):
    """Fewer episodes: the same steps in a fraction of the time."""
    monkeypatch.setattr(demo, "SIMULATED_EPISODES", 150)
    monkeypatch.setattr(demo, "RECORDED_EPISODES", 60)


async def test_the_demo_learns_repeats_harmlessly_and_reports_what_is_stored(
    store, qe, shorter, server_directory, tmp_path
):
    home = {"QE_HOME": str(server_directory / "demo home")}
    first = await qe("demo", **home)
    assert first.returncode == 0, first.stderr
    assert "their weights and counts add up exactly to those of their parts" in first.stdout
    html = (tmp_path / "qe-report" / "index.html").read_text()
    lines = json.loads((await qe("status", "--json")).stdout)
    assert len(lines) == 18
    assert {line["episodes"] for line in lines if line["agent"] != PILOT} == {150}
    assert all(line["updates"] == line["experiences"] > 0 for line in lines)
    tables = await store.q_tables.list_tables()
    assert sorted(table.level for table in tables) == ["category"] * 5 + ["fleet"] + ["individual"] * 18

    again = await qe("demo", **home)
    assert again.returncode == 0, again.stderr
    assert "all sessions were played before; nothing new" in again.stderr
    assert await store.q_tables.list_tables() == tables
    assert (tmp_path / "qe-report" / "index.html").read_text() == html

    figures = await fleet_figures(store, registry())
    assert page(figures) == html
    await check_values(store, figures)
    check_page(html)
    assert (await qe("checks", **home)).returncode == 0
    assert f"{figures.pilot.learned_at(3.0).area:.3f}" in again.stdout


async def check_values(store, figures):
    """The value shown is that of the stored table, found by playing it: within 4 standard errors."""
    line = next(line for line in figures.agents if line.agent == "fleet-commander")
    contract = registry().get(line.agent)
    world = world_of(contract)
    stored = await store.q_tables.load("individual", contract.name, contract.fingerprint)
    policy = stored.table.greedy(fallback=world.baseline_action)
    discount = contract.discount_or(load_settings().values.learning.discount)
    rng = np.random.default_rng(0)
    returns = np.array([played_return(world, policy, discount, rng) for _ in range(4_000)])
    assert abs(returns.mean() - line.reached.value) < 4 * returns.std() / np.sqrt(len(returns))
    assert line.reached.random < line.reached.value <= line.reached.optimum + 1e-6


def played_return(world, policy, discount, rng):
    """The discounted return of one episode, long enough that what is cut off does not count."""
    state, total, weight = int(rng.choice(world.state_count, p=world.start)), 0.0, 1.0
    for _ in range(300):
        pair = state * world.action_count + int(policy[state])
        rows = slice(*world.outcome_offsets[pair : pair + 2])
        row = rows.start + rng.choice(rows.stop - rows.start, p=world.probability[rows])
        total += weight * world.reward_mean[state, int(policy[state])]
        if world.terminated[row]:
            break
        state, weight = int(world.next_state[row]), weight * discount
    return total


def check_page(html):
    """Self-contained, whole, and about every agent."""
    assert not re.search(r"(src|href)\s*=|@import|url\(|<script", html)
    assert html.count("<section>") == html.count("</section>") == 10
    for name in registry().names():
        assert name in html
    assert "nan" not in re.sub(r"[a-z]*nan[a-z]+", "", html.lower())


async def test_figures_of_an_empty_database_are_honest(store):
    figures = await fleet_figures(store, registry())
    assert all(line.reached is None and line.curve is None for line in figures.agents)
    assert figures.pilot is None
    assert figures.newest == "never"
    html = page(figures)
    assert "Nothing was learned in a simulated world yet." in html


async def test_the_pilot_cannot_be_compared_before_it_learned(qe):
    outcome = await qe("workbench", "compare")
    assert outcome.returncode == 1
    assert "run qe train --agent test-generator --episodes 750" in outcome.stderr


async def test_the_report_is_written_again_from_the_database(qe, tmp_path):
    outcome = await qe("report", "--out", "made here/report.html")
    assert outcome.returncode == 0, outcome.stderr
    assert "What each agent learned" in outcome.stdout
    assert (tmp_path / "made here" / "report.html").read_text().startswith("<!doctype html>")


async def test_a_graph_that_fails_is_an_error_that_names_the_reason(qe, server_directory):
    broken = {"QE_HOME": str(server_directory / "broken home"), "QE_LEARNING__DISCOUNT": "2"}
    outcome = await qe("train", "--only-tables", **broken)
    assert outcome.returncode == 1
    assert "learning.discount" in outcome.stderr


async def test_the_report_says_where_it_cannot_be_written(qe, tmp_path):
    (tmp_path / "taken").write_text("a file")
    outcome = await qe("report", "--out", "taken/index.html")
    assert outcome.returncode == 1
    assert "taken cannot be made" in outcome.stderr
