"""Journals keep what was written when their writer dies."""

import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.faults.crew import ROOT
from tests.faults.journal import HUNG, Journal, Journals, Publication, Watch
from tests.faults.traffic import drawn_call

ROWS = drawn_call(np.random.default_rng(3), 1_000_000).rows


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    with Journal(tmp_path / "w0.0.journal") as journal:
        for call in ("a", "b", "c"):
            journal.intend(call, 7, ROWS)
        journal.acknowledge("a", 12, True)
        journal.refuse("b", HUNG)
        journal.publish(Publication(7, 3, 0.5))
    journals = Journals.read_all(tmp_path)
    a, b, c = journals.calls.values()
    assert (a.writer, a.q_table_id, a.rows, a.version, a.is_repeated) == ("w0.0", 7, ROWS, 12, True)
    assert a.is_acknowledged
    assert a.answered_at is not None
    assert a.answered_at >= a.made_at
    assert (b.error, b.is_acknowledged) == (HUNG, False)
    assert (c.answered_at, c.error, c.version) == (None, None, None)
    assert journals.publications == (Publication(7, 3, 0.5),)


def test_a_line_cut_off_announces_nothing(tmp_path: Path) -> None:
    path = tmp_path / "w0.0.journal"
    with Journal(path) as journal:
        journal.intend("a", 1, ROWS)
        journal.intend("b", 1, ROWS)
    os.truncate(path, path.stat().st_size - 1)
    assert list(Journals.read_all(tmp_path).calls) == ["a"]


def test_a_call_announced_twice_is_refused(tmp_path: Path) -> None:
    with Journal(tmp_path / "w0.0.journal") as journal:
        journal.intend("a", 1, ROWS)
        journal.intend("a", 1, ROWS)
    with pytest.raises(ValueError, match="announces a a second time"):
        Journals.read_all(tmp_path)


def test_a_killed_process_takes_nothing_it_wrote_with_it(tmp_path: Path) -> None:
    program = (
        "import os, signal, sys; from pathlib import Path; from tests.faults.journal import Journal\n"
        "journal = Journal(Path(sys.argv[1]))\n"
        "for number in range(500): journal.intend(str(number), 1, [])\n"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "w0.0.journal"], check=False, cwd=ROOT, timeout=120
    )
    assert ended.returncode == -signal.SIGKILL
    assert len(Journals.read_all(tmp_path).calls) == 500


def test_a_growing_journal_is_followed(tmp_path: Path) -> None:
    path, watch = tmp_path / "w0.0.journal", Watch()
    assert watch.newest_acknowledged(path) == -math.inf
    with Journal(path) as journal:
        journal.intend("a", 1, ROWS)
        assert watch.newest_acknowledged(path) == -math.inf
        journal.acknowledge("a", 1, False)
        first = watch.newest_acknowledged(path)
        journal.intend("b", 1, ROWS)
        assert watch.newest_acknowledged(path) == first == Journals.read_all(tmp_path).calls["a"].made_at
