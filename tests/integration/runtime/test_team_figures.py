"""What the report says about team learning, of states made through the product on a real database."""

import re
from html import unescape
from uuid import uuid4

import numpy as np

from qe_core.config import Settings
from qe_core.fleet import registry
from qe_core.learning.team_evidence import TeamEvidence
from qe_core.runtime.report.team import team_section
from qe_core.runtime.team.privacy_manager import PrivacyManager
from qe_core.runtime.team.reports import Preparation
from qe_core.runtime.team_figures import team_figures
from qe_core.store import Store
from qe_core.store.team import OptOutKind, PulledTable
from tests.integration.runtime.team.nursery import AGENTS, FLEET, KEY, sharing, tasks


def words(html: str) -> str:
    """Return a section without its markup."""
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", html)))


async def test_local_only_is_said_and_nothing_else(store: Store) -> None:
    shown = words(team_section(await team_figures(store, registry(), Settings())))
    assert "Local only. Nothing left this machine" in shown
    assert "What left" not in shown
    assert "ε =" not in shown


async def test_releases_price_opt_outs_and_tables_are_shown(store: Store) -> None:
    rules = sharing()
    manager = PrivacyManager(store, rules, KEY, by="ada <script>", fleet=FLEET)
    contract = registry().get(AGENTS[0])
    await store.experiences.append(tasks(contract, [f"t{number}" for number in range(80)]))
    made = await manager.prepare_release()
    assert made.outcome is Preparation.RELEASED, made.words
    figures = await team_figures(store, registry(), rules)
    assert 19.9 < figures.spent_epsilon <= 20.0
    shown = words(team_section(figures))
    assert "ε = 20.00 of 50" in shown
    assert "waits to be sent" in shown
    assert "Local only" not in shown

    await manager.opt_out(OptOutKind.AGENT, AGENTS[1])
    await manager.opt_out(OptOutKind.DEVELOPER, "Grace Hopper")
    one = np.zeros((contract.state_count, contract.action_count))
    one[0, 0] = 1.0
    evidence = TeamEvidence(one, one.astype(np.int64), one, one)
    await store.team_tables.save(
        uuid4(), [PulledTable(contract.name, contract.fingerprint, 7, evidence)], by="ada"
    )
    html = team_section(await team_figures(store, registry(), rules))
    shown = words(html)
    assert "withdrawn: agent opted out" in shown
    assert f"What {AGENTS[1]} experiences takes no part since" in shown
    assert f"What belongs to the developer {KEY.of('developer', 'Grace Hopper')} takes no part" in shown
    assert "Hopper" not in html
    assert "<script>" not in html
    assert f"{AGENTS[0]} 7 1 1" in shown
    assert "ε = 20.00 of 50" in shown  # what was withdrawn stays spent
