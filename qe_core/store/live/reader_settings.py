"""How the reading side of the hot path behaves: sizes, deadlines, pauses.

What belongs here: settings with their ranges, and what reading has met. What does not: reading them from
files (`qe_core.config`).
"""

from dataclasses import dataclass, fields

from qe_core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class ReaderSettings:
    """Sizes, deadlines and pauses of one process's cache of rows.

    Attributes:
        cache_limit: rows kept, at least 1,000; a row of 8 actions takes about 2 kB, so the default is 40 MB.
        deadline_seconds: how long a lookup that is not in the cache waits for its answer, above 0.
        query_seconds: how long one query may take before its connection counts as lost, above 0.
        check_seconds: pause between two comparisons of table versions with the database, above 0: the longest
            time a lost notification stays unnoticed.
        grace_seconds: how long a missing notification is waited for before all rows are read again, above 0.
        refresh_pause_seconds: least pause between two queries that only refresh cached rows, at least 0.
        refresh_limit: cached rows refreshed in one query, at least 1.
    """

    cache_limit: int = 20_000
    deadline_seconds: float = 5.0
    query_seconds: float = 5.0
    check_seconds: float = 5.0
    grace_seconds: float = 0.5
    refresh_pause_seconds: float = 0.02
    refresh_limit: int = 256

    def __post_init__(self) -> None:
        if self.cache_limit < 1_000 or self.refresh_limit < 1:
            raise ConfigError(
                f"cache_limit must be at least 1000 rows and refresh_limit at least 1, got "
                f"{self.cache_limit} and {self.refresh_limit}"
            )
        for name in ("deadline_seconds", "query_seconds", "check_seconds", "grace_seconds"):
            if not 0.0 < getattr(self, name) < 86_400.0:
                raise ConfigError(f"{name} must be above 0 and below a day, got {getattr(self, name)}")
        if not 0.0 <= self.refresh_pause_seconds < 86_400.0:
            raise ConfigError(f"refresh_pause_seconds must not be negative, got {self.refresh_pause_seconds}")


DEFAULT_READER = ReaderSettings()


@dataclass(slots=True)
class ReadCounters:
    """What reading has met since it was opened; changed in place as it goes, see `snapshot`.

    Attributes:
        hits: lookups of a row answered from the cache.
        hits_while_away: those among them while the database could not be reached: possibly stale.
        misses: lookups of a row that had to be asked for.
        queries: sent.
        rows_read: rows those queries answered, states without a row included.
        refreshed: cached rows read again in the background.
        notifications: of other processes' changes.
        missed_notifications: times all cached rows of a table were read again because some were lost.
        deadlines: lookups that failed because no answer came in time.
        evictions: rows removed to make room.
        lost_queries: asked again because their connection was lost.
        reconnects: connections made anew after one was lost.
        away: connections that are lost at present.
    """

    hits: int = 0
    hits_while_away: int = 0
    misses: int = 0
    queries: int = 0
    rows_read: int = 0
    refreshed: int = 0
    notifications: int = 0
    missed_notifications: int = 0
    deadlines: int = 0
    evictions: int = 0
    lost_queries: int = 0
    reconnects: int = 0
    away: int = 0

    def snapshot(self) -> dict[str, int]:
        """Return the counts now, by name."""
        return {field.name: getattr(self, field.name) for field in fields(self)}
