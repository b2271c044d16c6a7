"""Decisions taken over by another process, and what agents remember for each other."""

from qe_core.store.migrations.scripts import run_script

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Run the SQL beside this file."""
    run_script(__file__)
