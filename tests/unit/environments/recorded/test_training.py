"""Training: what it may see, and the log it leaves."""

from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest

from qe_core.environments.recorded import training
from qe_core.environments.recorded.policy import policy_from
from qe_core.environments.recorded.recordings import Recordings
from qe_core.environments.recorded.sessions import play, sessions_of
from qe_core.environments.recorded.training import TrainingSettings, train_pilot, training_projects
from qe_core.environments.rollouts import EpisodeLog
from qe_core.errors import LearningError, RecordingError
from qe_core.fleet.test_generation import TEST_GENERATOR
from qe_core.learning.empirical_mdp import q_table_from_transitions

SMALL = TrainingSettings(rounds=2, episodes=20, budgets=(1.0, 3.0))


@pytest.fixture(scope="module")
def log(recordings: Recordings) -> EpisodeLog:
    return train_pilot(recordings, np.random.default_rng(7), SMALL)


def test_training_sees_training_packages_and_repetitions_only(recordings: Recordings) -> None:
    projects = training_projects(recordings)
    assert {project.package for project in projects} == set(recordings.packages("training"))
    assert {project.repetition for project in projects} == {0, 1}


def test_nothing_held_out_is_ever_compiled(recordings: Recordings) -> None:
    with patch.object(training, "compile_project", wraps=training.compile_project) as compiled:
        train_pilot(recordings, np.random.default_rng(0), SMALL)
    seen = {call.args[1:] for call in compiled.call_args_list}
    assert {package for package, _ in seen} <= set(recordings.packages("training"))
    assert {repetition for _, repetition in seen} == {0, 1}


def test_what_is_held_out_cannot_change_the_log(recordings: Recordings, log: EpisodeLog) -> None:
    """Every outcome of held-out packages and of the unseen repetition is moved, and not a bit changes."""
    outcomes = recordings.outcomes
    is_hidden = np.isin(outcomes["package"], recordings.packages("held-out")) | (outcomes["repetition"] == 2)
    seconds = np.where(is_hidden, 0.01, outcomes["seconds"])
    other = train_pilot(
        replace(recordings, outcomes={**outcomes, "seconds": seconds}), np.random.default_rng(7), SMALL
    )
    assert np.array_equal(other.transitions.reward, log.transitions.reward)
    assert np.array_equal(other.transitions.state, log.transitions.state)


def test_the_same_seed_gives_the_same_bits_and_another_seed_another_log(
    recordings: Recordings, log: EpisodeLog
) -> None:
    again = train_pilot(recordings, np.random.default_rng(7), SMALL)
    assert np.array_equal(again.transitions.reward, log.transitions.reward)
    assert np.array_equal(again.propensity, log.propensity)
    assert np.array_equal(again.q, log.q)
    other = train_pilot(recordings, np.random.default_rng(8), SMALL)
    assert not np.array_equal(other.transitions.state[:50], log.transitions.state[:50])


def test_the_log_fits_the_contract_and_its_episodes_are_whole(log: EpisodeLog) -> None:
    log.transitions.validate(TEST_GENERATOR.state_count, TEST_GENERATOR.action_count)
    assert log.episode[-1] == 39
    assert log.is_last_step.sum() == 40
    starts = np.flatnonzero(log.step == 0)
    assert len(starts) == 40
    assert (np.diff(log.episode)[log.is_last_step[:-1]] == 1).all()
    for episode in (0, 13, 39):
        rows = log.episode == episode
        assert log.episode_return[episode] == pytest.approx(log.transitions.reward[rows].sum())
        assert log.step[rows].tolist() == list(range(rows.sum()))
        assert log.is_success[episode] == TEST_GENERATOR.success.is_success(log.episode_return[episode])


def test_the_first_round_explores_only_and_later_ones_as_set(log: EpisodeLog) -> None:
    assert (log.exploration_rate[log.episode < 20] == 1.0).all()
    assert (log.exploration_rate[log.episode >= 20] == SMALL.exploration_rate).all()
    assert (log.propensity > 0).all()
    assert log.propensity[log.episode >= 20].max() > 0.5


def test_the_table_in_the_log_is_the_one_rebuilt_from_it(log: EpisodeLog) -> None:
    rebuilt = q_table_from_transitions(
        log.transitions, TEST_GENERATOR.state_count, TEST_GENERATOR.action_count, SMALL.discount
    )
    assert np.array_equal(rebuilt.q, log.q)
    assert np.array_equal(rebuilt.visits, log.visits)


def test_what_was_learned_beats_chance_on_packages_never_seen(recordings: Recordings) -> None:
    log = train_pilot(recordings, np.random.default_rng(1), TrainingSettings(rounds=3, episodes=60))
    table = q_table_from_transitions(
        log.transitions, TEST_GENERATOR.state_count, TEST_GENERATOR.action_count, 0.0
    )
    learned, blind = policy_from(table), policy_from(replace(table, visits=np.zeros_like(table.visits)))
    sessions = sessions_of(recordings, recordings.packages("held-out"), (2,), (3.0,), (0, 1, 2))
    areas = [np.mean([play(session, policy).area for session in sessions]) for policy in (learned, blind)]
    assert areas[0] > 1.05 * areas[1]


def test_nothing_to_train_on_is_an_error(recordings: Recordings) -> None:
    split = np.full(len(recordings.modules["split"]), "held-out")
    with pytest.raises(RecordingError, match="record at least one training package"):
        train_pilot(
            replace(recordings, modules={**recordings.modules, "split": split}), np.random.default_rng(0)
        )


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"rounds": 0}, "at least one round"),
        ({"episodes": 0}, "at least one round"),
        ({"fewest_modules": 0}, "at least one module"),
        ({"exploration_rate": 1.5}, r"an exploration rate lies in \[0, 1\], not 1.5"),
    ],
)
def test_settings_out_of_range_are_refused(setting: dict[str, float], message: str) -> None:
    with pytest.raises(LearningError, match=message):
        TrainingSettings(**setting)  # type: ignore[arg-type]
