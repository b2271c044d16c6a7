"""The demo of team learning: a small team on one machine, each member in a database of its own.

What belongs here: who takes part and what they do. What does not: anything they do it with, which is the
product's own (`qe_core.runtime.team`).
"""
