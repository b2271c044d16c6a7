"""The team's server: members, what they contribute, what is published, and the functions members may call."""

from qe_core.store.migrations.scripts import run_script

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Run the SQL beside this file."""
    run_script(__file__)
