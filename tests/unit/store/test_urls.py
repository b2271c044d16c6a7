"""PostgreSQL addresses."""

from pathlib import Path

import psycopg2.extensions
import pytest
import sqlalchemy
from hypothesis import given
from hypothesis import strategies as st

from qe_core.errors import ConfigError
from qe_core.store.urls import checked_url, database_name, shown, socket_url, with_database

TEXT = st.text(
    st.characters(codec="utf-8", exclude_characters="\x00/,", exclude_categories=["Cs"]), min_size=1
)


def test_the_short_scheme_is_written_out_because_sqlalchemy_insists_on_it() -> None:
    assert checked_url("postgres://me@host/qe") == "postgresql://me@host/qe"


def test_an_empty_host_keeps_its_slashes() -> None:
    assert with_database("postgresql:///qe?host=/run/pg", "other") == "postgresql:///other?host=/run/pg"


@given(folder=TEXT, database=TEXT)
def test_a_socket_url_means_the_same_to_libpq_and_to_us(folder: str, database: str) -> None:
    url = socket_url(Path("/run") / folder, "qe", database)
    parsed = psycopg2.extensions.parse_dsn(url)
    expected = {"user": "qe", "host": str(Path("/run") / folder), "port": "5432", "dbname": database}
    assert parsed == expected
    assert checked_url(url) == url
    assert database_name(url) == database


def test_sqlalchemy_reads_a_socket_url_with_a_space() -> None:
    url = sqlalchemy.make_url(socket_url(Path("/a b/c"), "qe", "qe"))
    assert (url.query["host"], url.database, url.username) == ("/a b/c", "qe", "qe")


def test_moving_to_another_database_keeps_everything_else() -> None:
    url = "postgresql://me:p%40ss@host:6000/qe?sslmode=require"
    assert with_database(url, "a b") == "postgresql://me:p%40ss@host:6000/a%20b?sslmode=require"
    assert database_name(with_database(url, "a b")) == "a b"


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://me:secret@host/qe", "postgresql://me:***@host/qe"),
        ("postgresql://me@host/qe", "postgresql://me@host/qe"),
        ("postgresql:///qe?host=/a%20b&password=secret", "postgresql:///qe?host=/a%20b&password=***"),
        ("postgresql://me:a:b@c@host/qe?sslpassword=secret", "postgresql://me:***@host/qe?sslpassword=***"),
    ],
)
def test_a_shown_url_has_no_secret(url: str, expected: str) -> None:
    assert shown(url) == expected


def test_a_url_without_scheme_is_refused() -> None:
    with pytest.raises(ConfigError, match="is not a URL"):
        checked_url("host=here dbname=qe")
