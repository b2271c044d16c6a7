"""Pure decisions about which policy serves: assignment, statistics, verdicts, off-policy checks, rollback.

What belongs here: functions of figures and settings. What does not: clocks, files, chance of their own, and
PostgreSQL (`qe_core.store`); carrying a decision out (`qe_core.runtime`).
"""
