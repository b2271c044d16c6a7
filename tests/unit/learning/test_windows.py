"""Windows of whole logs: figures in hand-worked numbers, and the traps that must not look converged."""

from collections.abc import Callable

import numpy as np
import pytest

from qe_core.errors import LearningError
from qe_core.learning.convergence import ConvergenceSettings, Verdict, WindowStatistics
from qe_core.learning.empirical_mdp import EmpiricalMdp
from qe_core.learning.experience import Transitions
from qe_core.learning.finite_mdp import bellman_residuals
from qe_core.learning.q_table import QTable
from qe_core.learning.replay.training import train_on_log
from qe_core.learning.updates import LearningRate
from qe_core.learning.windows import convergence_windows

STATES, ACTIONS, EPISODES = 4, 2, 600


def windows_of(
    log: Transitions, rate: LearningRate | None = None, exploration: float = 0.02, **settings: float
) -> list[WindowStatistics]:
    ends = log.episode_ends()
    return convergence_windows(
        log, STATES, ACTIONS,
        episode_ends=ends, success=np.ones(len(ends)), exploration_rate=np.full(len(ends), exploration),
        discount=0.9, learning_rate=rate or LearningRate(), settings=ConvergenceSettings(**settings),
    )  # fmt: skip


def play(
    reward_of: Callable[[int, int, int], float],
    random_share: float = 0.3,
    choose: Callable[[int, int], int] = lambda state, _: state % 2,
    seed: int = 0,
    noise: float = 3.0,
) -> Transitions:
    """Episodes through states 0 → 1 → 2 → 3; mostly the given choice, sometimes the other action."""
    generator = np.random.default_rng(seed)
    rows = []
    for episode in range(EPISODES):
        for state in range(STATES):
            action = choose(state, episode)
            if generator.random() < random_share:
                action = 1 - action
            reward = reward_of(state, action, episode) + generator.normal(0, noise)
            rows.append((state, action, reward, (state + 1) % STATES, state == STATES - 1))
    return Transitions.from_columns(*zip(*rows, strict=True))


def steady(state: int, action: int, _: int) -> float:
    return 40.0 if action == state % 2 else -10.0


def last(windows: list[WindowStatistics]) -> tuple[Verdict, str]:
    return windows[-1].verdict, windows[-1].reason


def test_a_steady_world_well_explored_converges() -> None:
    windows = windows_of(play(steady))
    assert last(windows)[0] is Verdict.CONVERGED
    assert len(windows) == EPISODES // 25
    assert [window.verdict for window in windows[:9]] == [Verdict.INSUFFICIENT_DATA] * 9


def test_trap_a_decaying_rate_that_froze_the_values_early() -> None:
    # 0.02/(1+n) is a Robbins–Monro sequence, but ln(600) of it moves q by an eighth of the way.
    verdict, reason = last(windows_of(play(steady), LearningRate(initial=0.02, exponent=1.0)))
    assert verdict is Verdict.LEARNING
    assert "Bellman residual" in reason
    assert "change of q" not in reason


def test_trap_a_rate_too_steep_to_ever_arrive() -> None:
    verdict, reason = last(windows_of(play(steady), LearningRate(initial=0.1, exponent=2.0)))
    assert verdict is Verdict.LEARNING
    assert "step sizes do not settle" in reason
    assert "Bellman residual" in reason


def test_trap_pairs_never_visited() -> None:
    verdict, reason = last(windows_of(play(steady, random_share=0.0)))
    assert verdict is Verdict.LEARNING
    assert reason == "coverage of pairs that matter 0, needs ≥ 0.8"


