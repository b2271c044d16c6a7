"""Whose experiences these are and what they are about, as keyed pseudonyms."""

from qe_core.store.migrations.scripts import run_script

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Run the SQL beside this file."""
    run_script(__file__)
