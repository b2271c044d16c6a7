"""Exit codes, and how soon help is there."""

import subprocess
import sys

import pytest

from qe_core.cli import app as app_module
from qe_core.cli.app import INTERRUPTED, REFUSED, main
from qe_core.errors import ConfigError

HEAVY = ("pandas", "pyarrow", "numba", "asyncpg", "sqlalchemy", "dagster", "matplotlib", "gymnasium")


@pytest.mark.parametrize(
    ("end", "code"),
    [
        (None, 0),
        (SystemExit(0), 0),
        (SystemExit(2), 2),
        (SystemExit("words"), REFUSED),
        (ConfigError("wrong"), REFUSED),
        (KeyboardInterrupt(), INTERRUPTED),
    ],
)
def test_how_it_ends_is_the_exit_code(monkeypatch, end, code):
    def stand_in(**_options):
        if end is not None:
            raise end

    monkeypatch.setattr(app_module, "app", stand_in)
    assert main() == code


def test_help_does_not_load_what_only_commands_need():
    program = "import sys, qe_core.cli.app; print(*sorted(set(sys.modules) & set(sys.argv[1:])))"
    outcome = subprocess.run(
        [sys.executable, "-c", program, *HEAVY], capture_output=True, text=True, check=True
    )
    assert outcome.stdout.split() == []
