"""The PostgreSQL server that comes with the product, and where the product's database is.

What belongs here: starting, stopping and finding the server. What does not: what is stored in it.
"""

from qe_core.store.server.embedded import EmbeddedServer, ServerStatus, database_url, project_server

__all__ = ["EmbeddedServer", "ServerStatus", "database_url", "project_server"]
