"""What a notification says."""

import pytest

from qe_core.store.live.listener import NOBODY, Notice, parse_notice


def test_a_flush_names_its_states_and_its_writer() -> None:
    assert parse_notice("7 12 abc 3,5,8") == Notice(7, 12, "abc", (3, 5, 8))


def test_anything_else_may_have_changed_any_state() -> None:
    assert parse_notice("7 12 - *") == Notice(7, 12, NOBODY, None)


@pytest.mark.parametrize(
    "payload", ["", "7 12 abc", "x 12 abc *", "7 12 abc 3;5", "7 12 abc 3,5 more", "7  abc *"]
)
def test_what_is_not_of_that_form_says_nothing(payload: str) -> None:
    assert parse_notice(payload) is None
