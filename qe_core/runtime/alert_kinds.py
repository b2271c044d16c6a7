"""The kinds of alerts there are, and the page that says what to do about each.

What belongs here: names. What does not: when an alert is opened or over (`monitoring` and whoever else sees
something), and how people hear of it (`delivery`).
"""

from enum import StrEnum

RUNBOOKS = "docs/runbooks"
"""Where the pages are, in the repository."""


class AlertKind(StrEnum):
    """What may need a person."""

    AGENT_DIVERGING = "agent-diverging"
    AGENT_STALE = "agent-stale"
    AGENT_SLOW = "agent-slow"
    RUN_FAILED = "run-failed"
    POLICY_ROLLED_BACK = "policy-rolled-back"
    POLICY_WORSE = "policy-worse"
    POLICY_UNWATCHED = "policy-unwatched"
    TEST_STOPPED = "test-stopped"

    @property
    def runbook(self) -> str:
        """The page that says what it means, how to look, what to do and how to know that it is over."""
        return f"{RUNBOOKS}/{self.value}.md"
