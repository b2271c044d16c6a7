"""Files appear whole or not at all."""

import pytest

from qe_core.runtime.files import OutputError, replaced_file


def test_the_file_appears_when_the_block_ends_well(tmp_path):
    path = tmp_path / "a.txt"
    with replaced_file(path) as temporary:
        temporary.write_text("whole")
        assert not path.exists()
    assert path.read_text() == "whole"
    assert list(tmp_path.iterdir()) == [path]


def write_half(path):
    with replaced_file(path) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError


def test_an_error_leaves_what_was_there_and_no_litter(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("before")
    with pytest.raises(ZeroDivisionError):
        write_half(path)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_missing_directory_is_an_error_that_says_what_to_do(tmp_path):
    with (
        pytest.raises(OutputError, match="choose a directory that exists"),
        replaced_file(tmp_path / "no" / "a"),
    ):
        pass
