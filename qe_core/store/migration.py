"""Bringing a database to this version's schema."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class MigrationReport:
    """What a migration did.

    Attributes:
        from_revision: before, or None for an empty database.
        to_revision: after.
        created_databases: databases that did not exist.
    """

    from_revision: str | None
    to_revision: str
    created_databases: tuple[str, ...] = ()


async def migrate(database_url: str) -> MigrationReport:
    """Create the databases where possible and bring the schema up to date; harmless to repeat."""
    raise ConnectionError
