"""Team learning on this machine: opt-outs, releases, what they cost in privacy, tables of the team, log."""

from qe_core.store.migrations.scripts import run_script

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Run the SQL beside this file."""
    run_script(__file__)
