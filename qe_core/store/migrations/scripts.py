"""Running the plain SQL of a migration.

What belongs here: the one step every migration consists of. What does not: SQL.
"""

from pathlib import Path

from alembic import op


def run_script(migration_file: str) -> None:
    """Execute the ``.sql`` file beside a migration, as it is: no parameters, so a percent sign is a percent sign.

    Args:
        migration_file: the migration's own ``__file__``.
    """
    statements = Path(migration_file).with_suffix(".sql").read_text(encoding="utf-8")
    with op.get_bind().connection.cursor() as cursor:
        cursor.execute(statements)
