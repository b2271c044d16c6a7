"""The schedule of faults is a function of the seed."""

from collections import Counter

from tests.faults.schedule import KILLS, RHYTHMS, Fault, drawn, long_form, short_form


def test_a_seed_gives_the_same_faults_again() -> None:
    assert long_form(5, 1.0, list(Fault), is_mixed=True) == long_form(5, 1.0, list(Fault), is_mixed=True)
    assert short_form(5, list(Fault)) != short_form(6, list(Fault))


def test_the_long_form_kills_a_hundred_times() -> None:
    strikes = [
        strike.fault for plan in long_form(1, 1.0, list(Fault), is_mixed=True) for strike in plan.strikes
    ]
    counts = Counter(strikes)
    assert counts[Fault.SERVER_KILLED] + counts[Fault.WRITER_KILLED] == KILLS >= 100
    assert set(counts) == set(Fault)


def test_a_run_does_not_depend_on_which_others_are_asked_for() -> None:
    few = long_form(3, 0.1, [Fault.SERVER_KILLED], is_mixed=False)
    many = long_form(3, 0.1, list(Fault), is_mixed=True)
    assert few[0] in many


def test_every_count_is_at_least_one_and_gaps_are_bounded() -> None:
    for plan in long_form(2, 0.001, list(Fault), is_mixed=True):
        assert plan.strikes
        assert plan.writers >= 3
        for strike in plan.strikes:
            assert 0.0 <= strike.after_seconds <= 4.0 * RHYTHMS[strike.fault].between_seconds
            assert 0.0 <= strike.draw < 1.0


def test_the_short_form_strikes_each_kind_once() -> None:
    [plan] = short_form(9, [Fault.SERVER_KILLED, Fault.EPOCH_RAISED])
    assert sorted(strike.fault.value for strike in plan.strikes) == ["epoch raised", "server killed"]
    assert plan.is_overlapping


def test_kinds_come_in_random_order() -> None:
    strikes = drawn({Fault.SERVER_KILLED: 10, Fault.WRITER_KILLED: 10}, 4)
    first_half = Counter(strike.fault for strike in strikes[:10])
    assert 0 < first_half[Fault.SERVER_KILLED] < 10
