"""The PostgreSQL server that comes with the product, and where the product's database is.

What belongs here: starting, stopping and finding the server. What does not: what is stored in it.
"""

from qe_core.store.server.binaries import pg_binaries
from qe_core.store.server.embedded import PRODUCT_DATABASE, EmbeddedServer, ServerStatus
from qe_core.store.server.project import DAGSTER_DATABASE, database_url, project_server

__all__ = [
    "DAGSTER_DATABASE",
    "PRODUCT_DATABASE",
    "EmbeddedServer",
    "ServerStatus",
    "database_url",
    "pg_binaries",
    "project_server",
]
