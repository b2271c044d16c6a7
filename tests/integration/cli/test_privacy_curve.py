"""`qe privacy curve` on a real database: played through here, and nothing left or spent."""

import asyncio
import json

import pytest

from qe_core.config import Settings
from qe_core.environments.catalogue import world_of
from qe_core.fleet import registry
from qe_core.runtime.experiments import team_own_log
from qe_core.runtime.training import SIMULATED, TrainingPlan, simulated_play, train
from qe_core.store import Store

AGENT = "quality-gate"


async def work(url: str) -> None:
    """Let an agent do enough tasks for its busiest pairs to stand out from noise at ε = 8."""
    contract = registry().get(AGENT)
    async with Store.connect(url) as store:
        play = simulated_play(world_of(contract), Settings())
        await train(store, contract, TrainingPlan(AGENT, 600), SIMULATED, play)


def test_the_curve_is_shown_and_costs_nothing(
    qe_here, environment, monkeypatch: pytest.MonkeyPatch, tmp_path
):
    monkeypatch.setenv("QE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(team_own_log, "EPSILONS", (8.0,))
    monkeypatch.setattr(team_own_log, "TEAM_SIZES", (3,))
    empty = qe_here("privacy", "curve")
    assert empty.returncode == 1
    assert "nothing to play through" in empty.stderr
    asyncio.run(work(environment["QE_DATABASE_URL"]))
    drawn = tmp_path / "curve.png"
    shown = qe_here("privacy", "curve", "--plot", str(drawn))
    assert "What sharing would be worth, one task protected" in shown.stdout, shown.stderr
    assert drawn.read_bytes().startswith(b"\x89PNG")
    status = json.loads(qe_here("privacy", "status", "--json").stdout)
    assert status["spent_epsilon"] == 0.0
