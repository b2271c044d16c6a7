"""Passwords, their verifiers, and the addresses that hold them."""

import hmac
from base64 import b64decode, b64encode

import pytest

from qe_core.errors import ConfigError
from qe_core.store.central.logins import member_url, new_password, scram_verifier
from qe_core.store.urls import checked_url, shown

CURATOR = "postgresql://owner:s%40cret@db.example:5432/our%20team?sslmode=require&passfile=/home/ada/.pgpass"


def test_the_verifier_is_that_of_the_standards_own_example() -> None:
    # RFC 7677, section 3: user "user", password "pencil"; the server signature there follows from this key.
    verifier = scram_verifier("pencil", b64decode("W22ZaJ0SNY7soEsUEjb6gQ=="))
    scheme, rest = verifier.split("$", 1)
    assert scheme == "SCRAM-SHA-256"
    assert rest.startswith("4096:W22ZaJ0SNY7soEsUEjb6gQ==$")
    message = (
        b"n=user,r=rOprNGfwEbeRWgbNEkqO,"
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,"
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    )
    server_key = b64decode(rest.rpartition(":")[2])
    signature = b64encode(hmac.digest(server_key, message, "sha256"))
    assert signature == b"6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="


def test_passwords_differ_and_need_no_quoting() -> None:
    passwords = {new_password() for _ in range(100)}
    assert len(passwords) == 100
    assert all(len(one) == 43 and one.replace("-", "").replace("_", "").isalnum() for one in passwords)


def test_nothing_of_the_curators_credentials_is_in_a_members_address() -> None:
    url = member_url(CURATOR, "login", "p@ss/word", None)
    assert url == "postgresql://login:p%40ss%2Fword@db.example:5432/our%20team?sslmode=require"
    assert checked_url(url) == url
    assert "word" not in shown(url)


def test_the_server_can_be_called_as_members_see_it() -> None:
    local = "postgresql://qe@/qe?host=/run/postgresql&port=5433&sslmode=require"
    assert (
        member_url(local, "a", "b", None)
        == "postgresql://a:b@/qe?host=/run/postgresql&port=5433&sslmode=require"
    )
    assert member_url(local, "a", "b", "db.example") == "postgresql://a:b@db.example/qe?sslmode=require"
    assert member_url(local, "a", "b", "[::1]:7") == "postgresql://a:b@[::1]:7/qe?sslmode=require"


@pytest.mark.parametrize("address", ["", "a b/c", "you@host", "host:port", "host/other", ":5432", "host?x=1"])
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="write host or host:port"):
        member_url(CURATOR, "a", "b", address)
