"""Experiences in packed chunks, summaries of what retention removes, and flushes that need one round trip."""

from qe_core.store.migrations.scripts import run_script

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Run the SQL beside this file."""
    run_script(__file__)
