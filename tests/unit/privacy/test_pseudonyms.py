"""Names become pseudonyms that say nothing without the key."""

import hmac
from datetime import date, timedelta
from hashlib import sha256
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qe_core.errors import PrivacyError
from qe_core.privacy.pseudonyms import Pseudonyms

KEY = bytes(range(32))
DATABASE = UUID("5a4b7c1e-0000-4000-8000-000000000001")
NAMES = st.text(min_size=1).filter(lambda name: name.strip() != "")
DAYS = st.dates(min_value=date(1970, 1, 1), max_value=date(2200, 1, 1))


def test_a_pseudonym_is_the_keyed_digest_of_domain_kind_and_name() -> None:
    message = b"qe-fleet pseudonym 1"
    for part in (b"name", b"developer", b"ada@example.com"):
        message += len(part).to_bytes(8, "big") + part
    expected = hmac.new(KEY, message, sha256).hexdigest()[:32]
    assert Pseudonyms(KEY).of("developer", "ada@example.com") == expected


@given(NAMES, NAMES)
def test_every_kind_has_pseudonyms_of_its_own(name: str, other: str) -> None:
    pseudonyms = Pseudonyms(KEY)
    assert pseudonyms.of("developer", name) != pseudonyms.of("project", name)
    assert pseudonyms.of("developer", name) != pseudonyms.of("developer" + other, name)


@given(NAMES, st.binary(min_size=32, max_size=64), st.binary(min_size=32, max_size=64))
def test_another_key_gives_another_pseudonym(name: str, key: bytes, other: bytes) -> None:
    is_same = Pseudonyms(key).of("developer", name) == Pseudonyms(other).of("developer", name)
    # HMAC pads keys with zeros to 64 bytes.
    assert is_same == (key.rstrip(b"\0") == other.rstrip(b"\0"))


@given(NAMES, NAMES)
def test_nothing_of_a_name_can_be_put_between_kind_and_name(left: str, right: str) -> None:
    pseudonyms = Pseudonyms(KEY)
    assert pseudonyms.of("a" + left, right) != pseudonyms.of("a", left + right)


@given(st.text())
def test_a_pseudonym_has_32_digits_or_there_is_no_name(name: str) -> None:
    pseudonyms = Pseudonyms(KEY)
    try:
        found = pseudonyms.of("developer", name)
    except PrivacyError:
        assert name.strip() == ""
    else:
        assert len(found) == 32
        assert set(found) <= set("0123456789abcdef")


@pytest.mark.parametrize("spelling", ["ADA@example.com", " ada@example.com\n", "ａda@example.com"])
def test_spellings_of_one_name_have_one_pseudonym(spelling: str) -> None:
    pseudonyms = Pseudonyms(KEY)
    assert pseudonyms.of("developer", spelling) == pseudonyms.of("developer", "ada@example.com")


@given(NAMES)
def test_case_does_not_matter(name: str) -> None:
    pseudonyms = Pseudonyms(KEY)
    assert pseudonyms.of("project", name.casefold()) == pseudonyms.of("project", name)


@given(DAYS, st.integers(1, 4_000))
def test_an_origin_lasts_its_period_and_no_day_longer(day: date, rotation_days: int) -> None:
    pseudonyms = Pseudonyms(KEY)
    first = day - timedelta(days=(day - date(1970, 1, 1)).days % rotation_days)
    here = pseudonyms.origin(DATABASE, day, rotation_days)
    assert pseudonyms.origin(DATABASE, first, rotation_days) == here
    assert pseudonyms.origin(DATABASE, first + timedelta(days=rotation_days - 1), rotation_days) == here
    assert pseudonyms.origin(DATABASE, first + timedelta(days=rotation_days), rotation_days) != here


def test_origins_of_databases_and_names_never_meet() -> None:
    pseudonyms = Pseudonyms(KEY)
    day, other = date(2026, 11, 22), UUID(int=DATABASE.int + 1)
    found = {
        pseudonyms.origin(DATABASE, day, 90),
        pseudonyms.origin(other, day, 90),
        pseudonyms.origin(DATABASE, day, 91),
        pseudonyms.of("origin", str(DATABASE)),
        Pseudonyms(KEY[::-1]).origin(DATABASE, day, 90),
    }
    assert len(found) == 5


def test_a_key_or_a_period_that_protects_nothing_is_refused() -> None:
    with pytest.raises(PrivacyError, match="at least 32 random bytes, not 31"):
        Pseudonyms(KEY[:31])
    with pytest.raises(PrivacyError, match="at least 1 day, not 0"):
        Pseudonyms(KEY).origin(DATABASE, date(2026, 11, 22), 0)
