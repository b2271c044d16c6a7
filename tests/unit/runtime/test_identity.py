"""The key for pseudonyms: made once, kept private; and whose experiences are recorded."""

import multiprocessing
import os
import stat
from multiprocessing import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from qe_core.config import Settings
from qe_core.errors import ConfigError, PrivacyError
from qe_core.privacy.pseudonyms import Pseudonyms
from qe_core.runtime import identity
from qe_core.runtime.identity import (
    KeyFileError,
    identity_of,
    named_identity,
    process_pseudonyms,
    pseudonyms_at,
    require_identity,
)
from qe_core.store.identity import NOBODY, Identity

PROCESSES = 4
ROUNDS = 10


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("QE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def named(developer: str | None, project: str | None) -> Settings:
    return Settings.model_validate({"team": {"developer": developer, "project": project}})


def test_the_key_is_made_on_first_use_for_its_owner_alone(home: Path) -> None:
    first = process_pseudonyms().of("developer", "ada")
    key = home / "privacy.key"
    assert len(key.read_bytes()) == 32
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert process_pseudonyms().of("developer", "ada") == first
    assert [path.name for path in home.iterdir()] == ["privacy.key"]


def _ask(directory: str, barrier: Barrier, answers: "Queue[str]") -> None:
    for number in range(ROUNDS):
        barrier.wait()
        answers.put(f"{number} {pseudonyms_at(Path(directory) / str(number) / 'key').of('developer', 'ada')}")


def test_processes_that_make_the_key_at_once_have_one(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    barrier, answers = context.Barrier(PROCESSES), context.Queue()
    processes = [
        context.Process(target=_ask, args=(str(tmp_path), barrier, answers)) for _ in range(PROCESSES)
    ]
    for process in processes:
        process.start()
    found = {answers.get(timeout=30) for _ in range(PROCESSES * ROUNDS)}
    for process in processes:
        process.join()
    assert len(found) == ROUNDS


def test_whoever_is_slower_takes_the_key_that_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "key"
    link = os.link

    def overtaken(source: Path, target: Path) -> None:
        path.write_bytes(b"k" * 32)
        path.chmod(0o600)
        link(source, target)

    monkeypatch.setattr(identity.os, "link", overtaken)
    assert pseudonyms_at(path).of("developer", "ada") == Pseudonyms(b"k" * 32).of("developer", "ada")
    assert [found.name for found in tmp_path.iterdir()] == ["key"]


def test_a_key_may_lie_elsewhere_but_is_not_made_there(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "secrets" / "key"
    monkeypatch.setenv("QE_PRIVACY_KEY_FILE", str(elsewhere))
    with pytest.raises(KeyFileError, match="QE_PRIVACY_KEY_FILE names is not there"):
        process_pseudonyms()
    elsewhere.parent.mkdir()
    elsewhere.write_bytes(b"k" * 32)
    elsewhere.chmod(0o400)
    assert process_pseudonyms().of("x", "y") == Pseudonyms(b"k" * 32).of("x", "y")
    assert not home.exists()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_a_key_that_others_can_reach_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"k" * 32)
    path.chmod(mode)
    with pytest.raises(KeyFileError, match=rf"mode {mode:03o}.*chmod 600"):
        pseudonyms_at(path)


@pytest.mark.parametrize("size", [0, 31, 4_097])
def test_a_key_of_the_wrong_size_is_refused_and_left_alone(tmp_path: Path, size: int) -> None:
    path = tmp_path / "key"
    path.write_bytes(b"k" * size)
    path.chmod(0o600)
    with pytest.raises(KeyFileError, match="is no key of 32 to 4,096 bytes; put the right file back"):
        pseudonyms_at(path)
    assert path.stat().st_size == size


def test_a_key_that_cannot_be_read_or_made_is_a_named_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(KeyFileError, match="cannot be read or made"):
        pseudonyms_at(tmp_path / "file" / "key")
    with pytest.raises(KeyFileError, match="cannot be read or made"):
        pseudonyms_at(tmp_path)


def test_nobody_needs_no_key(home: Path) -> None:
    assert identity_of(named(None, None)) == NOBODY
    assert not home.exists()


def test_the_settings_name_whose_experiences_are_recorded(home: Path) -> None:
    by_key = Pseudonyms(b"k" * 32)
    found = identity_of(named("Ada", "checkout"), by_key)
    assert found == Identity(by_key.of("developer", "ada"), by_key.of("project", "checkout"))
    assert named_identity(None, "checkout").project == process_pseudonyms().of("project", "checkout")


def test_a_store_without_the_identity_that_the_settings_name_is_refused(home: Path) -> None:
    require_identity(named(None, None), NOBODY)
    require_identity(named("ada", "checkout"), identity_of(named("ada", "checkout")))
    for settings in (named("ada", None), named(None, "checkout")):
        with pytest.raises(ConfigError, match=r"identity=identity_of\(settings\)"):
            require_identity(settings, NOBODY)


@pytest.mark.parametrize("value", ["ada", "A" * 32, "a" * 31, "a" * 32 + "\n"])
def test_an_identity_is_never_a_name(value: str) -> None:
    with pytest.raises(PrivacyError, match="not a name") as caught:
        Identity(developer=value)
    assert "ada" not in str(caught.value)
    with pytest.raises(PrivacyError):
        Identity(project=value)
