"""The declared subjects, and the split that only names decide."""

import hashlib
import sys
from pathlib import Path
from typing import Any

import pytest

from qe_core.errors import WorkbenchError
from qe_core.workbench.subjects import fetch, load_subjects, select, split_of

PERMISSIVE = {"MIT", "BSD-2-Clause", "BSD-3-Clause", "Apache-2.0", "PSF-2.0", "ISC"}


def test_declaration_is_large_and_permissive_enough() -> None:
    subjects = load_subjects()
    assert len(subjects) >= 8
    assert sum(len(subject.modules) for subject in subjects) >= 60
    assert {subject.licence for subject in subjects} <= PERMISSIVE
    assert all(len(subject.sha256) == 64 for subject in subjects)


def test_split_leaves_enough_to_test_on() -> None:
    subjects = load_subjects()
    splits = split_of([subject.name for subject in subjects])
    held_out = [subject for subject in subjects if splits[subject.name] == "held-out"]
    assert len(held_out) >= 4
    assert sum(len(subject.modules) for subject in held_out) >= 22


def test_split_is_the_rule_and_nothing_else() -> None:
    names = ["alpha", "beta", "gamma", "delta", "epsilon"]
    ranked = sorted(names, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    expected = dict.fromkeys(ranked[:3], "training") | dict.fromkeys(ranked[3:], "held-out")
    assert split_of(names) == split_of(names[::-1]) == expected


def test_selection_narrows_packages_and_modules() -> None:
    (subject,) = select(load_subjects(), packages=["humanize"])
    assert subject.name == "humanize"
    (narrowed,) = select(load_subjects(), modules=["humanize.time"])
    assert narrowed.modules == ("humanize.time",)
    assert select(load_subjects(), packages=["toolz"], modules=["humanize.time"]) == ()


@pytest.mark.parametrize(
    ("wanted", "hint"),
    [({"packages": ["humanise"]}, "humanize"), ({"modules": ["humanize.tim"]}, "humanize.time")],
)
def test_unknown_name_is_an_error_with_a_hint(wanted: dict[str, list[str]], hint: str) -> None:
    with pytest.raises(WorkbenchError, match=hint):
        select(load_subjects(), **wanted)


@pytest.mark.parametrize("text", ["[[subject]]\nname = 'a'\n", "not toml", "subject = 3\n"])
def test_bad_declaration_is_named(tmp_path: Path, text: str) -> None:
    declaration = tmp_path / "subjects.toml"
    declaration.write_text(text)
    with pytest.raises(WorkbenchError, match=r"subjects\.toml does not declare subjects"):
        load_subjects(declaration)


def test_missing_declaration_is_named(tmp_path: Path) -> None:
    with pytest.raises(WorkbenchError, match="does not declare subjects"):
        load_subjects(tmp_path / "subjects.toml")


def test_fetched_code_is_complete_compiled_and_kept(tiny: Any, tmp_path: Path) -> None:
    (subject,) = load_subjects(tmp_path / "subjects.toml")
    into = tmp_path / "fetched"
    into.mkdir()
    directory = fetch(subject, into, Path(sys.executable))
    assert (directory / "tests" / "test_other.py").exists()
    assert list((directory / "src" / "tiny" / "__pycache__").glob("shapes.*.pyc"))
    (directory / "mark").touch()
    assert (fetch(subject, into, Path(sys.executable)) / "mark").exists()
    assert [path.name for path in into.iterdir()] == ["tiny-1.0"]


def test_package_the_index_cannot_deliver_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    (subject,) = select(load_subjects(), packages=["toolz"])
    with pytest.raises(WorkbenchError, match=r"(?s)Could not fetch toolz .* run again"):
        fetch(subject, tmp_path, Path(sys.executable))
    assert list(tmp_path.iterdir()) == []
