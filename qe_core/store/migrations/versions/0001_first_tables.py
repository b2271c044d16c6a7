"""Q-tables, the log of experiences, statistics and imports."""

from qe_core.store.migrations.scripts import run_script

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Run the SQL beside this file."""
    run_script(__file__)
