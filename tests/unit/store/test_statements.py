"""Named SQL statements."""

import re
from pathlib import Path

import pytest

import qe_core.store
from qe_core.errors import StoreError
from qe_core.store import statements
from qe_core.store.statements import STATEMENTS, load_statements, parse_statements

STORE = Path(qe_core.store.__file__).parent


def test_statements_are_found_by_name_and_carry_it() -> None:
    text = "-- name: first\n-- Answers one.\nSELECT 1;\n\n-- name: second\n-- Answers two.\nSELECT 2\n"
    assert parse_statements(text, "x.sql") == {
        "first": "-- first\nSELECT 1",
        "second": "-- second\nSELECT 2",
    }


@pytest.mark.parametrize(
    "text",
    [
        "SELECT 1;\n-- name: late\n-- Purpose.\nSELECT 2;",
        "-- name: without_purpose\nSELECT 1;",
        "-- name: Upper\n-- Purpose.\nSELECT 1;",
        "-- name: empty\n-- Purpose.\n\n-- name: next\n-- Purpose.\nSELECT 1;",
        "-- name: twice\n-- Purpose.\nSELECT 1;\n-- name: twice\n-- Purpose.\nSELECT 2;",
        "SELECT 1;",
    ],
)
def test_a_badly_written_file_is_refused_by_name(text: str) -> None:
    with pytest.raises(StoreError, match=r"x\.sql"):
        parse_statements(text, "x.sql")


def test_a_name_may_stand_in_one_file_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sql").mkdir()
    for name in ("a.sql", "b.sql"):
        (tmp_path / "sql" / name).write_text("-- name: same\n-- Purpose.\nSELECT 1;\n")
    monkeypatch.setattr(statements, "files", lambda _package: tmp_path)
    with pytest.raises(StoreError, match=r"b\.sql: statements \['same'\] exist in another file"):
        load_statements()


def test_every_statement_is_used_and_every_name_used_exists() -> None:
    code = "".join(file.read_text() for file in STORE.rglob("*.py"))
    for name in STATEMENTS:
        assert f'"{name}"' in code, f"statement {name} is not used"
    for name in re.findall(r'STATEMENTS\["(\w+)"\]', code):
        assert name in STATEMENTS


def test_no_sql_is_written_in_python() -> None:
    pattern = re.compile(r"\"[^\"\n]*\b(SELECT|INSERT INTO|DELETE FROM|UPDATE \w+ SET|CREATE TABLE)\b")
    offenders = [
        f"{file.name}: {line.strip()}"
        for file in STORE.rglob("*.py")
        for line in file.read_text().splitlines()
        if pattern.search(line) and not line.lstrip().startswith(("#", '"""'))
    ]
    assert offenders == []
