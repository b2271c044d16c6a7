"""Running the plain SQL of a migration.

What belongs here: the one step every migration consists of. What does not: SQL.
"""

from pathlib import Path

from alembic import op


def run_script(migration_file: str) -> None:
    """Execute the ``.sql`` file beside a migration as it is, without parameters.

    Args:
        migration_file: the migration's own ``__file__``.
    """
    statements = Path(migration_file).with_suffix(".sql").read_text(encoding="utf-8")
    cursor = op.get_bind().connection.cursor()
    cursor.execute(statements)
    cursor.close()
