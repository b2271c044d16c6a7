"""Learning together with a team: what leaves this database, what comes back, and what becomes of it.

What belongs here: deciding when, and carrying it out step by step. What does not: counting and noise
(`qe_core.privacy`), keeping and debiting (`qe_core.store.team`), the server (`qe_core.store.central`).
"""