def test_trap_a_policy_that_oscillates() -> None:
    def swapping(state: int, action: int, episode: int) -> float:
        return steady(state, (action + episode // 25) % 2, episode)

    windows = windows_of(play(swapping, random_share=0.5), LearningRate.constant(0.3))
    verdict, reason = last(windows)
    assert verdict in (Verdict.LEARNING, Verdict.DIVERGING)
    assert "greedy churn 1, needs" in reason
    averaged = windows_of(play(swapping, random_share=0.5))
    assert last(averaged)[0] is not Verdict.CONVERGED


@pytest.mark.parametrize("sign", [1, -1])
def test_trap_a_reward_that_drifts(sign: int) -> None:
    def drifting(state: int, action: int, episode: int) -> float:
        return steady(state, action, episode) + sign * 60.0 * episode / EPISODES

    verdict, _ = last(windows_of(play(drifting)))
    assert verdict is (Verdict.LEARNING if sign > 0 else Verdict.DIVERGING)


def test_trap_drifts_that_cancel_in_the_mean_return() -> None:
    def crossing(state: int, action: int, episode: int) -> float:
        return steady(state, action, episode) + (-1) ** (state // 2) * 200.0 * (episode / EPISODES) ** 2

    windows = windows_of(play(crossing))
    assert last(windows)[0] is Verdict.LEARNING
    assert "bias against recent targets" in last(windows)[1]
    assert windows_of(play(steady))[-1].recent_bias < 3


def test_a_constant_rate_does_not_settle_under_noise() -> None:
    verdict, reason = last(windows_of(play(steady), LearningRate.constant(0.1)))
    assert verdict is Verdict.LEARNING
    assert "step sizes do not settle" in reason


def test_exploring_too_much_is_not_converged() -> None:
    assert "exploration rate 0.2" in last(windows_of(play(steady), exploration=0.2))[1]


def test_figures_of_a_hand_worked_window() -> None:
    # Two episodes of one step from state 0: action 0 pays 10 then 20 (α = 1, then 2^-1): q = 10, then 15.
    log = Transitions.from_columns([0, 0], [0, 0], [10.0, 20.0], [1, 1], [True, True])
    (window,) = convergence_windows(
        log, 2, 2, episode_ends=[1, 2], success=[1, 0], exploration_rate=[0.1, np.nan], discount=0.5,
        learning_rate=LearningRate(exponent=1.0), settings=ConvergenceSettings(window_episodes=2),
    )  # fmt: skip
    assert (window.first_row, window.end_row, window.episodes, window.experiences) == (0, 2, 2, 2)
    assert (window.mean_return, window.return_sd) == (15, pytest.approx(50**0.5))
    assert (window.reward_mean, window.reward_sd) == (15, 5)
    assert (window.success_rate, window.exploration_rate) == (0.5, 0.1)
    assert window.mean_abs_q_change == 15 / 2 / 200
    assert window.largest_q == 15
    assert window.bellman_residual == 0  # 15 is the mean of the targets
    assert window.recent_bias == 0  # mean error 0
    assert window.greedy_churn == 1  # there was no greedy action before
    assert window.pair_coverage == 0  # action 1 was never tried
    assert window.is_settling
    assert window.states_visited == 1
    assert window.verdict is Verdict.INSUFFICIENT_DATA


def test_the_replayed_table_and_its_residual_are_those_of_the_learning_core() -> None:
    log = play(steady).slice(0, 4 * 100)
    windows = windows_of(log)
    table = train_on_log(QTable.zeros(STATES, ACTIONS), log, 0.9, LearningRate()).table
    assert windows[-1].largest_q == np.abs(table.q).max()
    mdp = EmpiricalMdp.from_transitions(log, STATES, ACTIONS).to_finite_mdp()
    residuals = bellman_residuals(mdp, table.q, table.visits > 0, 0.9)
    expected = (residuals * table.visits).sum() / table.visits.sum()
    assert windows[-1].bellman_residual == pytest.approx(expected, abs=1e-9)


def test_the_same_log_gives_the_same_windows() -> None:
    assert windows_of(play(steady)) == windows_of(play(steady))


def test_windows_do_not_depend_on_what_comes_after_them() -> None:
    log = play(steady)
    whole, part = windows_of(log), windows_of(log.slice(0, 4 * 250))
    assert part == whole[:10]


def test_the_remainder_joins_the_last_window_and_unfinished_episodes_stay_out() -> None:
    log = play(steady).slice(0, 4 * 60 + 3)
    windows = windows_of(log)
    assert [window.episodes for window in windows] == [25, 35]
    assert windows[-1].end_row == 240


def test_few_episodes_make_one_window_and_none_make_none() -> None:
    assert [window.episodes for window in windows_of(play(steady).slice(0, 4))] == [1]
    assert windows_of(play(steady).slice(0, 3)) == []
    assert windows_of(Transitions.empty()) == []


def test_long_logs_get_longer_windows() -> None:
    windows = windows_of(play(steady), maximum_windows=10)
    assert [window.episodes for window in windows] == [60] * 10


def test_outcomes_nobody_reported_are_unknown() -> None:
    log = play(steady)
    ends = log.episode_ends()
    windows = convergence_windows(
        log, STATES, ACTIONS, episode_ends=ends, success=np.full(len(ends), -1),
        exploration_rate=np.full(len(ends), np.nan), discount=0.9,
    )  # fmt: skip
    assert (windows[-1].success_rate, windows[-1].exploration_rate) == (None, None)
    assert windows[-1].reason.startswith("success rate is unknown; exploration rate is unknown")


def test_many_rare_states_are_judged_too() -> None:
    count = 400
    states = np.arange(count)
    log = Transitions.from_columns(states, states % 2, np.ones(count), states, np.ones(count, dtype=bool))
    (window,) = convergence_windows(
        log, count, 2, episode_ends=states + 1, success=np.ones(count), exploration_rate=np.zeros(count),
        discount=0.9, settings=ConvergenceSettings(window_episodes=count),
    )  # fmt: skip
    assert window.pair_coverage == 0
    assert window.recent_bias == 0


def test_states_that_are_all_explored_are_covered_by_exactly_one() -> None:
    # As a sum of shares it came out above 1 by rounding, which the database refuses.
    for seed in range(20):
        generator = np.random.default_rng(seed)
        count, space = 117, int(generator.integers(20, 49))
        states = generator.integers(0, space, count)
        ends = np.arange(count) + 1
        log = Transitions.from_columns(
            states, np.zeros(count, int), np.ones(count), states, np.ones(count, dtype=bool)
        )
        (window,) = convergence_windows(
            log, space, 1, episode_ends=ends, success=np.ones(count), exploration_rate=np.zeros(count),
            discount=0.9, settings=ConvergenceSettings(window_episodes=count, min_pair_visits=1),
        )  # fmt: skip
        assert window.pair_coverage == 1.0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"episode_ends": [1]}, "must have one length, got 1, 2, 2"),
        ({"episode_ends": [2, 2]}, r"episode_ends must increase and lie in the log, but row 1 \(2\)"),
        ({"episode_ends": [1, 3]}, r"episode_ends must increase and lie in the log, but row 1 \(3\)"),
        ({"success": [1, 2]}, r"success must be 1, 0 or −1, but row 1 \(2\)"),
        ({"exploration_rate": [0.1, 1.2]}, r"exploration rates must lie in \[0, 1\] or be NaN, but row 1"),
        ({"discount": 1.0}, "discount must lie in"),
    ],
)
def test_columns_that_do_not_fit_are_refused(change: dict[str, object], message: str) -> None:
    log = Transitions.from_columns([0, 0], [0, 0], [10.0, 20.0], [1, 1], [True, True])
    arguments = {"episode_ends": [1, 2], "success": [1, 0], "exploration_rate": [0.1, 0.1], "discount": 0.5}
    with pytest.raises(LearningError, match=message):
        convergence_windows(log, 2, 2, **arguments | change)


def test_rows_before_the_first_window_are_learned_from_and_belong_to_none() -> None:
    log = play(steady)
    ends = log.episode_ends()
    settings = ConvergenceSettings(window_episodes=200)

    def windows_from(first: int) -> list[WindowStatistics]:
        count = len(ends) - first
        return convergence_windows(
            log, STATES, ACTIONS,
            episode_ends=ends[first:], success=np.ones(count), exploration_rate=np.full(count, 0.02),
            discount=0.9, settings=settings, warm_up_rows=int(ends[first - 1]) if first else 0,
        )  # fmt: skip

    whole, later = windows_from(0), windows_from(200)
    assert [window.window_index for window in later] == [0, 1]
    for found, expected in zip(later, whole[1:], strict=True):
        for name in (
            "first_row", "end_row", "episodes", "mean_return", "reward_sd", "mean_abs_q_change",
            "bellman_residual", "greedy_churn", "states_visited", "largest_q",
        ):  # fmt: skip
            assert getattr(found, name) == getattr(expected, name), name
