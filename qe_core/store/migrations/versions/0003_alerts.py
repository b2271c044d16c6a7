"""Alerts and their delivery, adjustments to learning, and figures that verdicts are explained by."""

from qe_core.store.migrations.scripts import run_script

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Run the SQL beside this file."""
    run_script(__file__)
