"""Families of worlds: the same seed gives the same world, another seed another of its kind."""

from collections.abc import Callable
from dataclasses import fields

import numpy as np
import pytest

from qe_core.environments.building import draw_world
from qe_core.environments.declared import WORLDS
from qe_core.environments.drawing import draw, task_features
from qe_core.environments.world import World
from qe_core.fleet.roster import AGENTS
from qe_core.fleet.vocabulary import Approach

Drawn = Callable[[str, int], World]
every_declaration = pytest.mark.parametrize(
    "declaration", WORLDS, ids=[declaration.contract.name for declaration in WORLDS]
)
ARRAYS = [field.name for field in fields(World) if field.name not in ("contract", "world_seed")]


def test_every_built_in_agent_has_a_world_in_roster_order() -> None:
    assert [declaration.contract for declaration in WORLDS] == list(AGENTS)


@every_declaration
def test_the_same_seed_gives_the_same_bits(declaration) -> None:
    first, second = draw_world(declaration, 7), draw_world(declaration, 7)
    for name in ARRAYS:
        assert getattr(first, name).tobytes() == getattr(second, name).tobytes()


@every_declaration
def test_another_seed_gives_another_world_of_the_same_kind(declaration) -> None:
    first, second = draw_world(declaration, 0), draw_world(declaration, 1)
    assert first.contract is second.contract
    assert not np.array_equal(first.start, second.start)
    assert not np.array_equal(first.reward_mean, second.reward_mean)
    assert not np.array_equal(first.optimal_policy(), second.optimal_policy())


@every_declaration
def test_typical_tasks_are_few_and_their_frequencies_fall(declaration) -> None:
    drawn = draw(declaration, 0)
    assert len(set(drawn.tasks)) == len(drawn.tasks) == declaration.typical_tasks
    assert (np.diff(drawn.task_probability) < 0).all()
    assert drawn.task_probability.sum() == pytest.approx(1.0)
    for frequency in drawn.frequency.values():
        assert frequency.sum() == pytest.approx(1.0)


def test_agents_of_one_world_seed_share_what_suits_an_approach() -> None:
    """Over many agents, a reused result gains more where the track record is healthy: that is shareable."""
    gains = []
    for declaration in WORLDS:
        if declaration.progress is not None and declaration.progress.feature == "track_record":
            continue
        score = draw(declaration, 0).score["track_record"]
        reuse = [
            column
            for column, action in enumerate(declaration.contract.actions)
            if declaration.contract.approaches[action] is Approach.REUSE
        ]
        gains.extend((score[2, reuse] - score[0, reuse]).tolist())
    assert np.mean(gains) > 0.15


def test_task_features_are_those_no_step_moves() -> None:
    coverage = next(item for item in WORLDS if item.contract.name == "coverage-analyzer")
    assert task_features(coverage) == ("size", "risk", "track_record", "churn")
    assert coverage.moving_features == ("gap_kind", "coverage_gap", "budget")
