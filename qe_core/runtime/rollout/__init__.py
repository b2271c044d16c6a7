"""Which policy serves, carried out: versions followed, tests run, stages advanced, bad versions taken back.

What belongs here: joining the pure decisions (`qe_core.rollout`) with the store, for agent processes and for
operators. What does not: the decisions themselves, SQL, and Dagster.
"""
