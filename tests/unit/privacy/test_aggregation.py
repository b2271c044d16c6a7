"""Contributions combined: what one member can do to the result, and what it cannot, whatever it sends."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from qe_core.errors import PrivacyError
from qe_core.privacy.aggregation import CombineSettings, Contribution, NoisyMdp, capped_shares, combine
from qe_core.privacy.mechanism import NoiseScales
from qe_core.privacy.space import PublicSpace
from qe_core.privacy.statistics import AgentStatistics

SPACE = PublicSpace("tiny", "f" * 64, 2, 1, 2, np.array([0, 1]), np.array([0, 0]))
SCALES = NoiseScales(1.0, 2.0, 300.0, 2.0)
SETTINGS = CombineSettings(minimum_cohort=3, minimum_group=10, maximum_share=0.5, sureness=3.0)

EXTREME = st.one_of(
    st.integers(-60, 400), st.integers(-(2**62), 2**62), st.sampled_from([2**63 - 1, -(2**63), 0])
)


def statistics(visits, rewards, transitions, units=1_000) -> AgentStatistics:
    """Statistics of the tiny space from whole numbers or arrays."""
    full = lambda values, shape: np.array(np.broadcast_to(values, shape), dtype=np.int64)  # noqa: E731
    return AgentStatistics(units, full(visits, (2, 1)), full(rewards, (2, 1)), full(transitions, (2, 3)))


def anything(numbers=EXTREME):
    """Whole arrays of any numbers."""
    array = lambda shape: hnp.arrays(np.int64, shape, elements=numbers)  # noqa: E731
    return st.builds(
        AgentStatistics,
        units=st.just(1_000),
        visits=array((2, 1)),
        rewards=array((2, 1)),
        transitions=array((2, 3)),
    )


def honest():
    """What three to five honest members may report: counts and rewards that belong together, noise."""
    return st.lists(anything(st.integers(-8, 300)), min_size=3, max_size=5)


def combined(members, settings=SETTINGS, scales=SCALES) -> NoisyMdp:
    """Combine statistics of members named by their place."""
    contributions = [Contribution(f"m{place}", one, scales) for place, one in enumerate(members)]
    return combine(SPACE, contributions, settings)


@given(honest(), anything(), anything(), st.sampled_from([0.3, 0.5, 0.7]))
def test_whatever_one_member_sends_moves_no_known_mean_further_than_its_share(rest, one, other, share):
    settings = replace(SETTINGS, maximum_share=share)
    first, second = combined([*rest, one], settings), combined([*rest, other], settings)
    is_known = first.is_known & second.is_known
    moved = np.abs(first.reward - second.reward)[is_known]
    assert (moved <= share * 2 * settings.clip_bound + 1e-6).all()
    assert (np.abs(first.reward) <= settings.clip_bound + 1e-9).all()


@given(honest(), anything(), anything(), st.sampled_from([0.3, 0.5, 0.7]))
def test_whatever_one_member_sends_moves_no_row_of_successors_further_than_its_share(rest, one, other, share):
    settings = replace(SETTINGS, maximum_share=share)
    first, second = (combined([*rest, sent], settings).successors for sent in (one, other))
    both = first.any(axis=1) & second.any(axis=1)
    total_variation = 0.5 * np.abs(first - second).sum(axis=1)[both]
    assert (total_variation <= share + 1e-9).all()


@given(honest(), anything())
def test_no_member_makes_a_pair_known_that_the_others_leave_unknown(rest, one):
    counts = np.array([np.maximum(member.visits, -6.0) for member in rest])
    is_enough = counts.sum(axis=0) >= 10 + np.sqrt(len(rest) * 4.0)
    assert not (combined([*rest, one]).is_known & ~is_enough).any()


@given(honest(), anything())
def test_no_member_hides_a_pair_that_the_others_have_clearly_seen(rest, one):
    counts = np.array([np.maximum(member.visits, -6.0) for member in rest], dtype=float)
    others = counts.sum(axis=0) - counts - 6.0  # the most a huge negative number takes off
    is_clear = (others >= 10 + 3 * np.sqrt(len(rest) * 4.0)).all(axis=0)
    is_clear &= ((counts > 0).sum(axis=0) >= 2) & (combined(rest).is_known)
    assert (combined([*rest, one]).is_known | ~is_clear).all()


@given(honest(), anything())
def test_no_member_holds_more_than_its_share_of_any_pair(rest, one):
    counts = np.array([member.visits for member in [*rest, one]], dtype=float)
    capped = capped_shares(counts, 0.5)
    assert (capped <= 0.5 * capped.sum(axis=0) * (1 + 1e-12)).all()
    assert ((capped >= 0) & (capped <= np.maximum(counts, 0))).all()


def test_capped_shares_by_hand():
    counts = np.array(
        [[1000.0, 9.0, 5.0, 7.0, 4.0], [100.0, 5.0, 3.0, 0.0, 4.0], [50.0, 3.0, 0.0, -2.0, 4.0]]
    )
    half = [[150.0, 8.0, 3.0, 0.0, 4.0], [100.0, 5.0, 3.0, 0.0, 4.0], [50.0, 3.0, 0.0, 0.0, 4.0]]
    assert capped_shares(counts, 0.5).tolist() == half
    third = capped_shares(counts, 1 / 3)
    assert third == pytest.approx(np.array([[50, 3, 0, 0, 4]] * 3))


def test_a_dominant_member_is_cut_to_what_all_others_report():
    mdp = combined(
        [statistics(900, 900 * 5_000, 300), statistics(60, -60_000, 20), statistics(40, 40_000, 10)]
    )
    # 100 of its 900 visits count, at 50 points; the others report -600 and +400 points over 100 visits.
    assert mdp.visits == pytest.approx(np.full((2, 1), 200.0))
    assert mdp.reward == pytest.approx(np.full((2, 1), (100 * 50 - 600 + 400) / 200))
    kept = np.array([100 / 900, 1, 1])
    of_rewards, of_counts = 3.0**2 * (kept**2).sum(), 24.0**2 * 2.0**2 * (kept**2).sum()
    assert mdp.reward_variance == pytest.approx(np.full((2, 1), (of_rewards + of_counts) / 200**2))


def test_more_releases_carry_more_noise():
    members = [Contribution(f"m{place}", statistics(50, 0, 50), SCALES, releases=4) for place in range(3)]
    mdp = combine(SPACE, members, SETTINGS)
    assert mdp.reward_variance == pytest.approx(np.full((2, 1), 3 * (2 * 3.0) ** 2 / 150**2))


@given(honest(), st.randoms(use_true_random=False))
def test_the_order_of_contributions_changes_no_bit(members, random):
    contributions = [Contribution(f"m{place}", one, SCALES) for place, one in enumerate(members)]
    shuffled = list(contributions)
    random.shuffle(shuffled)
    first, second = combine(SPACE, contributions, SETTINGS), combine(SPACE, shuffled, SETTINGS)
    for name in ("is_known", "visits", "reward", "reward_variance", "successors"):
        assert getattr(first, name).tobytes() == getattr(second, name).tobytes()
    assert first.contributors == second.contributors == tuple(sorted(first.contributors))


def is_known(*counts: int) -> bool:
    """Whether a pair with these counts, one for each member, is known."""
    return bool(combined([statistics(count, 0, 50) for count in counts]).is_known.all())


def test_a_pair_is_known_only_if_it_reaches_the_group_with_and_without_any_one_member():
    # Together 10 + 3 · √(3 · 2²) = 20.4 visits, and without the largest 10 + √(2 · 2²) = 12.8.
    assert (is_known(7, 7, 6), is_known(7, 7, 7)) == (False, True)
    assert (is_known(500, 6, 6), is_known(500, 7, 6)) == (False, True)


def test_a_pair_whose_successors_drown_in_noise_is_not_known():
    rows = np.array([[3, 3, 3], [50, 3, 50]])  # below two standard deviations of noise: 3
    mdp = combined([statistics(50, 0, rows)] * 3)
    assert mdp.is_known.tolist() == [[False], [True]]
    assert mdp.successors.tolist() == [[0.0, 0.0, 0.0], [0.5, 0.0, 0.5]]


def test_below_the_cohort_nothing_is_combined():
    with pytest.raises(PrivacyError, match="2 of 2 contributors report more than noise, and 3 are needed"):
        combined([statistics(50, 0, 50)] * 2)


def test_contributors_who_report_no_more_than_noise_do_not_make_a_cohort():
    members = [statistics(50, 0, 50), statistics(50, 0, 50), statistics(50, 0, 50, units=3)]
    with pytest.raises(PrivacyError, match="2 of 3 contributors"):
        combined(members)
    mdp = combined([*members, statistics(50, 0, 50)])
    assert (mdp.contributors, mdp.left_out) == (("m0", "m1", "m3"), ("m2",))


def test_contributions_that_do_not_fit_are_refused():
    good = [Contribution(f"m{place}", statistics(50, 0, 50), SCALES) for place in range(3)]
    with pytest.raises(PrivacyError, match="appears twice"):
        combine(SPACE, [*good, good[0]], SETTINGS)
    small = replace(good[0].statistics, transitions=np.zeros((2, 1), dtype=np.int64))
    with pytest.raises(PrivacyError, match="m9 does not fit"):
        combine(SPACE, [*good, Contribution("m9", small, SCALES)], SETTINGS)


@given(st.floats(0.01, 0.99), hnp.arrays(np.float64, (5, 6), elements=st.integers(-50, 1000)))
def test_when_one_count_changes_the_shares_of_all_others_move_in_one_direction(share, counts):
    changed = counts.copy()
    changed[0] = np.maximum(changed[0], 0) * 3 + 1
    before, after = capped_shares(counts, share), capped_shares(changed, share)
    has_both = (before.sum(axis=0) > 0) & (after.sum(axis=0) > 0)
    assume(has_both.any())
    shares = [found[:, has_both] / found[:, has_both].sum(axis=0) for found in (before, after)]
    assert (shares[1][1:] <= shares[0][1:] + 1e-9).all()


@pytest.mark.parametrize(
    "wrong", [{"maximum_share": 1.0}, {"sureness": -1.0}, {"clip_bound": 0.0}, {"minimum_cohort": 0}]
)
def test_settings_that_promise_nothing_are_refused(wrong):
    with pytest.raises(PrivacyError):
        CombineSettings(**wrong)
