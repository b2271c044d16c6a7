"""Policy versions, aliases and modes, A/B tests, rollbacks and what they leave out of learning."""

from qe_core.store.migrations.scripts import run_script

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Run the SQL beside this file."""
    run_script(__file__)
