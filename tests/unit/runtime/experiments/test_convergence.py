"""Learning curves: what they hold, that they are of the session a user plays, and refusals."""

from pathlib import Path

import numpy as np
import pytest

from qe_core.config import Settings
from qe_core.environments.catalogue import world_of
from qe_core.errors import LearningError
from qe_core.fleet.registry import built_registry
from qe_core.runtime.experiments.convergence import (
    LearningCurve,
    convergence,
    learning_curve,
    shares_reached,
)
from qe_core.runtime.experiments.convergence_picture import draw_curves

SETTINGS = Settings()
GATE = built_registry().get("quality-gate")


def curve(shares: list[list[float]]) -> LearningCurve:
    """Return a made-up curve."""
    return LearningCurve("quality-gate", "f0", 0, 80.0, -5.0, 40.0, "pass", (10, 100), np.array(shares))


def test_seeds_are_counted_at_the_last_checkpoint_and_the_target_itself_counts() -> None:
    assert curve([[0.99, 0.94], [0.1, 0.95], [0.2, 1.0]]).seeds_reached == 2


def test_bands_are_over_seeds() -> None:
    assert curve([[0.0, 1.0], [1.0, 1.0]]).band(10) == pytest.approx([0.1, 1.0])


def test_more_episodes_bring_more() -> None:
    found = learning_curve(world_of(GATE, 0), SETTINGS, 2, (3, 200))
    assert found.shares.shape == (2, 2)
    assert found.shares[:, 1].mean() > found.shares[:, 0].mean() + 0.2
    assert (found.shares <= 1 + 1e-9).all()
    assert found.optimum > found.best_fixed > found.random


def test_a_shorter_session_is_the_beginning_of_a_longer_one() -> None:
    world = world_of(GATE, 0)
    assert shares_reached(world, SETTINGS, 0, (20, 40))[0] == shares_reached(world, SETTINGS, 0, (20,))[0]


def test_the_rule_of_the_settings_is_played() -> None:
    plain = Settings.model_validate({"exploration": {"session_rule": "epsilon_greedy"}})
    world = world_of(GATE, 0)
    assert shares_reached(world, plain, 0, (60,)) != shares_reached(world, SETTINGS, 0, (60,))


def test_every_agent_and_world_is_told_and_yielded() -> None:
    told: list[tuple[str, int, int | None]] = []
    found = list(convergence([GATE], [0, 3], 1, SETTINGS, (5,), lambda *what: told.append(what)))
    assert [(made.agent, made.world_seed) for made in found] == [("quality-gate", 0), ("quality-gate", 3)]
    assert told == [("learning in worlds", done, 2) for done in range(3)]


def test_curves_are_drawn(tmp_path: Path) -> None:
    draw_curves([curve([[0.5, 0.96], [0.4, 0.9]])], tmp_path / "curves.svg")
    assert (tmp_path / "curves.svg").read_text().count("quality-gate") >= 1


@pytest.mark.parametrize("checkpoints", [(), (0, 5), (5, 5), (9, 5)])
def test_checkpoints_must_ascend(checkpoints: tuple[int, ...]) -> None:
    with pytest.raises(LearningError, match="checkpoints must ascend from 1 on"):
        shares_reached(world_of(GATE, 0), SETTINGS, 0, checkpoints)


def test_no_seed_is_no_experiment() -> None:
    with pytest.raises(LearningError, match="at least one seed"):
        learning_curve(world_of(GATE, 0), SETTINGS, 0)
