"""How the path that learns behaves: sizes, deadlines, connections.

What belongs here: settings with their ranges. What does not: reading them from files (`qe_core.config`).
"""

from dataclasses import dataclass

from qe_core.errors import ConfigError

LARGEST_FLUSH = 65_536
"""The most updates in one flush: the log numbers experiences within a chunk with sixteen bits."""


@dataclass(frozen=True, slots=True)
class LiveSettings:
    """Sizes and deadlines of one process's path to the shared tables.

    Attributes:
        queue_limit: updates recorded and not yet committed at which callers begin to wait, at least 1.
        deadline_seconds: how long a call waits for room, then for its acknowledgement, or a lookup for its
            answer, above 0.
        batch_limit: updates after which a flush takes no further entry, 1 to 65,536.
        linger_seconds: how long a flush waits for company, at least 0: it trades latency for fewer commits.
        writer_connections: flushes of different tables under way at once, at least 1.
    """

    queue_limit: int = 100_000
    deadline_seconds: float = 30.0
    batch_limit: int = 20_000
    linger_seconds: float = 0.002
    writer_connections: int = 2

    def __post_init__(self) -> None:
        if not 1 <= self.batch_limit <= LARGEST_FLUSH:
            raise ConfigError(f"batch_limit must lie in 1 … {LARGEST_FLUSH}, got {self.batch_limit}")
        if self.queue_limit < 1 or self.writer_connections < 1:
            raise ConfigError(
                f"queue_limit and writer_connections must be at least 1, got {self.queue_limit} and "
                f"{self.writer_connections}"
            )
        if not (0 < self.deadline_seconds < 86_400 and 0 <= self.linger_seconds <= self.deadline_seconds):
            raise ConfigError(
                f"deadline_seconds must be above 0 and linger_seconds between 0 and it, got "
                f"{self.deadline_seconds} and {self.linger_seconds}"
            )


DEFAULT_LIVE = LiveSettings()
