"""Alembic's entry point: runs pending migrations on the connection it is handed, in one transaction.

What belongs here: nothing else. The connection and its lock come from `qe_core.store.migration`.
"""

from alembic import context

context.configure(connection=context.config.attributes["connection"], transaction_per_migration=False)
with context.begin_transaction():
    context.run_migrations()
